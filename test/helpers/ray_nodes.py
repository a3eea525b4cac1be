# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of two nodes with one processor each, on this machine."""

from contextlib import contextmanager

_STORE_BYTES = 100 << 20


@contextmanager
def two_nodes():
    """Yield the address of a cluster, and a function that kills its second node."""
    from ray.cluster_utils import Cluster

    size = {'num_cpus': 1, 'object_store_memory': _STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**size, 'include_dashboard': False})
    second = cluster.add_node(**size)
    try:
        yield cluster.address, lambda: cluster.remove_node(second, allow_graceful=False)
    finally:
        cluster.shutdown()
