# SPDX-License-Identifier: Apache-2.0
"""What tests and benchmarks share: processes, ports, ROS domains and simulators."""
