# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of two nodes with one processor each, on this machine."""

import os
import sys
from contextlib import contextmanager
from unittest.mock import patch

_STORE_BYTES = 100 << 20


@contextmanager
def two_nodes():
    """Yield the address of a cluster, and a function that kills its second node.

    The nodes find the modules of this process, which are not installed.
    """
    from ray.cluster_utils import Cluster

    path = os.pathsep.join(filter(None, sys.path))
    with patch.dict(os.environ, {'RAY_USAGE_STATS_ENABLED': '0', 'PYTHONPATH': path}):
        size = {'num_cpus': 1, 'object_store_memory': _STORE_BYTES}
        head = {**size, 'include_dashboard': False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(**size)
        try:
            yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
        finally:
            cluster.shutdown()
