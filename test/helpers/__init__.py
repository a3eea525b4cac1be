"""What tests and benchmarks share: processes, ports, ROS domains and simulators."""
