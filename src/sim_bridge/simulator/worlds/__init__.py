# SPDX-License-Identifier: Apache-2.0
"""Worlds with hills: geometry, markings, ground and light of each named one. Pure data, no car."""
