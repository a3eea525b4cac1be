# SPDX-License-Identifier: Apache-2.0
"""Networks that steer: preprocessing, training, inference, evaluation; ROS only in `ros`."""
