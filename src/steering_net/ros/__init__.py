# SPDX-License-Identifier: Apache-2.0
"""The steering node, and the executor, runner, parameters and readiness of all nodes."""
