# SPDX-License-Identifier: Apache-2.0
"""Interruption: SIGINT and SIGTERM end a program's loop, while ROS stays usable until the end.

rclpy's own handlers shut ROS down at once and on a thread of their own, so that a publisher in the
middle of its work fails with "context is invalid". Here a signal only calls a function, such as
the one that ends the executor. The nodes then end one after the other.
"""

import os
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """The first SIGINT or SIGTERM of this process. Create it on the main thread.

    While `raises` is true, a signal raises KeyboardInterrupt on the main thread, which a system
    call that waits does not outlast. Otherwise it calls the function that `then` was given.

    Python runs signal handlers only between two of its own steps, and a wait for messages is one
    step. So a thread reads the pipe to which the interpreter writes each signal at once.
    """

    def __init__(self) -> None:
        self.raises = True
        self._lock = threading.Lock()
        self._came = False
        self._react: Callable[[], object] | None = None
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        threading.Thread(
            target=self._watch, args=(reader,), name='interruption', daemon=True
        ).start()

    @property
    def came(self) -> bool:
        """Whether a signal has come."""
        return self._came

    def then(self, react: Callable[[], object]) -> None:
        """Call `react` when a signal comes, at once if one has come; from any thread."""
        with self._lock:
            self._react = react
            is_due = self._came
        if is_due:
            react()

    def _on_signal(self, *_: object) -> None:
        if self.raises:
            raise KeyboardInterrupt

    def _watch(self, reader: int) -> None:
        while os.read(reader, 1)[0] not in SIGNALS:
            pass
        with self._lock:
            self._came = True
            react = self._react
        if react is not None:
            react()
