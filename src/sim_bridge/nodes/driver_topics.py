# SPDX-License-Identifier: Apache-2.0
"""The topics on which a person or a planner drives a car, and those that say what drives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Header, String

from sim_bridge import topics
from sim_bridge.control.motion_controller import Motion, Pedals
from sim_bridge.nodes import conversions
from sim_bridge.nodes.server_call import ServerCall
from sim_bridge.protocol.types import Command
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.timeouts import SourceTimeouts
from steering_net.ros.parameters import Parameter
from steering_net.ros.qos import EVERY, LATCHED, NEWEST
from steering_net.ros.readiness import has_publisher
from steering_net.vehicle import MAX_STEERING_RAD

try:
    from ackermann_msgs.msg import AckermannDriveStamped
except ImportError:
    AckermannDriveStamped = None


@dataclass(frozen=True)
class JoyLayout:
    """Numbers of the axes and of the dead-man's button of a joystick, counted from 0."""

    steering_axis: int = 0
    throttle_axis: int = 1
    deadman_button: int = 0


PARAMETERS = (
    Parameter(
        'cmd_vel_timeout',
        SourceTimeouts.topic_s,
        'Time after which a silent `cmd_vel` or `ackermann_cmd` no longer drives, s.',
        0.05,
        5.0,
        read_only=False,
    ),
    Parameter(
        'joy_timeout',
        SourceTimeouts.joystick_s,
        'Time after which a silent joystick no longer drives, s.',
        0.05,
        5.0,
        read_only=False,
    ),
    Parameter(
        'page_timeout',
        SourceTimeouts.page_s,
        'Time after which a silent page no longer drives, s.',
        0.05,
        5.0,
        read_only=False,
    ),
    Parameter(
        'joy_steering_axis',
        JoyLayout.steering_axis,
        'Axis of the joystick that steers, left is 1.',
        0,
        63,
    ),
    Parameter(
        'joy_throttle_axis',
        JoyLayout.throttle_axis,
        'Axis of the throttle; a negative value brakes.',
        0,
        63,
    ),
    Parameter(
        'joy_deadman_button',
        JoyLayout.deadman_button,
        'Button that must be pressed to drive.',
        0,
        63,
    ),
)


class JoyError(ValueError):
    """A joystick without the axes or the button of the parameters; the message names them."""


def motion_of_twist(twist: Twist) -> Motion:
    """Return the motion of a geometry_msgs/Twist; other directions are ignored."""
    return Motion(float(twist.linear.x), yaw_rate_radps=float(twist.angular.z))


def motion_of_ackermann(drive: Any) -> Motion:
    """Return the motion of an ackermann_msgs/AckermannDrive; its rates are ignored."""
    return Motion(float(drive.speed), steering_rad=float(drive.steering_angle))


def pedals_of_joy(message: Joy, layout: JoyLayout) -> Pedals | None:
    """Return the command of a sensor_msgs/Joy; None while the dead-man's button is released.

    Raises JoyError if the joystick lacks an axis or the button.
    """
    axes, buttons = message.axes, message.buttons
    if layout.deadman_button >= len(buttons):
        raise JoyError(
            f'joy_deadman_button is {layout.deadman_button}; this joystick has {len(buttons)} '
            'buttons, counted from 0'
        )
    for name in ('steering_axis', 'throttle_axis'):
        if getattr(layout, name) >= len(axes):
            raise JoyError(
                f'joy_{name} is {getattr(layout, name)}; this joystick has {len(axes)} axes, '
                'counted from 0'
            )
    if not buttons[layout.deadman_button]:
        return None
    steering_rad = MAX_STEERING_RAD * float(axes[layout.steering_axis])
    return Pedals(steering_rad, float(axes[layout.throttle_axis]))


class DriverTopics:
    """Subscriptions for the commands of persons and planners of one car, and what drives it.

    The subscriptions cost nothing while no node publishes. `cmd_vel` has the type Twist and
    `cmd_vel_stamped` the type TwistStamped, because a topic has one type: so both kinds of
    planners work without a parameter, the second kind with a remapping.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        session: CarSession,
        *,
        joy: JoyLayout,
        call_soon: ServerCall,
    ) -> None:
        self._node = node
        self._session = session
        self._joy = joy
        self._call_soon = call_soon
        self._joystick_drives = False
        inputs: dict[str, tuple[Any, Callable[[Any], None]]] = {
            topics.CMD_VEL: (Twist, self._on_twist),
            topics.CMD_VEL_STAMPED: (TwistStamped, self._on_twist_stamped),
            topics.JOY: (Joy, self._on_joy),
        }
        if AckermannDriveStamped is not None:
            inputs[topics.ACKERMANN] = (AckermannDriveStamped, self._on_ackermann)
        for name, (kind, callback) in inputs.items():
            node.create_subscription(kind, prefix + name, callback, NEWEST)
        self._planner_topics = [prefix + name for name in inputs if name != topics.JOY]
        self._driver = node.create_publisher(String, prefix + topics.DRIVER, LATCHED)
        self._command = node.create_publisher(JointState, prefix + topics.PERSON_COMMAND, EVERY)
        session.on_driver = self._publish_driver
        session.on_person_command = self._publish_command
        self._publish_driver()

    # Called on the executor's thread.

    @property
    def has_planner(self) -> bool:
        """Whether a node publishes commands, so that a car needs no network to be ready."""
        return any(has_publisher(self._node, topic) for topic in self._planner_topics)

    def _on_twist(self, message: Twist) -> None:
        self._hear(Driver.TWIST, motion_of_twist(message))

    def _on_twist_stamped(self, message: TwistStamped) -> None:
        self._hear(Driver.TWIST, motion_of_twist(message.twist))

    def _on_ackermann(self, message: Any) -> None:
        self._hear(Driver.ACKERMANN, motion_of_ackermann(message.drive))

    def _on_joy(self, message: Joy) -> None:
        try:
            pedals = pedals_of_joy(message, self._joy)
        except JoyError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        if pedals is not None:
            self._hear(Driver.JOYSTICK, pedals)
        elif self._joystick_drives:
            self._call_soon(lambda now_s: self._session.let_go(now_s, Driver.JOYSTICK))
        self._joystick_drives = pedals is not None

    def _hear(self, source: Driver, command: Motion | Pedals) -> None:
        self._call_soon(lambda now_s: self._session.person(now_s, source, command))

    # Called on the server's thread.

    def _publish_driver(self) -> None:
        self._driver.publish(String(data=self._session.driver.value))

    def _publish_command(self, stamp_ns: int, command: Command) -> None:
        if self._command.get_subscription_count():
            self._command.publish(
                JointState(
                    header=Header(stamp=conversions.time_message(stamp_ns)),
                    name=[topics.STEERING_JOINT, 'throttle'],
                    position=[command.steering_rad, command.throttle],
                )
            )
