# SPDX-License-Identifier: Apache-2.0
"""Inference: backends, hot reload, and monitoring of the output."""
