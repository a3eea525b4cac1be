# SPDX-License-Identifier: Apache-2.0
"""Libraries that a program does not import, because each import delays its start."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ('module', 'left_out'),
    [
        ('sim_bridge.cli.main', {'numpy', 'rclpy'}),
        ('sim_bridge.cli.drive', {'numpy', 'rosbags', 'rclpy', 'ai_edge_litert'}),
        ('sim_bridge.cli.evaluate', {'rosbags', 'rclpy', 'ai_edge_litert'}),
        ('sim_bridge.nodes.throttle', {'cv2', 'eventlet', 'flask'}),
        (
            'steering_net.ros.steering_node',
            {'h5py', 'keras', 'steering_net.model_io.importers.layers'},
        ),
    ],
)
def test_program_starts_without(module, left_out):
    program = f'import sys, {module}; print(*sys.modules)'
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert module in imported
    assert not imported & left_out
