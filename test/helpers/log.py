# SPDX-License-Identifier: Apache-2.0
"""Collects what the packages log, whatever other pytest plugins did to their loggers."""

import logging

OWN = ('sim_bridge', 'steering_net')


class Log(logging.Handler):
    """The warnings and errors of all loggers, in a list.

    The plugins of ROS 2's launch make loggers that do not hand their records on to the root
    logger, so that `caplog` stays empty. This handler is added to each such logger too.
    """

    def __init__(self):
        super().__init__(logging.WARNING)
        self.records = []
        names = [name for name in logging.root.manager.loggerDict if name.startswith(OWN)]
        own = [logging.getLogger(name) for name in names]
        self._listened = [logging.root, *(logger for logger in own if not logger.propagate)]

    def emit(self, record):
        """Keep a record."""
        self.records.append(record)

    @property
    def messages(self):
        """The texts of the records."""
        return [record.getMessage() for record in self.records]

    @property
    def text(self):
        """The records as a log would show them, tracebacks too."""
        return '\n'.join(map(logging.Formatter().format, self.records))

    def __enter__(self):
        for logger in self._listened:
            logger.addHandler(self)
        return self

    def __exit__(self, *_):
        for logger in self._listened:
            logger.removeHandler(self)
