# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Client of the simulated scene for scripts: services, states, waiting in simulated time.

Waiting is in simulated time, as the stamps of the joint states tell it; a scene that falls
silent ends every wait.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from motion_policy.nodes.subscriptions import message_class
from motion_policy.robot import RobotSpec
from motion_policy.streams import stamp_ns

LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
PATIENCE_S = 120.0  # real time; a first start reads all of torch from a cold disk
RETRY_PERIOD_S = 0.2
NANOSECONDS_PER_S = 1_000_000_000


class SceneError(RuntimeError):
    """A node refused or fell silent; the message names the service or topic and says why."""


class Latch:
    """A Bool topic; `changed_to(value)` is about what was heard since `clear`."""

    def __init__(self) -> None:
        self._heard: list[bool] = []

    def hear(self, message: Bool) -> None:
        """Take in one message."""
        self._heard.append(message.data)

    def clear(self) -> None:
        """Forget everything heard so far."""
        self._heard.clear()

    def rose(self) -> bool:
        """Whether a True followed a False: an old True that arrives late does not count."""
        return False in self._heard and self._heard[-1]

    def fell(self) -> bool:
        """Whether the newest is False."""
        return bool(self._heard) and not self._heard[-1]


class Trouble:
    """Whether the first status of a DiagnosticArray topic is an error now."""

    def __init__(self) -> None:
        self.now = False

    def hear(self, message: DiagnosticArray) -> None:
        """Take in one message."""
        self.now = message.status[0].level == DiagnosticStatus.ERROR


class SceneClient:
    """The node of a script; `alive` is called while waiting and raises when a process died."""

    def __init__(self, robot: RobotSpec, alive: Callable[[], None]) -> None:
        self._alive = alive
        self.robot = robot
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(
            f'scene_client_{os.getpid()}', context=self._context, use_global_arguments=False
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.state: JointState | None = None
        self.success = self.latch('sim_node/success')
        self._command_heard_s = 0.0
        command = robot.joints.command[0]
        self.subscribe(JointState, robot.joints.state[0].topic, self._hear_state)
        self.subscribe(message_class(command.type), command.topic, self._hear_command)

    def __enter__(self) -> SceneClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.remove_node(self.node)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    @property
    def now_ns(self) -> int:
        """Simulated time: the stamp of the newest joint state, 0 before the first."""
        return 0 if self.state is None else stamp_ns(self.state)

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> None:
        """Hear a topic; reliable, so that a video has no gaps."""
        self.node.create_subscription(kind, topic, callback, QoSProfile(depth=50))

    def latch(self, topic: str) -> Latch:
        """Hear a latched Bool."""
        latch = Latch()
        self.node.create_subscription(Bool, topic, latch.hear, LATCHED_QOS)
        return latch

    def trouble(self, topic: str) -> Trouble:
        """Hear a node's own status."""
        trouble = Trouble()
        self.subscribe(DiagnosticArray, topic, trouble.hear)
        return trouble

    def wait(
        self, condition: Callable[[], Any], what: str, timeout_s: float | None = None
    ) -> bool:
        """Serve callbacks until `condition()`; False after `timeout_s` of simulated time.

        Raises:
            SceneError: no joint state for PATIENCE_S of real time, or, without a time-out, the
                condition does not come.
        """
        start_ns, heard_ns, heard_s = self.now_ns, self.now_ns, time.monotonic()
        began_s = heard_s
        while not condition():
            self._executor.spin_once(timeout_sec=0.05)
            self._alive()
            now_s = time.monotonic()
            if self.now_ns != heard_ns:
                heard_ns, heard_s = self.now_ns, now_s
                start_ns = start_ns or heard_ns
            if timeout_s is not None and (self.now_ns - start_ns) > timeout_s * NANOSECONDS_PER_S:
                return False
            if timeout_s is None and now_s - began_s > PATIENCE_S:
                raise SceneError(f'{what}: waited {PATIENCE_S:.0f} s in vain')
            if timeout_s is not None and now_s - heard_s > PATIENCE_S:
                topic = self.node.resolve_topic_name(self.robot.joints.state[0].topic)
                raise SceneError(f'{topic}: silent for {PATIENCE_S:.0f} s')
        return True

    def wait_s(self, duration_s: float) -> None:
        """Let simulated time pass."""
        self.wait(lambda: False, 'time', duration_s)

    def reset_scene(self, cube: str) -> str:
        """Put the cube somewhere and the arm home, once nobody commands it; the sim's answer."""
        quiet_s = 0.3
        self.wait(lambda: time.monotonic() - self._command_heard_s > quiet_s, 'no more commands')
        self.set_parameter('sim_node', 'cube', cube)
        self.success.clear()
        line = self.trigger('sim_node/reset')
        self.wait(self.success.fell, 'sim_node/success after a reset')
        # What was measured before the reset is on its way no longer after this.
        self.wait_s(0.3)
        return line

    def trigger(self, service: str) -> str:
        """Call a Trigger service; its message. SceneError says why it was refused."""
        return self._checked(service, self._call(Trigger, service, Trigger.Request()))

    def switch(self, service: str, value: bool) -> str:
        """Call a SetBool service; its message. SceneError says why it was refused."""
        return self._checked(service, self._call(SetBool, service, SetBool.Request(data=value)))

    def until_accepted(self, call: Callable[[], str]) -> str:
        """Repeat a call that a node still refuses, as it does before it hears every stream."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return call()
            except SceneError:
                if time.monotonic() > end_s:
                    raise
            self._wait_until(time.monotonic() + RETRY_PERIOD_S)

    def _wait_until(self, end_s: float) -> None:
        self.wait(lambda: time.monotonic() > end_s, 'the next try')

    def set_parameter(self, node: str, name: str, value: str | float) -> None:
        """Set a parameter of a node."""
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        [result] = self._call(SetParameters, f'{node}/set_parameters', request).results
        if not result.successful:
            raise SceneError(f'{node}: parameter {name}: {result.reason}')

    def _call(self, kind: Any, service: str, request: Any) -> Any:
        client = self.node.create_client(kind, service)
        try:
            self.wait(client.service_is_ready, f'service {service}')
            future = client.call_async(request)
            self.wait(future.done, f'an answer of {service}')
            return future.result()
        finally:
            self.node.destroy_client(client)

    def _checked(self, service: str, response: Any) -> str:
        if not response.success:
            raise SceneError(f'{service}: {response.message}')
        message: str = response.message
        return message

    def _hear_state(self, message: JointState) -> None:
        self.state = message

    def _hear_command(self, _message: Any) -> None:
        self._command_heard_s = time.monotonic()
