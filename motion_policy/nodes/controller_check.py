# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that ros2_control's controllers at the command topics are set as our commands need it.

Their parameters are asked for while the node works, so nobody waits for an answer; who is no
joint_trajectory_controller, or does not answer, is not complained of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from motion_policy.robot import JointTopic, RobotSpec

try:
    from controller_manager_msgs.srv import ListControllers
except ImportError:  # not among the wheels
    ListControllers = None

TOPICS = ('/joint_trajectory', '/commands')  # of controllers, below their names
NAMES = (
    'interpolate_from_desired_state',
    'open_loop_control',  # the same until Jazzy
    'allow_trajectory_replacement',
    'allow_partial_joints_goal',
    'interpolation_method',
    'joints',
)


class ControllerCheck:
    """Looks at the controllers of a robot's command topics; call `look` now and then.

    `inactive()` names those that would let every command go by.
    """

    def __init__(self, node: Node, robot: RobotSpec) -> None:
        self._node = node
        self._controllers = {
            name: topic
            for topic in robot.joints.command
            if (name := controller_name(node.resolve_topic_name(topic.topic)))
        }
        self._pending: dict[tuple[str, str], Any] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self._states: dict[str, str] = {}
        self._managers: dict[str, Any] = {}
        for name, topic in self._controllers.items():
            if topic.type == 'trajectory_msgs/msg/JointTrajectory':
                client = node.create_client(GetParameters, f'{name}/get_parameters')
                self._pending |= {(name, key): client for key in NAMES}
            if ListControllers is not None:
                manager = f'{name.rpartition("/")[0]}/controller_manager/list_controllers'
                if manager not in self._managers:
                    self._managers[manager] = node.create_client(ListControllers, manager)
        self._clients = [*set(self._pending.values()), *self._managers.values()]

    def look(self) -> None:
        """Ask whoever is there; what they answer is told when it comes."""
        for name in list(self._controllers):
            self._ask_for_parameters(name)
        for service, client in self._managers.items():
            if client.service_is_ready():
                future = client.call_async(ListControllers.Request())
                namespace = service.rpartition('/controller_manager/')[0]
                future.add_done_callback(lambda f, n=namespace: self._take_states(n, f.result()))

    def inactive(self) -> list[str]:
        """Describe each controller of a command topic that is loaded, but not active."""
        return [
            f'controller {name} is {state}, expected active: it would not obey'
            for name, state in self._states.items()
            if name in self._controllers and state != 'active'
        ]

    def destroy(self) -> None:
        """Remove the clients from the node."""
        for client in self._clients:
            self._node.destroy_client(client)
        self._clients, self._pending, self._managers = [], {}, {}

    def _ask_for_parameters(self, name: str) -> None:
        asked = [place for place in self._pending if place[0] == name]
        if not asked or not self._pending[asked[0]].service_is_ready():
            return
        for place in asked:
            # One by one: a controller answers nothing at all where it lacks one of them.
            future = self._pending.pop(place).call_async(GetParameters.Request(names=[place[1]]))
            future.add_done_callback(lambda f, p=place: self._take(p, f.result()))

    def _take(self, place: tuple[str, str], answer: Any) -> None:
        name, key = place
        values = self._values.setdefault(name, {})
        found = [parameter_value_to_python(value) for value in answer.values] if answer else []
        values[key] = found[0] if found else None
        if len(values) == len(NAMES):
            for problem in setting_problems(name, self._controllers[name], values):
                self._node.get_logger().warning(problem)

    def _take_states(self, namespace: str, answer: Any) -> None:
        if answer is not None:
            self._states |= states_of(namespace, answer.controller)


def controller_name(topic: str) -> str:
    """Return the node name of the controller that a command topic belongs to; '' for none."""
    name, _, last = topic.rpartition('/')
    return name if f'/{last}' in TOPICS else ''


def states_of(namespace: str, controllers: Iterable[Any]) -> dict[str, str]:
    """The states of controllers that a manager lists, by their node names."""
    return {f'{namespace}/{controller.name}': controller.state for controller in controllers}


def setting_problems(name: str, topic: JointTopic, values: Mapping[str, Any]) -> list[str]:
    """What of a controller's parameters does not go with our commands; None is one it lacks."""
    problems = []
    parameters = [key for key in NAMES[:2] if values.get(key) is not None]
    if parameters and not any(values[key] for key in parameters):
        problems.append(
            f'{parameters[0]} is false, expected true: each command would go on from where the '
            'arm is measured, which lags behind, and the arm would shake'
        )
    if topic.send == 'chunk' and values.get('allow_trajectory_replacement'):
        problems.append(
            'allow_trajectory_replacement is true, expected false: trajectories would count from '
            'their reception'
        )
    if values.get('interpolation_method') == 'none':
        problems.append("interpolation_method is 'none', expected 'splines': the arm would jump")
    joints = values.get('joints')
    if joints:
        sent = topic.message_names
        missing = set(joints) - set(sent)
        if set(sent) - set(joints) or (missing and not values.get('allow_partial_joints_goal')):
            problems.append(
                f'joints are [{", ".join(joints)}], the robot spec sends [{", ".join(sent)}]: '
                'it refuses all of that'
            )
    return [f'controller {name}: {problem}' for problem in problems]
