# SPDX-License-Identifier: Apache-2.0
"""Worlds: geometry, markings, ground and light of each track with terrain. Pure data, no car."""
