# SPDX-License-Identifier: Apache-2.0
"""Decoded images as ROS messages. A module of its own, because most nodes need no OpenCV."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
from std_msgs.msg import Header

_cv_bridge = CvBridge()


def raw_image(head: Header, rgb: npt.NDArray[np.uint8]) -> Image:
    """Return an rgb8 image from uint8 (height, width, 3), RGB."""
    message = _cv_bridge.cv2_to_imgmsg(rgb, encoding='rgb8')
    message.header = head
    return message
