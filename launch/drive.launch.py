# SPDX-License-Identifier: Apache-2.0
"""Drive: start the bridge, steering and throttle nodes, and the embedded simulator if wanted.

    ros2 launch sim_bridge drive.launch.py [simulator:=external] [speed_limit:=10.0] [cars:=4]

Without arguments the embedded simulator drives its track. The Udacity simulator may connect at any
time; the newest simulator drives. A node that ended is restarted. A spare takes over from a bridge
that ended or froze. The launch ends when the last embedded simulator ends. Its exit code is 1 when
a node rejects its parameters or a simulator fails. Arguments are checked before anything starts.
"""

import os
from collections.abc import Callable
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import (
    EqualsSubstitution,
    LaunchConfiguration,
    PathJoinSubstitution,
)
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage, FindPackageShare

from sim_bridge.bridge_client import client_host
from sim_bridge.cli.launching import (
    ENDS_WITH_LAUNCH,
    bridge_address,
    check_arguments,
    interrupt_blocking_prefix,
)
from sim_bridge.errors import UsageError
from sim_bridge.foxglove.urdf import with_link_prefix
from sim_bridge.limits import USUAL_PORT
from sim_bridge.process import (
    DRIVE_ID,
    DRIVE_VARIABLE,
    EXIT_REFUSED,
)
from sim_bridge.topics import (
    BASE_FRAME,
    CAMERA_FRAME,
    CAMERA_INFO,
    OPTICAL_FRAME,
    frame_prefix,
)
from steering_net.cars import prefixes
from steering_net.process import PARENT_VARIABLE
from steering_net.vehicle import REAR_AXLE_M
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA

# Pose of the simulator's camera in base_link in Autonomous mode, m and rad (REP-103): x is
# forward, z is up; positive yaw is to the left, positive pitch down, positive roll left side up.
# It is that of urdf/car.urdf, for a machine without robot_state_publisher.
CAMERA_ON_CAR = {
    '--x': str(REAR_AXLE_M + AUTONOMOUS_CAMERA.forward_m),
    '--z': str(AUTONOMOUS_CAMERA.height_m),
    '--roll': str(-AUTONOMOUS_CAMERA.roll_right_up_rad),
    '--pitch': str(AUTONOMOUS_CAMERA.pitch_down_rad),
    '--yaw': str(-AUTONOMOUS_CAMERA.yaw_right_rad),
}
# Rotation to the optical axes: z forward, y down (REP-103, suffix _optical).
OPTICAL = {'--roll': '-1.5707963', '--yaw': '-1.5707963'}

ARGUMENTS = [
    DeclareLaunchArgument(
        'simulator',
        default_value='embedded',
        choices=['embedded', 'external'],
        description='embedded: that of this package; external: one that you start',
    ),
    DeclareLaunchArgument(
        'track',
        default_value='0',
        description='embedded track: a seed, lake, jungle or hills:SEED',
    ),
    DeclareLaunchArgument(
        'weather', default_value='clear', description='embedded: clear, fog:1 to night:3'
    ),
    DeclareLaunchArgument(
        'laps', default_value='0', description='embedded: end after this number of laps; 0: never'
    ),
    DeclareLaunchArgument(
        'cars', default_value='1', description='number of cars, one simulator each'
    ),
    DeclareLaunchArgument(
        'namespace',
        default_value='',
        description='namespace of all topics, and prefix of all transform frames, such as ego',
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution(
            [FindPackageShare('sim_bridge'), 'config', 'drive.yaml']
        ),
        description='parameters of all nodes; other arguments override this file',
    ),
    DeclareLaunchArgument('host', default_value='', description='address to listen on'),
    DeclareLaunchArgument('port', default_value='', description='TCP port to listen on'),
    DeclareLaunchArgument(
        'control', default_value='', description='true: the page can drive, hold, reset and record'
    ),
    DeclareLaunchArgument('model', default_value='', description='network file, or `default`'),
    DeclareLaunchArgument('profile', default_value='', description='preprocessing of the network'),
    DeclareLaunchArgument(
        'camera',
        default_value='',
        description='camera of the simulator: autonomous, training, a pose, or as-trained',
    ),
    DeclareLaunchArgument(
        'backend',
        default_value='',
        choices=['', 'litert', 'keras'],
        description='litert or keras',
    ),
    DeclareLaunchArgument(
        'monitor',
        default_value='',
        choices=['', 'off', 'warn', 'slow', 'hold'],
        description='what happens where the network does not know the world',
    ),
    DeclareLaunchArgument(
        'shared',
        default_value='',
        description='true: other steering nodes, of other machines too, may share the cars',
    ),
    DeclareLaunchArgument('speed_limit', default_value='', description='speed limit, m/s'),
    DeclareLaunchArgument('record', default_value='false', description='record a bag (MCAP)'),
    DeclareLaunchArgument(
        'bag',
        default_value='drive_bag',
        description='folder of that bag; if it exists, a number is appended',
    ),
    DeclareLaunchArgument('rviz', default_value='false', description='open RViz'),
    DeclareLaunchArgument(
        'annotate', default_value='false', description='draw the predicted path on the frames'
    ),
    DeclareLaunchArgument(
        'odometry',
        default_value=LaunchConfiguration('rviz'),
        description='publish the driven path; true by default if rviz is true',
    ),
    DeclareLaunchArgument(
        'foxglove',
        default_value='false',
        description='show the drive to the Foxglove app on port 8765; needs foxglove-sdk',
    ),
]


