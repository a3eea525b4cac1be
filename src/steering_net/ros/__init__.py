"""The steering node, and the executor, runner, parameters and readiness of all nodes."""
