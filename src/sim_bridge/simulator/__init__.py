# SPDX-License-Identifier: Apache-2.0
"""The embedded simulator: tracks, camera, car, and the Socket.IO client of the bridge."""
