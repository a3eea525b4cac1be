# SPDX-License-Identifier: Apache-2.0
"""to_rgb: the picture in a sensor_msgs/Image."""

from array import array

import numpy as np
from cv_bridge import CvBridge
from sensor_msgs.msg import Image

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb

_BYTES_PER_PIXEL = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}


def to_rgb(message: Image, bridge: CvBridge) -> Rgb:
    """Return an Image as uint8 (H, W, 3) RGB; ImageError if it is no such picture."""
    pixel = _BYTES_PER_PIXEL.get(message.encoding)
    if pixel is None:
        raise ImageError(f'image encoding {message.encoding!r} is not supported')
    width = message.width * pixel
    is_empty = not width or not message.height
    if message.step < width or len(message.data) != message.step * message.height or is_empty:
        raise ImageError(f'the image data does not fit its size, {len(message.data)} bytes')
    if message.step > width:
        # No cv_bridge gets padded rows right.
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        message.data, message.step = array('B', rows[:, :width].tobytes()), width
    message.is_bigendian = 0  # Bytes have no order, and cv_bridge cannot swap them with NumPy 2.
    rgb: Rgb = bridge.imgmsg_to_cv2(message, 'rgb8')
    return rgb
