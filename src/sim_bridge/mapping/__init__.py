# SPDX-License-Identifier: Apache-2.0
"""Recordings on the map: the place on a known track at which each frame was taken."""
