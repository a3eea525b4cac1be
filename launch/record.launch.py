"""Record: the topics of a drive into an MCAP bag, beside a drive that runs.

    ros2 launch sim_bridge record.launch.py [bag:=FOLDER]

Ctrl-C ends it. Where there is no ros2 bag, `ros2 run sim_bridge record` writes the same.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from sim_bridge.nodes.recorder import TOPICS

ARGUMENTS = [
    DeclareLaunchArgument('bag', default_value='drive_bag', description='folder to create'),
    DeclareLaunchArgument(
        'qos_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('sim_bridge'), 'config', 'recording_qos.yaml']
        ),
        description='quality of service of the recording subscriptions',
    ),
]


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` runs."""
    record = ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'record', '--storage', 'mcap'),
            *('--output', LaunchConfiguration('bag')),
            *('--qos-profile-overrides-path', LaunchConfiguration('qos_file')),
            *TOPICS,
        ],
        output='screen',
    )
    return LaunchDescription([*ARGUMENTS, record])
