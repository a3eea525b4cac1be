# SPDX-License-Identifier: Apache-2.0
"""The Foxglove server: PyPI's foxglove-sdk, and a relay in front of it that checks and bounds."""

DEFAULT_PORT = 8765
"""TCP port that the Foxglove app suggests."""
