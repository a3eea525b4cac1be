# SPDX-License-Identifier: Apache-2.0
"""Replay: play the frames of a bag for the steering node, or check a network on them.

    ros2 launch sim_bridge replay.launch.py bag:=FOLDER [model:=my.keras] [rate:=1.0]
    ros2 launch sim_bridge replay.launch.py bag:=FOLDER check:=true [threshold:=0.01]

No simulator is needed. The bag may have several cars. The first command plays frames and vehicle
topics in the time of the bag. The second compares new steering with the recorded steering and
prints the difference; the exit code is 1 if the difference is greater than the threshold. It takes
a bag of one car; for a bag of several: `ros2 run sim_bridge replay FOLDER --check --car N`.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from sim_bridge.cli.launching import (
    check_arguments,
    count_cars,
    interrupt_blocking_prefix,
    present,
    topics_in_bag,
)
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    SPEED,
    STATIC_TRANSFORMS,
    STEERING_ANGLE,
    THROTTLE,
    TWIST,
)
from steering_net.process import PARENT_VARIABLE

DISCOVERY_VARIABLE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
# Without the recorded commands, because the steering node publishes new ones.
PLAYED = (COMPRESSED_FRAME, SPEED, STEERING_ANGLE, THROTTLE, TWIST, STATIC_TRANSFORMS)

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


def end(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """End the launch with a program, with exit code 1 if the program failed."""
    if context.is_shutdown:
        return None
    if event.returncode:
        raise RuntimeError(f'{event.process_name} ended with code {event.returncode}, see above')
    return Shutdown(reason=f'{event.process_name} has ended')


def program(name: str, *words: str) -> ExecuteProcess:
    """Return the verb `replay` with these arguments; the launch ends with it."""
    return ExecuteProcess(
        cmd=[ExecutableInPackage('replay', 'sim_bridge'), *words],
        name=name,
        prefix=interrupt_blocking_prefix(),
        output='screen',
        on_exit=end,
    )


def replay(context: LaunchContext) -> list[Node | ExecuteProcess]:
    """Return the player and the steering node of its cars, or the check of a network."""
    values = context.launch_configurations
    check_arguments(values)
    topics = topics_in_bag(Path(values['bag']))
    if IfCondition(LaunchConfiguration('check')).evaluate(context):
        words = ('--check', values['model'], '--threshold', values['threshold'])
        return [program('check', values['bag'], *words)]
    steering = [
        Node(
            package='sim_bridge',
            executable='steering',
            name='steering',
            exec_name='steering',
            namespace=namespace,
            parameters=[{'model': values['model'], 'cars': number, 'use_sim_time': True}],
            prefix=interrupt_blocking_prefix(),
            on_exit=end,
        )
        for namespace, number in count_cars(topics).items()
    ]
    played = present(PLAYED, topics)
    words = ('--clock', '--rate', values['rate'], '--when-subscribed', '--topics', *played)
    return [*steering, program('player', values['bag'], *words)]


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    discovery = os.environ.get(DISCOVERY_VARIABLE, 'SUBNET')
    return LaunchDescription(
        [
            *ARGUMENTS,
            SetEnvironmentVariable(PARENT_VARIABLE, str(os.getpid())),
            SetEnvironmentVariable(DISCOVERY_VARIABLE, discovery),
            OpaqueFunction(function=replay),
        ]
    )
