# SPDX-License-Identifier: Apache-2.0
"""The services of simulation_interfaces, where that package is installed.

A step returns when its frame has come, so these services have a node and a thread of their own:
the bridge's executor must serve the commands for that frame meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from sim_bridge.nodes import conversions
from sim_bridge.nodes.car_interface import CarInterface
from sim_bridge.nodes.server_call import SERVER_S, ServerCall, call_on_server
from sim_bridge.nodes.state_topics import true_odometry
from sim_bridge.protocol.types import Control, Truth
from sim_bridge.session.car_session import CarSession, ControlError
from sim_bridge.session.simulation_control import NO_SIMULATOR, Reply, Result, SimulationControl

try:
    from simulation_interfaces import srv
except ImportError:
    srv = None

SERVICES = {
    'get_simulator_features': 'GetSimulatorFeatures',
    'get_simulation_state': 'GetSimulationState',
    'set_simulation_state': 'SetSimulationState',
    'reset_simulation': 'ResetSimulation',
    'step_simulation': 'StepSimulation',
    'get_entity_state': 'GetEntityState',
}
"""Services by name, which is also that of the method of `SimulationHandlers`, and their types."""


class SimulationHandlers:
    """The callbacks: each fills the fields of a response, whatever class that has."""

    def __init__(self, control: SimulationControl, cars: Mapping[str, CarInterface]) -> None:
        """`cars`: by the name of the entity."""
        self._control = control
        self._cars = cars

    def get_simulator_features(self, _request: Any, response: Any) -> Any:
        """Return what the connected simulators can do."""
        has_truth = any(car.newest_truth for car in self._cars.values())
        features = self._control.features(has_truth=has_truth)
        response.features.features = [int(feature) for feature in features]
        response.features.custom_info = 'sim_bridge; SimulateSteps and spawning are not offered'
        return response

    def get_simulation_state(self, _request: Any, response: Any) -> Any:
        """Return whether the simulators run."""
        response.state.state = int(self._control.world())
        return _filled(response, Reply())

    def set_simulation_state(self, request: Any, response: Any) -> Any:
        """Pause the simulators or let them go on."""
        return _filled(response, self._control.set_world(request.state.state))

    def reset_simulation(self, request: Any, response: Any) -> Any:
        """Put the cars back to the start."""
        return _filled(response, self._control.reset(request.scope))

    def step_simulation(self, request: Any, response: Any) -> Any:
        """Simulate frames of paused simulators."""
        return _filled(response, self._control.step(request.steps))

    def get_entity_state(self, request: Any, response: Any) -> Any:
        """Return the true pose and speed of a car."""
        car = self._cars.get(request.entity)
        if car is None:
            names = ', '.join(self._cars)
            return _filled(
                response,
                Reply(
                    Result.NOT_FOUND, f'entity is {request.entity!r}; it must be one of {names}'
                ),
            )
        if not car.has_client:
            return _filled(response, Reply(Result.INCORRECT_STATE, NO_SIMULATOR))
        text = car.newest_truth
        truth = Truth.parse(text) if text else None
        if truth is None:
            return _filled(
                response,
                Reply(Result.UNSUPPORTED, 'this simulator does not send where the car is'),
            )
        head = conversions.header(car.newest_stamp_ns, car.map_frame)
        response.state.header = head
        odometry = true_odometry(truth, head, '')
        response.state.pose = odometry.pose.pose
        # In the frame of the header, not in that of the car.
        speed_mps = odometry.twist.twist.linear.x
        level_mps = speed_mps * math.cos(truth.pitch_up_rad)
        response.state.twist.linear.x = level_mps * math.cos(truth.yaw_rad)
        response.state.twist.linear.y = level_mps * math.sin(truth.yaw_rad)
        response.state.twist.linear.z = speed_mps * math.sin(truth.pitch_up_rad)
        response.state.twist.angular.z = truth.yaw_rate_radps
        return _filled(response, Reply())


def _filled(response: Any, reply: Reply) -> Any:
    response.result.result = int(reply.result)
    response.result.error_message = reply.message
    return response


class SimulationServices:
    """A node with the services, and the thread that serves them. It needs the package."""

    def __init__(
        self,
        node: Node,
        cars: Mapping[CarInterface, tuple[CarSession, Callable[[float, Control], object]]],
        call_soon: ServerCall,
    ) -> None:
        """`cars`: of each car its session and the function that sends a control."""

        def on_server(action: Callable[[float], Reply]) -> Reply:
            try:
                return call_on_server(call_soon, action)
            except ControlError as error:
                return Reply(Result.OPERATION_FAILED, str(error))

        self._ending = threading.Event()
        control = SimulationControl(dict(cars.values()), on_server, self._ending.wait)
        named = {car.prefix.rstrip('/') or 'car': car for car in cars}
        handlers = SimulationHandlers(control, named)
        # Without the arguments of the process, because they may rename all its nodes.
        self._node = rclpy.create_node(
            'simulation',
            namespace=node.get_namespace(),
            use_global_arguments=False,
            enable_rosout=False,
        )
        for name, kind in SERVICES.items():
            self._node.create_service(getattr(srv, kind), name, getattr(handlers, name))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='simulation', daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        """End the services, and a request that waits for frames."""
        self._ending.set()
        self._executor.shutdown()
        self._thread.join(SERVER_S)
        self._node.destroy_node()


def offer_simulation_services(
    node: Node,
    cars: Mapping[CarInterface, tuple[CarSession, Callable[[float, Control], object]]],
    call_soon: ServerCall,
) -> Callable[[], None]:
    """Offer the services if the package is installed; return a function that ends them."""
    if srv is None:
        return lambda: None
    return SimulationServices(node, cars, call_soon).close
