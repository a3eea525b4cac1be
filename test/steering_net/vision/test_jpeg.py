# SPDX-License-Identifier: Apache-2.0
"""JPEGs are decoded to RGB; broken and large ones are refused before they are decoded."""

import itertools

import cv2
import numpy as np
import pytest

from steering_net.errors import ImageError
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg


def frame(seed=0, height=160, width=320):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def jpeg(rgb, *options):
    return cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))[1].tobytes()


def test_jpeg_comes_back_as_rgb():
    flat = np.empty((160, 320, 3), np.uint8)
    flat[:] = (200, 60, 20)
    decoded = decode_jpeg(jpeg(flat))
    assert decoded.shape == (160, 320, 3)
    assert np.abs(decoded.astype(int) - flat).max() <= 3


def test_encoded_red_is_red():
    image = np.zeros((160, 320, 3), np.uint8)
    image[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    assert decoded[80, 160].tolist() == pytest.approx([0, 0, 200], abs=4)


def test_progressive_and_grey_jpegs_are_read():
    assert decode_jpeg(jpeg(frame(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)).shape == (160, 320, 3)
    grey = cv2.imencode('.jpg', frame()[..., 0])[1].tobytes()
    assert decode_jpeg(grey).shape == (160, 320, 3)


def test_every_truncation_is_refused_before_decoding(monkeypatch):
    data = jpeg(frame())
    # Older OpenCV decodes what there is and paints the rest grey.
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    for length in itertools.chain(range(0, 700), range(700, len(data) - 1, 97)):
        with pytest.raises(ImageError):
            decode_jpeg(data[:length])


def test_what_is_no_jpeg_is_refused():
    png = cv2.imencode('.png', frame())[1].tobytes()
    for data in (b'', b'\xff\xd8', b'hello', png, b'\xff\xd8' + b'\x00' * 100):
        with pytest.raises(ImageError, match='JPEG'):
            decode_jpeg(data)


@pytest.mark.parametrize(('width', 'height'), [(4097, 160), (320, 4097), (65535, 65535), (0, 160)])
def test_the_announced_size_is_checked_before_decoding(width, height, monkeypatch):
    data = bytearray(jpeg(frame()))
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = height.to_bytes(2, 'big') + width.to_bytes(2, 'big')
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    with pytest.raises(ImageError, match=f'{width} x {height}'):
        decode_jpeg(bytes(data))
