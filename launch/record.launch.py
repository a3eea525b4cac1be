# SPDX-License-Identifier: Apache-2.0
"""Record: write the topics of a running drive to an MCAP bag, which `ros2 bag play` plays.

    ros2 launch sim_bridge record.launch.py [bag:=FOLDER] [cars:=N]

If FOLDER exists, a number is appended to its name. Ctrl-C ends the recording.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events.process import ProcessExited
from launch_ros.substitutions import ExecutableInPackage

from sim_bridge.cli.launching import check_arguments, interrupt_blocking_prefix, new_folder
from steering_net.process import PARENT_VARIABLE

DISCOVERY_VARIABLE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
ARGUMENTS = [
    DeclareLaunchArgument('bag', default_value='drive_bag', description='folder of the bag'),
    DeclareLaunchArgument('cars', default_value='1', description='number of cars'),
]


def fail(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with exit code 1, because the recorder ends by itself only in an error."""
    if not context.is_shutdown:
        raise RuntimeError(f'the recorder ended with code {event.returncode}')


def record(context: LaunchContext) -> list[LogInfo | ExecuteProcess]:
    """Return the recorder of the topics of all cars."""
    check_arguments(context.launch_configurations)
    folder = new_folder(Path(context.launch_configurations['bag']))
    recorder = ExecuteProcess(
        cmd=[
            ExecutableInPackage('record', 'sim_bridge'),
            str(folder),
            *('--cars', context.launch_configurations['cars']),
            *('--namespace', context.launch_configurations.get('ros_namespace', '')),
        ],
        name='recorder',
        prefix=interrupt_blocking_prefix(),
        output='screen',
        on_exit=fail,
    )
    return [LogInfo(msg=f'recording to {folder}'), recorder]


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    discovery = os.environ.get(DISCOVERY_VARIABLE, 'SUBNET')
    return LaunchDescription(
        [
            *ARGUMENTS,
            SetEnvironmentVariable(PARENT_VARIABLE, str(os.getpid())),
            SetEnvironmentVariable(DISCOVERY_VARIABLE, discovery),
            OpaqueFunction(function=record),
        ]
    )
