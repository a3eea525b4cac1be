# SPDX-License-Identifier: Apache-2.0
"""Requests for another network are checked before anything is loaded."""

import shutil

import pytest

from steering_net.inference.hot_reload import Request, check
from steering_net.inference.predictor import default_model


@pytest.mark.parametrize('name', ['net', 'NET.KERAS', 'net.txt'])
def test_the_content_of_a_file_decides_whether_it_is_a_network(tmp_path, name):
    path = shutil.copy(default_model(), tmp_path / name)
    check(Request(str(path)))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('net.h5', b'text', r'^net\.h5 cannot be loaded: its content is not that of a \.h5 file$'),
        ('net.h5', None, 'there is no model file'),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        check(Request(str(tmp_path / name)))


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match='unknown profile'):
        check(Request('default', 'none'))
