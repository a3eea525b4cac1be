# SPDX-License-Identifier: Apache-2.0
"""Drawings: overlays of frames, and plots. They return pictures and write no files."""
