# SPDX-License-Identifier: Apache-2.0
"""Record: write the topics of a running drive to an MCAP bag.

    ros2 launch sim_bridge record.launch.py [bag:=FOLDER] [cars:=N]

Ctrl-C ends it. Without ros2 bag, `ros2 run sim_bridge record` writes the same.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from sim_bridge.topics import RECORDED_TOPICS, prefixes

ARGUMENTS = [
    DeclareLaunchArgument('bag', default_value='drive_bag', description='new folder of the bag'),
    DeclareLaunchArgument('cars', default_value='1', description='number of cars'),
    DeclareLaunchArgument(
        'qos_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('sim_bridge'), 'config', 'recording_qos.yaml']
        ),
        description='quality of service of the recording subscriptions',
    ),
]


def record(context: LaunchContext) -> ExecuteProcess:
    """Return the recorder of the topics of all cars."""
    cars = int(context.launch_configurations['cars'])
    topics = [
        name if name.startswith('/') else prefix + name
        for prefix in prefixes(cars)
        for name in RECORDED_TOPICS
    ]
    return ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'record', '--storage', 'mcap'),
            *('--output', LaunchConfiguration('bag')),
            *('--qos-profile-overrides-path', LaunchConfiguration('qos_file')),
            *topics,
        ],
        output='screen',
        # The recorder ends by itself only if it cannot record. The drive then ends too.
        on_exit=Shutdown(reason='the recording ended'),
    )


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=lambda c: [record(c)])])
