# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of two nodes with one processor each, on this machine."""

import os
from contextlib import contextmanager
from unittest.mock import patch

from helpers.processes import own_modules

_STORE_BYTES = 100 << 20


@contextmanager
def two_nodes():
    """Yield the address of a cluster, and a function that kills its second node.

    The nodes find the modules of this process, which are not installed.
    """
    from ray.cluster_utils import Cluster

    with patch.dict(os.environ, {'RAY_USAGE_STATS_ENABLED': '0', **own_modules()}):
        size = {'num_cpus': 1, 'object_store_memory': _STORE_BYTES}
        head = {**size, 'include_dashboard': False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(**size)
        try:
            yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
        finally:
            cluster.shutdown()
