# SPDX-License-Identifier: Apache-2.0
"""One function called for many items: in this process, in worker processes, or on Ray."""
