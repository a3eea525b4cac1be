# SPDX-License-Identifier: Apache-2.0
"""BatchWorkers: processes that make batches beside the training.

Threads would not do, because Python runs one at a time: two of them make fewer images/s than one.
This process chooses the frames and copies their crops into memory that it shares with the workers.
So a worker needs no copy of the frames in memory, and a batch does not depend on the workers.
"""

import functools
import itertools
import math
import mmap
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.process import process_pool
from steering_net.training.batches import PIECE_FRAMES, Batch, BatchMaker, Piece, Preparation
from steering_net.vision.crop import CROP_SHAPE
from steering_net.vision.preprocessing import Tensor


@dataclass(frozen=True)
class _Memory:
    """Shared memory for some batches: `shape` is (slots, n, h, w, 3), that of their inputs.

    `path` leads to it from another process. Another `inode` is other memory.
    """

    path: str
    inode: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return 4 * math.prod(self.shape) + math.prod((*self.shape[:2], *CROP_SHAPE))

    def opened(self) -> tuple[NDArray[np.uint8], Tensor]:
        """Return crops uint8 (slots, n, 95, 320, 3) RGB and inputs float32 (slots, n, h, w, 3)."""
        with open(self.path, 'r+b') as file:
            memory = np.frombuffer(mmap.mmap(file.fileno(), self.size), np.uint8)
        first, rest = np.split(memory, [4 * math.prod(self.shape)])
        inputs: Tensor = first.view(np.float32).reshape(self.shape)
        return rest.reshape(*self.shape[:2], *CROP_SHAPE), inputs


class BatchWorkers(AbstractContextManager['BatchWorkers']):
    """`count` processes that make the batches of a BatchMaker; they end with the context."""

    def __init__(self, maker: BatchMaker, count: int) -> None:
        self._maker = maker
        # One batch is copied and one is filled while the workers have the others.
        self._slots = 2 + math.ceil(count / math.ceil(maker.shape[0] / PIECE_FRAMES))
        self._pool = process_pool(count)

    def __exit__(self, *error: object) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)

    def batches(self, first_epoch: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        # Not in /dev/shm, because that has only 64 MB in a container.
        descriptor = os.memfd_create('batches')
        try:
            path, inode = f'/proc/{os.getpid()}/fd/{descriptor}', os.fstat(descriptor).st_ino
            memory = _Memory(path, inode, (self._slots, *self._maker.shape))
            try:
                os.ftruncate(descriptor, memory.size)
                crops, inputs = memory.opened()
            except (OSError, OverflowError) as error:
                raise MemoryError(f'{memory.size} bytes') from error
            yield from self._made_in(memory, crops, inputs, first_epoch)
        finally:
            os.close(descriptor)

    def _made_in(
        self, memory: _Memory, all_crops: NDArray[np.uint8], inputs: Tensor, first_epoch: int
    ) -> Iterator[Batch]:
        running: deque[list[Future[Tensor]]] = deque()
        slots = itertools.cycle(range(self._slots))
        for slot, step in zip(slots, self._maker.steps_from(first_epoch), strict=False):
            if len(running) == self._slots:
                # The oldest batch is in the slot that is due.
                labels = np.concatenate([piece.result() for piece in running.popleft()])
                # A copy, because TensorFlow keeps the array itself for a while.
                yield inputs[slot].copy(), labels
            running.append([])
            for piece, crops in self._maker.pieces(*step):
                np.stack(crops, out=all_crops[slot, piece.rows])
                task = self._pool.submit(_make, memory, slot, piece, self._maker.prepare)
                running[-1].append(task)


def _make(memory: _Memory, slot: int, piece: Piece, prepare: Preparation) -> Tensor:
    """Write the inputs of a piece into its slot; return its labels. Called in a worker."""
    crops, inputs = _opened(memory)
    return prepare(piece, crops[slot, piece.rows], inputs[slot, piece.rows])


@functools.lru_cache(1)
def _opened(memory: _Memory) -> tuple[NDArray[np.uint8], Tensor]:
    cv2.setNumThreads(1)
    return memory.opened()
