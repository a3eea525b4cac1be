# SPDX-License-Identifier: Apache-2.0
"""Seeds of the flat tracks of tests and benchmarks."""

TRAIN_SEEDS = range(1000, 2000)
"""Seeds for training and validation. They must stay disjoint from TEST_SEEDS."""

TEST_SEEDS = range(0, 100)
"""Seeds for evaluation. No training may use them."""
