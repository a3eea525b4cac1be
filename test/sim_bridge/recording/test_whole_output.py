# SPDX-License-Identifier: Apache-2.0
"""Output that is complete or not there."""

import pytest

from sim_bridge.recording.whole_output import whole_file, whole_folder


def test_file_is_there_at_the_end_only(tmp_path):
    path = tmp_path / 'film.mp4'
    with whole_file(path) as part:
        part.write_bytes(b'film')
        assert part.name == path.name
        assert not path.exists()
    assert path.read_bytes() == b'film'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('is_there', [False, True])
def test_folder_has_its_content_at_the_end_only(tmp_path, is_there):
    path = tmp_path / 'above' / 'set'
    if is_there:
        path.mkdir(parents=True)
    with whole_folder(path) as part:
        (part / 'meta').mkdir()
        (part / 'meta' / 'info').touch()
        assert not (path / 'meta').exists()
    assert [one.name for one in path.iterdir()] == ['meta']
    assert (path / 'meta' / 'info').is_file()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('whole', [whole_file, whole_folder])
def test_nothing_is_left_after_an_interrupt(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / 'x'):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
