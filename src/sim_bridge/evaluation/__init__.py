# SPDX-License-Identifier: Apache-2.0
"""Evaluation of networks: on recordings and on embedded tracks."""
