# SPDX-License-Identifier: Apache-2.0
"""Short trainings."""

from contextlib import contextmanager


@contextmanager
def run_eagerly():
    """Run the few steps of a small training one by one: to compile them first takes seconds."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
