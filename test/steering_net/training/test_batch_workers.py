# SPDX-License-Identifier: Apache-2.0
"""Batches by worker processes: they are those that one process makes."""

import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import numpy as np
import pytest

from helpers.training import BELOW, PLAIN, samples
from steering_net.training.augmentation import Augmentation
from steering_net.training.batch_workers import BatchWorkers
from steering_net.training.batches import BatchMaker
from steering_net.training.config import TrainConfig
from steering_net.training.frames import rendered_frames
from steering_net.training.recorded_frames import recorded_frames
from steering_net.vision.profile import COURSE

pytestmark = pytest.mark.slow


def maker_of(folder, size):
    pools = [recorded_frames([], PLAIN, BELOW), rendered_frames(samples(40), BELOW)]
    config = TrainConfig(folder, batch_size=size, steps_per_epoch=3, augmentation=Augmentation())
    return BatchMaker(config, COURSE.below(50), pools)


@pytest.mark.parametrize(('count', 'size'), [(1, 70), (3, 5)])
def test_batches_do_not_depend_on_the_workers(tmp_path, count, size):
    maker = maker_of(tmp_path, size)
    with BatchWorkers(maker, count) as workers:
        # One that is not read to its end, as Keras reads it for several GPUs.
        unread = workers.batches(0)
        next(unread)
        made = list(islice(workers.batches(5), 20))
    for (x, y), (its_x, its_y) in zip(made, maker.batches(5), strict=False):
        np.testing.assert_array_equal(x, its_x)
        np.testing.assert_array_equal(y, its_y)
    assert not multiprocessing.active_children()


def test_a_worker_that_was_killed_does_not_block_the_training(tmp_path):
    with BatchWorkers(maker_of(tmp_path, 5), 2) as workers:
        batches = workers.batches(0)
        next(batches)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            list(islice(batches, 50))


def test_shared_memory_that_cannot_be_had_is_a_lack_of_memory(tmp_path):
    maker = maker_of(tmp_path, 5)
    maker.shape = (10**9, *maker.shape[1:])
    with BatchWorkers(maker, 2) as workers, pytest.raises(MemoryError):
        next(workers.batches(0))
