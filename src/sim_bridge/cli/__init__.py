# SPDX-License-Identifier: Apache-2.0
"""The command `sim-bridge`: one file for each verb."""
