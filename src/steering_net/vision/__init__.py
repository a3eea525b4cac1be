# SPDX-License-Identifier: Apache-2.0
"""Camera frames: decoding, preprocessing to the tensor of a network, and camera geometry."""
