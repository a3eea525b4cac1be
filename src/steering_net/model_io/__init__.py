# SPDX-License-Identifier: Apache-2.0
"""Files of networks: reading, conversion, metadata."""
