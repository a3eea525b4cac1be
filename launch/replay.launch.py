# SPDX-License-Identifier: Apache-2.0
"""Replay: play the frames of a bag for the steering node, or check a network on them.

    ros2 launch sim_bridge replay.launch.py bag:=FOLDER [model:=my.keras] [rate:=1.0]
    ros2 launch sim_bridge replay.launch.py bag:=FOLDER check:=true [threshold:=0.01]

No simulator is needed. The bag must have one car; for several cars use `ros2 run sim_bridge
replay FOLDER`. The first command plays frames and vehicle topics in the time of the bag. The
second compares new steering with the recorded steering and prints the difference. For a result as
exit code use `ros2 run sim_bridge replay FOLDER --check`.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, GroupAction, Shutdown
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from sim_bridge.topics import (
    COMPRESSED_FRAME,
    SPEED,
    STATIC_TRANSFORMS,
    STEERING_ANGLE,
    THROTTLE,
    TWIST,
)

# Without the recorded commands, because the steering node publishes new ones.
PLAYED = [
    *(f'/{topic}' for topic in (COMPRESSED_FRAME, SPEED, STEERING_ANGLE, THROTTLE, TWIST)),
    STATIC_TRANSFORMS,
]

ARGUMENTS = [
    DeclareLaunchArgument('bag', description='folder of the bag'),
    DeclareLaunchArgument(
        'model', default_value='default', description='network file, or `default`'
    ),
    DeclareLaunchArgument('rate', default_value='1.0', description='playback speed, factor'),
    DeclareLaunchArgument('check', default_value='false', description='compare the steering'),
    DeclareLaunchArgument(
        'threshold', default_value='0.01', description='check: largest mean difference, rad'
    ),
]


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    bag, model = LaunchConfiguration('bag'), LaunchConfiguration('model')
    steering = Node(
        package='sim_bridge',
        executable='steering',
        name='steering',
        parameters=[{'model': model, 'use_sim_time': True}],
    )
    play = ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'play', bag, '--clock', '--rate', LaunchConfiguration('rate')),
            *('--topics', *PLAYED),
        ],
        output='screen',
        on_exit=Shutdown(reason='the bag has ended'),
    )
    check = ExecuteProcess(
        cmd=[
            *(ExecutableInPackage('replay', 'sim_bridge'), bag, '--check', model),
            *('--threshold', LaunchConfiguration('threshold')),
        ],
        output='screen',
        on_exit=Shutdown(reason='the check has ended'),
    )
    is_check = LaunchConfiguration('check')
    return LaunchDescription(
        [
            *ARGUMENTS,
            GroupAction([steering, play], condition=UnlessCondition(is_check)),
            GroupAction([check], condition=IfCondition(is_check)),
        ]
    )
