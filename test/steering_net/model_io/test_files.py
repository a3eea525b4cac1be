# SPDX-License-Identifier: Apache-2.0
"""Files appear only when they are complete, and have hashes."""

import hashlib

import pytest

from steering_net.errors import ModelError
from steering_net.model_io.files import publish, sha256_of, write_atomically


def test_a_file_that_is_written_is_readable_for_all_and_leaves_no_part(tmp_path):
    target = tmp_path / 'new' / 'file'
    for content in (b'old', b'new'):
        write_atomically(target, content)
        assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_cannot_be_written_leaves_no_part(tmp_path):
    """A full disk would become fuller with each try."""
    folder = tmp_path / 'folder'
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, b'content')
    assert list(tmp_path.iterdir()) == [folder]


def test_a_private_file_is_published_in_place_of_another(tmp_path):
    made, target = tmp_path / 'made', tmp_path / 'target'
    target.write_bytes(b'old')
    made.write_bytes(b'new')
    made.chmod(0o600)
    publish(made, target)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b'new', 0o644)
    assert not made.exists()


def test_the_hash_of_a_saved_model_changes_with_names_and_contents(tmp_path):
    (tmp_path / 'saved_model.pb').touch()
    file = tmp_path / 'variables' / 'file'
    write_atomically(file, b'1')
    assert sha256_of(file) == hashlib.sha256(b'1').hexdigest()
    hashes = {sha256_of(tmp_path)}
    file.write_bytes(b'2')
    hashes.add(sha256_of(tmp_path))
    file.rename(file.with_name('other'))
    hashes.add(sha256_of(tmp_path))
    assert len(hashes) == 3
    (tmp_path / 'net.h5').write_bytes(b'another network')
    assert sha256_of(tmp_path) in hashes


def test_a_folder_that_is_no_saved_model_is_refused_before_it_is_read(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ModelError, match=r'is a folder without saved_model\.pb'):
        sha256_of(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ModelError, match=r'cannot read the model .*none: No such file'):
        sha256_of(tmp_path / 'none')
