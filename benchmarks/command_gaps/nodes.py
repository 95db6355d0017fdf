# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How long an arm waits for a command while a chunk is computed: the policy node and another.

Both run ACT on one thread, slowed to 400 ms by computing the same answer again, for an arm in
another process.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
import torch
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from motion_policy.cli.measurement import Measurement
from motion_policy.nodes import policy_node
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.policies import Policy, PolicySpec, make_policy, save_policy
from motion_policy.policies.normalisation import Normalisation, Spread
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams.images import image_to_rgb
from motion_policy.streams.messages import read_joint_message

Float64Array = npt.NDArray[np.float64]

INFERENCE_S = 0.4
CHUNK_ROWS = 100
IMAGE_SIZE = 64
ALLOWED_GAP_MS = 30.0
PATIENCE_S = 60.0
ARM = Path(__file__).parent / 'arm.py'
NAMESPACE = f'bench_control_{os.getpid()}'  # no arm on this machine is to hear these commands


def measure_gaps(seconds: float) -> Measurement:
    """The greatest gap of both, `seconds` of commands each."""
    robot = load_robot_spec('tabletop_sim').model_copy(update={'rate': 50.0})
    policy = _random_act(robot)
    ours = _gaps_ms(seconds, lambda context: _policy_node(context, policy))
    reference = _gaps_ms(seconds, lambda context: _in_tick(context, policy))
    return Measurement(
        what=f'gaps between 50 Hz commands, ACT chunks of {CHUNK_ROWS}, {INFERENCE_S:g} s each',
        ours=float(ours.max()),
        reference=float(reference.max()),
        reference_name='a node that infers in its timer when its queue of actions is empty',
        unit='ms, greatest',
        target=ALLOWED_GAP_MS / float(reference.max()),
        details={
            'target_means': f'ours <= {ALLOWED_GAP_MS} ms',
            'commands_ours': len(ours) + 1,
            'commands_reference': len(reference) + 1,
            'p99_ours': float(np.percentile(ours, 99)),
            'p99_reference': float(np.percentile(reference, 99)),
            'threads': 1,
        },
    )


def _random_act(robot: RobotSpec) -> Policy:
    """ACT with random weights, whose targets stay about the middle of the limits."""
    torch.manual_seed(0)
    middle = robot.joints.limits.position_array().mean(axis=1)
    spread = Spread(mean=tuple(middle), std=(0.01,) * len(middle))
    hyper = {
        'chunk': CHUNK_ROWS, 'hidden_dim': 64, 'heads': 4, 'feedforward_dim': 128,
        'encoder_layers': 2, 'backbone': 'small', 'posterior': False,
    }  # fmt: skip
    spec = PolicySpec(
        kind='act',
        rate=50.0,
        cameras=(next(iter(robot.cameras)),),
        image_size=(IMAGE_SIZE, IMAGE_SIZE),
        hyper=hyper,
        normalisation=Normalisation(qpos=spread, action=spread),
        robot=robot,
    )
    return make_policy(spec).eval()


def _slowed(act: Callable[..., Any]) -> Callable[..., Any]:
    """Compute the same answer over and over until the time is up: a network of that size."""

    def slowed(*observed: Any) -> Any:
        until = time.monotonic() + INFERENCE_S
        while True:
            answer = act(*observed)
            if time.monotonic() >= until:
                return answer

    return slowed


@contextmanager
def _policy_node(context: Context, policy: Policy) -> Iterator[Node]:
    """The policy node, whose policy is as slow as one may be."""
    load = policy_node.load_policy

    def load_slowed(*arguments: Any) -> Policy:
        loaded = load(*arguments)
        loaded.act = _slowed(loaded.act)  # type: ignore[method-assign]
        return loaded

    policy_node.load_policy = load_slowed
    try:
        with TemporaryDirectory() as folder:
            checkpoint = save_policy(policy, Path(folder) / 'act')
            values = {'checkpoint': str(checkpoint), 'autostart': True, 'backend': 'eager'}
            node = PolicyNode(
                context=context,
                namespace=NAMESPACE,
                parameter_overrides=[Parameter(n, value=v) for n, v in values.items()],
            )
    finally:
        policy_node.load_policy = load
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        gc.unfreeze()  # the inference thread froze what lived


@contextmanager
def _in_tick(context: Context, policy: Policy) -> Iterator[Node]:
    node = _InTick(context, policy)
    try:
        yield node
    finally:
        node.destroy_node()


class _InTick(Node):
    """What it is compared with: one timer that publishes, and infers when nothing is left."""

    def __init__(self, context: Context, policy: Policy) -> None:
        super().__init__('in_tick', context=context, namespace=NAMESPACE)
        robot = policy.spec.robot
        self._camera = policy.cameras[0]
        self._topic = robot.joints.state[0]
        self._act = _slowed(policy.act)
        self._queue: deque[Float64Array] = deque()
        self._image: Image | None = None
        self._joints: JointState | None = None
        command = robot.joints.command[0].topic
        self._publisher = self.create_publisher(Float64MultiArray, command, 1)
        camera = robot.cameras[self._camera]
        self.create_subscription(Image, camera.topic, self._see, qos_profile_sensor_data)
        self.create_subscription(
            JointState, self._topic.topic, self._feel, qos_profile_sensor_data
        )
        self.create_timer(robot.period_ns * 1e-9, self._tick)

    def _see(self, message: Image) -> None:
        self._image = message

    def _feel(self, message: JointState) -> None:
        self._joints = message

    def _tick(self) -> None:
        if self._image is None or self._joints is None:
            return
        if not self._queue:
            qpos = read_joint_message(self._joints, self._topic).position
            image = image_to_rgb(self._image)
            chunk, _ = self._act(
                {
                    'qpos': torch.from_numpy(qpos.astype(np.float32))[None],
                    'images': {self._camera: torch.from_numpy(image.copy())[None]},
                },
                None,
            )
            self._queue.extend(chunk[0].double().numpy())
        self._publisher.publish(Float64MultiArray(data=self._queue.popleft().tolist()))


def _gaps_ms(seconds: float, open_node: Callable[[Context], AbstractContextManager[Node]]) -> Any:
    """Serve the arm for some seconds; return the times between its commands, as it heard them."""
    with _discovery('LOCALHOST'):
        context = Context()
        rclpy.init(context=context)
        try:
            with open_node(context) as node:
                times_ns = _served(context, node, seconds)
        finally:
            rclpy.shutdown(context=context)
    return np.diff(times_ns) / 1e6


def _served(context: Context, node: Node, seconds: float) -> npt.NDArray[np.int64]:
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    command = [sys.executable, str(ARM), NAMESPACE, str(seconds), node.get_name()]
    end = time.monotonic() + seconds + PATIENCE_S
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as arm:
        while arm.poll() is None and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        arm.kill()
        told = arm.stdout.read() if arm.stdout else ''
    executor.remove_node(node)
    executor.shutdown()
    if not told:
        raise RuntimeError(f'the arm heard no commands of {node.get_name()}')
    return np.array(json.loads(told), dtype=np.int64)


@contextmanager
def _discovery(where: str) -> Iterator[None]:
    name = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
    before = os.environ.get(name)
    os.environ[name] = where
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
