# SPDX-License-Identifier: Apache-2.0
"""UsageError: a mistake in options or configuration that the user must fix."""


class UsageError(RuntimeError):
    """A mistake of the user; the message is one line that names the value and the fix."""
