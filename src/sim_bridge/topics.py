# SPDX-License-Identifier: Apache-2.0
"""Topics and transform frames of a drive: every name once, with its type. Pure.

A name is relative unless it begins with `/`. With several cars each relative name stands in the
namespace of its car: see `steering_net.cars`. The whole drive may stand in a namespace too, such
as /ego.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

COMPRESSED_FRAME = 'camera/image_raw/compressed'
RAW_FRAME = 'camera/image_raw'
ANNOTATED_FRAME = 'camera/image_annotated/compressed'
CAMERA_INFO = 'camera/camera_info'
SPEED = 'vehicle/speed'
TWIST = 'vehicle/twist'
JOINT_STATES = 'joint_states'
VEHICLE_LIMITS = 'vehicle/limits'
TRUE_ODOMETRY = 'ground_truth/odom'
TRUE_CROSS_TRACK = 'ground_truth/cross_track'
TRUE_LAPS = 'ground_truth/laps'
TRUE_LAP_TIME = 'ground_truth/lap_time'
TRUE_OFF_ROAD = 'ground_truth/off_road'
STEERING_ANGLE = 'vehicle/steering_angle'
THROTTLE = 'vehicle/throttle'
STEERING_COMMAND = 'cmd/steering'
THROTTLE_COMMAND = 'cmd/throttle'
STEERING_PLOT = 'steering'
SPEED_LIMIT = 'speed_limit'
ACTIVE_SPEED_LIMIT = 'speed_limit/active'
WANTED_SPEED_LIMIT = 'speed_limit/wanted'
SPEED_FACTOR = 'speed_factor'
UNCERTAINTY = 'uncertainty'
STEERING_READY = 'ready/steering'
THROTTLE_READY = 'ready/throttle'
RECORDER_READY = 'ready/recorder'
ODOMETRY = 'odom'
DRIVEN_PATH = 'path'
PREDICTED_PATH = 'predicted_path'
HOLD_ACTIVE = 'hold/active'
DRIVER = 'driver/active'
PERSON_COMMAND = 'driver/command'
CMD_VEL = 'cmd_vel'
CMD_VEL_STAMPED = 'cmd_vel_stamped'
ACKERMANN = 'ackermann_cmd'
JOY = 'joy'
RESETS = 'resets'
DIAGNOSTICS = 'diagnostics'
STEERING_NODES = 'steering_nodes'
CLOCK = '/clock'
TRANSFORMS = '/tf'
STATIC_TRANSFORMS = '/tf_static'

MAP_FRAME = 'map'
ODOM_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_link'
OPTICAL_FRAME = 'camera_optical_frame'

STEERING_JOINT = 'steering'
"""Name of the joint whose position is the steering of a command, rad, left positive."""


class Recording(Enum):
    """Whether `sim-bridge record` stores a topic when no topics are named."""

    NEVER = 'never'
    ONCE_PUBLISHED = 'once published'
    """From the first message after the recorder has seen a publisher."""
    FROM_THE_START = 'from the start'
    """From the first message of the drive: every drive has this topic."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: its message type `package/msg/Name`, the nodes that publish it, its meaning.

    publishers: names of nodes; none means that no node of a drive publishes it, but a user may.
    is_latched: a subscription that comes later gets the last message too (transient local).
    """

    type: str
    publishers: tuple[str, ...]
    meaning: str
    recording: Recording = Recording.NEVER
    is_latched: bool = False


TOPICS = {
    COMPRESSED_FRAME: Topic(
        type='sensor_msgs/msg/CompressedImage',
        publishers=('bridge',),
        meaning='JPEG of the simulator, its bytes unchanged.',
        recording=Recording.FROM_THE_START,
    ),
    # Not recorded: the bridge would have to decode every frame.
    RAW_FRAME: Topic(
        type='sensor_msgs/msg/Image',
        publishers=('bridge',),
        meaning='Frame, rgb8; decoded only while there is a subscription.',
    ),
    ANNOTATED_FRAME: Topic(
        type='sensor_msgs/msg/CompressedImage',
        publishers=('annotate',),
        meaning='Frame with the predicted path and figures drawn on it.',
    ),
    CAMERA_INFO: Topic(
        type='sensor_msgs/msg/CameraInfo',
        publishers=('bridge',),
        meaning='Pinhole camera, computed from the field of view.',
        recording=Recording.FROM_THE_START,
    ),
    SPEED: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='Measured speed, m/s.',
        recording=Recording.FROM_THE_START,
    ),
    TWIST: Topic(
        type='geometry_msgs/msg/TwistStamped',
        publishers=('bridge',),
        meaning='Measured speed of base_link, negative backwards, and yaw rate, m/s and rad/s; '
        'only while there is a subscription.',
        recording=Recording.FROM_THE_START,
    ),
    STEERING_ANGLE: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='Measured steering angle of the wheels, rad, left positive.',
        recording=Recording.FROM_THE_START,
    ),
    THROTTLE: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='Measured throttle, 0 to 1.',
        recording=Recording.FROM_THE_START,
    ),
    JOINT_STATES: Topic(
        type='sensor_msgs/msg/JointState',
        publishers=('bridge',),
        meaning='Angles, rad, and rates, rad/s, of the joints of the URDF; only while subscribed.',
    ),
    VEHICLE_LIMITS: Topic(
        type='diagnostic_msgs/msg/DiagnosticStatus',
        publishers=('bridge',),
        meaning='Dimensions and limits of the car, SI, as key and value.',
        is_latched=True,
    ),
    TRUE_ODOMETRY: Topic(
        type='nav_msgs/msg/Odometry',
        publishers=('bridge',),
        meaning='True pose in the frame map, and signed speed; from the embedded simulator only, '
        'while there is a subscription.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    TRUE_CROSS_TRACK: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='True distance from the centre line, m, left positive; as `ground_truth/odom`.',
    ),
    TRUE_LAPS: Topic(
        type='std_msgs/msg/UInt32',
        publishers=('bridge',),
        meaning='Number of completed laps; as `ground_truth/odom`.',
    ),
    TRUE_LAP_TIME: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='Duration of the newest lap, s, 0 before the first; as `ground_truth/odom`.',
    ),
    TRUE_OFF_ROAD: Topic(
        type='std_msgs/msg/Bool',
        publishers=('bridge',),
        meaning='Whether a wheel is beside the road; as `ground_truth/odom`.',
    ),
    STEERING_COMMAND: Topic(
        type='sensor_msgs/msg/JointState',
        publishers=('steering',),
        meaning='Joint `steering`, rad, left positive; has the stamp of the frame it answers.',
        recording=Recording.FROM_THE_START,
    ),
    THROTTLE_COMMAND: Topic(
        type='std_msgs/msg/Float32',
        publishers=('throttle',),
        meaning='Throttle, -1 to 1, negative brakes.',
        recording=Recording.FROM_THE_START,
    ),
    STEERING_PLOT: Topic(
        type='std_msgs/msg/Float32',
        publishers=('steering',),
        meaning='Angle of `cmd/steering` as a number, rad, for plots.',
    ),
    SPEED_LIMIT: Topic(
        type='std_msgs/msg/Float32',
        publishers=(),
        meaning='New speed limit, m/s; with a single car the parameter follows it. The bridge '
        'publishes it too if its parameter control is true.',
        recording=Recording.FROM_THE_START,
    ),
    WANTED_SPEED_LIMIT: Topic(
        type='std_msgs/msg/Float32',
        publishers=('bridge',),
        meaning='Newest valid `speed_limit`, m/s, for a throttle node that is started again.',
        is_latched=True,
    ),
    ACTIVE_SPEED_LIMIT: Topic(
        type='std_msgs/msg/Float32',
        publishers=('throttle',),
        meaning='Speed limit that the throttle node applies, m/s.',
        recording=Recording.FROM_THE_START,
        is_latched=True,
    ),
    SPEED_FACTOR: Topic(
        type='std_msgs/msg/Float32',
        publishers=('steering',),
        meaning='Share of the speed limit that the monitor of the network allows, 0 to 1.',
        recording=Recording.ONCE_PUBLISHED,
        is_latched=True,
    ),
    UNCERTAINTY: Topic(
        type='std_msgs/msg/Float32',
        publishers=('steering',),
        meaning='How unsure the network is, 0 to 1; 0.5 is the threshold. At most 25 a second.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    HOLD_ACTIVE: Topic(
        type='std_msgs/msg/Bool',
        publishers=('bridge',),
        meaning='Whether the car is held: braked and kept standing until it is released.',
        recording=Recording.FROM_THE_START,
        is_latched=True,
    ),
    DRIVER: Topic(
        type='std_msgs/msg/String',
        publishers=('bridge',),
        meaning='What drives: `simulator` (its keys), `hold`, `joystick`, `page`, `cmd_vel`, '
        '`ackermann_cmd`, `network` or `nobody`.',
        recording=Recording.FROM_THE_START,
        is_latched=True,
    ),
    PERSON_COMMAND: Topic(
        type='sensor_msgs/msg/JointState',
        publishers=('bridge',),
        meaning='What was sent for a frame while a person or planner drives: positions of '
        '`steering`, rad, and `throttle`, -1 to 1; has the stamp of the frame.',
        recording=Recording.FROM_THE_START,
    ),
    CMD_VEL: Topic(
        type='geometry_msgs/msg/Twist',
        publishers=(),
        meaning='Wanted speed `linear.x`, m/s, and yaw rate `angular.z`, rad/s; drives in place '
        'of the network.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    CMD_VEL_STAMPED: Topic(
        type='geometry_msgs/msg/TwistStamped',
        publishers=(),
        meaning='The same as `cmd_vel`, with a header, which is ignored.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    ACKERMANN: Topic(
        type='ackermann_msgs/msg/AckermannDriveStamped',
        publishers=(),
        meaning='Wanted speed, m/s, and wheel angle, rad; needs ackermann_msgs, which PyPI lacks.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    JOY: Topic(
        type='sensor_msgs/msg/Joy',
        publishers=(),
        meaning="Joystick; drives while its dead-man's button is pressed.",
        recording=Recording.ONCE_PUBLISHED,
    ),
    RESETS: Topic(
        type='std_msgs/msg/UInt32',
        publishers=('bridge',),
        meaning='Number of resets of the simulator; odometry starts anew after each.',
        recording=Recording.FROM_THE_START,
        is_latched=True,
    ),
    STEERING_READY: Topic(
        type='std_msgs/msg/Bool',
        publishers=('steering',),
        meaning='Whether the steering node is matched with the bridge.',
        is_latched=True,
    ),
    THROTTLE_READY: Topic(
        type='std_msgs/msg/Bool',
        publishers=('throttle',),
        meaning='Whether the throttle node is matched with the bridge.',
        is_latched=True,
    ),
    RECORDER_READY: Topic(
        type='std_msgs/msg/Bool',
        publishers=('recorder',),
        meaning='Whether the recorder is matched with every node of the drive.',
        is_latched=True,
    ),
    ODOMETRY: Topic(
        type='nav_msgs/msg/Odometry',
        publishers=('odometry',),
        meaning='Dead reckoning from speed and steering, m and rad; it drifts.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    DRIVEN_PATH: Topic(
        type='nav_msgs/msg/Path',
        publishers=('odometry',),
        meaning='Path driven so far, frame odom.',
    ),
    PREDICTED_PATH: Topic(
        type='visualization_msgs/msg/Marker',
        publishers=('odometry',),
        meaning='Path that the commanded steering leads to, frame base_link.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    DIAGNOSTICS: Topic(
        type='diagnostic_msgs/msg/DiagnosticArray',
        publishers=('annotate', 'bridge', 'foxglove', 'odometry', 'steering', 'throttle'),
        meaning='State, rates, latency, drops and their reasons, once a second.',
        recording=Recording.FROM_THE_START,
    ),
    STEERING_NODES: Topic(
        type='diagnostic_msgs/msg/DiagnosticStatus',
        publishers=('steering',),
        meaning='Cars that a steering node steers, if its parameter shared is true.',
    ),
    CLOCK: Topic(
        type='rosgraph_msgs/msg/Clock',
        publishers=('bridge',),
        meaning='Simulated time; only if the parameter use_sim_time of the bridge is true.',
    ),
    TRANSFORMS: Topic(
        type='tf2_msgs/msg/TFMessage',
        publishers=('odometry',),
        meaning='Transform from odom to base_link; needs tf2_msgs, which PyPI lacks.',
        recording=Recording.ONCE_PUBLISHED,
    ),
    STATIC_TRANSFORMS: Topic(
        type='tf2_msgs/msg/TFMessage',
        publishers=('static_transform_publisher',),
        meaning='Transforms from base_link to the camera; from the launch file.',
        recording=Recording.ONCE_PUBLISHED,
        is_latched=True,
    ),
}
"""Every topic of a drive by its name."""

TELEMETRY_FIELDS = {SPEED: 'speed_mps', STEERING_ANGLE: 'steering_rad', THROTTLE: 'throttle'}
"""Topics of single values of a telemetry, in the sequence of publishing: field of `Telemetry`."""

DRIVE_TOPICS = tuple(
    name for name, topic in TOPICS.items() if topic.recording is Recording.FROM_THE_START
)
"""Names of the recorded topics that every drive has, from its first frame on."""

RECORDED_TOPICS = tuple(
    name for name, topic in TOPICS.items() if topic.recording is not Recording.NEVER
)
"""Names of the topics that `sim-bridge record` stores when none are named."""


def steering_in(names: Iterable[str], positions: Sequence[float]) -> float | None:
    """Return the position of the joint `steering` of a command, rad, left positive.

    None if the joint or its position is missing.
    """
    joints = zip(names, positions, strict=False)
    return next((float(position) for name, position in joints if name == STEERING_JOINT), None)


def frame_prefix(namespace: str) -> str:
    """Prefix of the transform frames in a node's namespace: `ego/` for /ego, empty for /."""
    return f'{namespace.strip("/")}/'.lstrip('/')


def namespaces_of_cars(names: Iterable[str]) -> set[str]:
    """Namespaces of the cars to which these full names of topics belong: /ego, or '' for none."""
    endings = (f'/{COMPRESSED_FRAME}', f'/{SPEED}')
    return {
        name.removesuffix(ending) for name in names for ending in endings if name.endswith(ending)
    }


def car_of(topic: str) -> int:
    """Number of the car, counted from 1, to which a full name belongs; 1 without a car in it."""
    found = re.search(r'/car_([0-9]+)/', topic)
    return int(found[1]) if found else 1


def without_car(topic: str, cars: Iterable[str]) -> str:
    """A topic's full name without the namespace of its car: /ego/odom becomes /odom.

    `cars` are the namespaces of the cars.
    """
    found = [car for car in cars if topic.startswith(f'{car}/')]
    return topic.removeprefix(max(found, key=len, default=''))
