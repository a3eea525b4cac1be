# SPDX-License-Identifier: Apache-2.0
"""Packed network: a network that can be sent to other processes and machines."""

import functools
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from steering_net.inference.predictor import (
    LiteRtPredictor,
    Predictor,
    load_predictor,
    warm_up,
)
from steering_net.model_io.metadata import origin_path
from steering_net.vision.profile import Profile, format_profile


@dataclass(frozen=True)
class PackedNetwork:
    """The LiteRT file of a network with its origin, its profile, and the camera of its frames.

    For the backend `keras` there are no files, because Keras needs the user's file: `path` must
    exist wherever the network is loaded.
    """

    path: Path
    sha256: str
    files: tuple[tuple[str, bytes], ...]
    profile: Profile
    camera: str

    def digest(self) -> str:
        """Return the sha256 of all that determines what the network answers."""
        found = hashlib.sha256(repr((self.sha256, self.profile, self.camera)).encode())
        for name, content in self.files:
            found.update(name.encode() + content)
        return found.hexdigest()

    def load(self) -> Predictor:
        """Return the predictor; within a process the same one for the same network."""
        return _load(self)


def pack(predictor: Predictor) -> PackedNetwork:
    """Return what `PackedNetwork.load` needs to make a predictor with the same answers."""
    path = predictor.path
    wanted = (path, origin_path(path)) if predictor.backend == 'litert' else ()
    files = [file for file in wanted if file.is_file()]
    contents = tuple((f'network{"".join(file.suffixes)}', file.read_bytes()) for file in files)
    camera = predictor.view.camera
    return PackedNetwork(path, predictor.sha256, contents, predictor.profile, camera)


@functools.lru_cache(maxsize=2)
def _load(network: PackedNetwork) -> Predictor:
    if not network.files:
        profile = format_profile(network.profile)
        return load_predictor(network.path, 'keras', profile, camera=network.camera)
    with tempfile.TemporaryDirectory(prefix='sim_bridge-') as folder:
        for name, content in network.files:
            Path(folder, name).write_bytes(content)
        litert = Path(folder, network.files[0][0])
        predictor = LiteRtPredictor(litert, network.profile, camera=network.camera)
    warm_up(predictor)
    return predictor