def given(context: LaunchContext, **kinds: Callable[[str], object]) -> list[dict]:
    """Return the launch arguments that are not empty as parameters, converted to their types."""
    values = {name: context.launch_configurations[name] for name in kinds}
    return [{name: kinds[name](text)} for name, text in values.items() if text]


def is_true(text: str) -> bool:
    """Return the value of an argument that is true or false."""
    return text.strip().lower() in ('true', '1')


def check(context: LaunchContext) -> None:
    """Raise UsageError for an argument that is not valid, before anything is started."""
    check_arguments(context.launch_configurations)
    if is_true(context.launch_configurations['rviz']) and not is_installed('rviz2'):
        raise UsageError('launch argument rviz: the package rviz2 is not installed')


def is_installed(package: str) -> bool:
    """Return whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def fail_on_bad_input(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with exit code 1 if a node has rejected its parameters.

    A restart cannot help. Launch ends with exit code 1 when an event handler raises an exception.
    """
    if event.returncode == EXIT_REFUSED and not context.is_shutdown:
        raise RuntimeError(f'{event.process_name} did not accept its parameters, see above')


def end_with_simulators(count: int) -> Callable[[ProcessExited, LaunchContext], Shutdown | None]:
    """Return what ends the launch with the last simulator, with exit code 1 if one failed."""
    running = count

    def end(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
        nonlocal running
        if context.is_shutdown:
            return None
        if event.returncode:
            raise RuntimeError(f'the simulator ended with code {event.returncode}')
        running -= 1
        return None if running else Shutdown(reason='the simulators ended')

    return end


def start_prefix(context: LaunchContext) -> str | None:
    """Return the prefix of our commands; None, the default, if the user has set one for all."""
    return (
        None if 'launch-prefix' in context.launch_configurations else interrupt_blocking_prefix()
    )


def nodes(context: LaunchContext) -> list[Node]:
    """Return the three nodes, with the parameters file and the launch arguments."""
    file = LaunchConfiguration('params_file')
    cars = given(context, cars=int)
    revived = {
        'respawn': True,
        'respawn_delay': 0.5,
        'prefix': start_prefix(context),
        'on_exit': fail_on_bad_input,
    }
    return [
        Node(
            package='sim_bridge',
            executable='guarded-bridge',
            name='bridge',
            exec_name='bridge',
            parameters=[file, *cars, *given(context, host=str, port=int, control=is_true)],
            **revived,
        ),
        Node(
            package='sim_bridge',
            executable='steering',
            name='steering',
            exec_name='steering',
            parameters=[
                file,
                *cars,
                *given(context, model=str, profile=str, camera=str, backend=str, monitor=str),
                *given(context, shared=is_true),
            ],
            **revived,
        ),
        Node(
            package='sim_bridge',
            executable='throttle',
            name='throttle',
            exec_name='throttle',
            parameters=[file, *cars, *given(context, speed_limit=float)],
            **revived,
        ),
    ]


def viewers(context: LaunchContext) -> list[Node]:
    """Return the annotate and odometry nodes of each car, and the foxglove node of all.

    Each runs if its argument is true.
    """
    of_cars = [
        (name, prefix.rstrip('/'))
        for name in ('annotate', 'odometry')
        for prefix in prefixes(cars_of(context))
    ]
    return [
        Node(
            package='sim_bridge',
            executable=name,
            name=name,
            exec_name=name,
            namespace=namespace,
            parameters=[LaunchConfiguration('params_file')],
            prefix=start_prefix(context),
            on_exit=fail_on_bad_input,
            condition=IfCondition(LaunchConfiguration(name)),
        )
        for name, namespace in [*of_cars, ('foxglove', '')]
    ]


def simulator(
    context: LaunchContext, on_exit: Callable[[ProcessExited, LaunchContext], Shutdown | None]
) -> ExecuteProcess:
    """Return an embedded simulator, which connects when the nodes are ready."""
    values = context.launch_configurations
    namespace = values.get('ros_namespace', '')
    file_host, file_port = bridge_address(parameters_in(Path(values['params_file'])), namespace)
    host = client_host(values['host'] or file_host)
    port = values['port'] or file_port or USUAL_PORT
    is_recorded = IfCondition(LaunchConfiguration('record')).evaluate(context)
    return ExecuteProcess(
        cmd=[
            ExecutableInPackage('simulate', 'sim_bridge'),
            '--when-recorded' if is_recorded else '--when-ready',
            *('--url', f'ws://{host}:{port}'),
            *('--track', LaunchConfiguration('track')),
            *('--weather', LaunchConfiguration('weather')),
            *('--laps', LaunchConfiguration('laps')),
        ],
        name='simulator',
        prefix=start_prefix(context),
        output='screen',
        on_exit=on_exit,
        condition=IfCondition(EqualsSubstitution(LaunchConfiguration('simulator'), 'embedded')),
    )


def parameters_in(file: Path) -> object:
    """Return the content of a parameters file; None if it is no YAML, because the nodes say so."""
    try:
        return yaml.safe_load(file.read_bytes())
    except yaml.YAMLError:
        return None


def simulators(context: LaunchContext) -> list[ExecuteProcess]:
    """Return one embedded simulator per car."""
    count = cars_of(context)
    on_exit = end_with_simulators(count)
    return [simulator(context, on_exit) for _ in range(count)]


def cars_of(context: LaunchContext) -> int:
    """Return the number of cars."""
    return int(context.launch_configurations['cars'])


def transforms(context: LaunchContext) -> list[Node]:
    """Return the publishers of the transforms of each car.

    That is robot_state_publisher or, where it is not installed, two static publishers.
    """
    if not is_installed('robot_state_publisher'):
        return camera_transforms(context)
    urdf = Path(FindPackageShare('sim_bridge').perform(context), 'urdf', 'car.urdf')
    text = urdf.read_text(encoding='utf-8')
    frames = frames_of(context)
    return [
        car_model(prefix, with_link_prefix(text, frames + prefix))
        for prefix in prefixes(cars_of(context))
    ]


def frames_of(context: LaunchContext) -> str:
    """Return the prefix of all transform frames: that of the namespace of this launch."""
    return frame_prefix(context.launch_configurations.get('ros_namespace', ''))


def car_model(prefix: str, urdf: str) -> Node:
    """Return the publisher of the transforms and the description of one car."""
    return Node(
        package='robot_state_publisher',
        executable='robot_state_publisher',
        exec_name='robot_state_publisher',
        name='robot_state_publisher',
        namespace=prefix.rstrip('/'),
        parameters=[{'robot_description': ParameterValue(urdf, value_type=str)}],
        prefix=ENDS_WITH_LAUNCH,
    )


def camera_transforms(context: LaunchContext) -> list[Node]:
    """Return the static transforms from each car to its camera."""
    frames = frames_of(context)
    return [
        static_transform(frames + prefix + parent, frames + prefix + child, pose)
        for prefix in prefixes(cars_of(context))
        for parent, child, pose in (
            (BASE_FRAME, CAMERA_FRAME, CAMERA_ON_CAR),
            (CAMERA_FRAME, OPTICAL_FRAME, OPTICAL),
        )
    ]


def rviz(context: LaunchContext) -> Node:
    """Return RViz with the topics of the first car, in the namespace of this car."""
    file = PathJoinSubstitution([FindPackageShare('sim_bridge'), 'rviz', 'drive.rviz'])
    first = prefixes(cars_of(context))[0]
    frame = frames_of(context) + first + BASE_FRAME
    return Node(
        package='rviz2',
        executable='rviz2',
        exec_name='rviz2',
        namespace=first.rstrip('/'),
        arguments=['-d', file, '--fixed-frame', frame],
        # RViz makes an absolute name of `camera_info` from the relative name of the image.
        remappings=[(f'/{CAMERA_INFO}', CAMERA_INFO)],
        prefix=ENDS_WITH_LAUNCH,
        condition=IfCondition(LaunchConfiguration('rviz')),
    )


def static_transform(parent: str, child: str, pose: dict[str, str]) -> Node:
    """Return a publisher of a fixed transform between two frames."""
    options = [part for option in pose.items() for part in option]
    return Node(
        package='tf2_ros',
        executable='static_transform_publisher',
        exec_name='static_transform_publisher',
        name=f'{child.replace("/", "_")}_publisher',
        arguments=[*options, '--frame-id', parent, '--child-frame-id', child],
        prefix=ENDS_WITH_LAUNCH,
    )


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    record_file = PathJoinSubstitution(
        [FindPackageShare('sim_bridge'), 'launch', 'record.launch.py']
    )
    drive = [
        SetEnvironmentVariable(PARENT_VARIABLE, str(os.getpid())),
        SetEnvironmentVariable(DRIVE_VARIABLE, DRIVE_ID),
        PushRosNamespace(LaunchConfiguration('namespace')),
        OpaqueFunction(
            function=lambda context: [
                *nodes(context),
                *simulators(context),
                *viewers(context),
                *transforms(context),
                rviz(context),
            ]
        ),
        IncludeLaunchDescription(
            record_file,
            launch_arguments={
                'bag': LaunchConfiguration('bag'),
                'cars': LaunchConfiguration('cars'),
            }.items(),
            condition=IfCondition(LaunchConfiguration('record')),
        ),
    ]
    # A group, so that the namespace ends with it where another launch file includes this one.
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=check), GroupAction(drive)])
