# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From a pressed pedal to the first command of the person who takes over, over DDS.

Simulated arm, policy node and person are processes of their own. The person has a leader that
speaks at 100 Hz and a pedal that is pressed at random moments, to take over and to give back.
Measured is from just before a press is published to when the node says, right after a command,
that this was the person's: the command itself is there sooner. `bench guards` has what a hand-over
does to the speed of the arm.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.cli.processes import NodeProcesses
from motion_policy.robot import load_robot_spec

SUMMARY = 'latency from a pressed pedal to the first command of a person who takes over, over DDS'
CHECKPOINT = 'sarnn_tabletop'
PERIODS = 2.0
LEADER_HZ, PEDAL_HZ = 100.0, 50.0
PATIENCE_S = 60.0
BETWEEN_S = (0.4, 0.7)  # two presses, at random
FEWEST = 10


def lines(seconds: float, device: str) -> list[Line]:
    """One part: presses for so long."""
    return [lambda: [_press(seconds)]]


class Person:
    """A leader, a pedal, and what the node says of who drives."""

    def __init__(self, robot_names: list[str]) -> None:
        self.node = Node('person', start_parameter_services=False)
        self.pressed, self.by_hand, self.changed_ns = 0, False, 0
        self._names, self._at = robot_names, [0.0, -0.9, 0.5, 0.9, 0.015]
        self._leader = self.node.create_publisher(JointState, 'leader/joint_states', 10)
        self._pedal = self.node.create_publisher(Joy, 'pedal', qos_profile_sensor_data)
        self.node.create_subscription(Bool, 'policy_node/intervention', self._hear, 100)
        self._enabling = self.node.create_client(SetBool, 'policy_node/enable')
        self.node.create_timer(1 / LEADER_HZ, self._lead)
        self.node.create_timer(1 / PEDAL_HZ, self.publish_pedal)
        self._executor = SingleThreadedExecutor(context=self.node.context)
        self._executor.add_node(self.node)

    def publish_pedal(self) -> None:
        """Say whether it is pressed."""
        message = Joy(buttons=[self.pressed])
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._pedal.publish(message)

    def wait(self, condition: Callable[[], bool], what: str, patience_s: float) -> None:
        """Take messages until it holds."""
        end_s = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end_s:
                raise RuntimeError(f'waited {patience_s:g} s for {what}')
            self._executor.spin_once(timeout_sec=0.01)

    def spin_for(self, seconds: float) -> None:
        """Take messages for so long."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=max(0.0, end_s - time.monotonic()))

    def enable(self) -> None:
        """Have the arm enabled."""

        def enabled() -> bool:
            asked = self._enabling.call_async(SetBool.Request(data=True))
            self.wait(asked.done, 'an answer', PATIENCE_S)
            self.spin_for(0.2)
            return bool(asked.result().success)

        self.wait(self._enabling.service_is_ready, 'the policy node', PATIENCE_S)
        self.wait(enabled, 'an enabled arm', PATIENCE_S)

    def press(self) -> float:
        """Press the pedal once; return how long it took until the other one drives [s]."""
        before, self.pressed = self.by_hand, 1
        begin_ns = time.monotonic_ns()
        self.publish_pedal()
        self.wait(lambda: self.by_hand != before, 'the command of the other', 5.0)
        took_s = (self.changed_ns - begin_ns) * 1e-9
        self.spin_for(0.05)
        self.pressed = 0
        return took_s

    def _lead(self) -> None:
        message = JointState(name=self._names, position=self._at)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._leader.publish(message)

    def _hear(self, message: Bool) -> None:
        if message.data != self.by_hand:
            self.by_hand, self.changed_ns = message.data, time.monotonic_ns()


def _press(seconds: float) -> Measurement:
    with NodeProcesses() as processes:
        values = yaml.safe_load(load_robot_spec('tabletop_sim').to_yaml())
        leader = {'topic': 'leader/joint_states', 'type': 'sensor_msgs/msg/JointState'}
        values['teleop'] = {'leader': leader, 'takeover': {'topic': 'pedal', 'button': 0}}
        spec = processes.log_dir / 'taken.yaml'
        spec.write_text(yaml.safe_dump(values), encoding='utf-8')
        processes.start_node('sim_node', {})
        processes.start_node(
            'policy_node',
            {'checkpoint': CHECKPOINT, 'robot': str(spec), 'autostart': True},
        )
        rclpy.init()
        try:
            taken, back = _presses(Person(values['joints']['names']), processes, seconds)
        finally:
            rclpy.shutdown()
    period_s = 1.0 / values['rate']
    in_periods = np.array(taken) / period_s
    return Measurement(
        what='from a pressed pedal to the first command of the person',
        ours=float(np.percentile(in_periods, 99)),
        reference=1.0,
        reference_name=f'a control period, {1e3 * period_s:g} ms',
        unit='periods, 99th percentile',
        target=PERIODS,
        details={
            'presses': len(taken),
            'median_ms': 1e3 * float(np.median(taken)),
            'p99_ms': 1e3 * float(np.percentile(taken, 99)),
            'max_ms': 1e3 * float(np.max(taken)),
            'back_median_ms': 1e3 * float(np.median(back)),
            'back_max_ms': 1e3 * float(np.max(back)),
        },
    )


def _presses(
    person: Person, processes: NodeProcesses, seconds: float
) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(0)
    person.enable()
    person.spin_for(3.0)
    taken, back = [], []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or len(taken) < FEWEST:
        processes.check()
        took_s = person.press()
        (taken if person.by_hand else back).append(took_s)
        person.spin_for(float(rng.uniform(*BETWEEN_S)))
    return taken, back


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
