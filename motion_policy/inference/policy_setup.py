# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Picklable settings of a policy runner, from which every process makes the same one."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from motion_policy.control import ChunkExecution, Mix, PolicyRunner
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.policy_runner import PolicyFacts
from motion_policy.errors import UserError
from motion_policy.inference.cpu_affinity import use_cores
from motion_policy.inference.shared_frames import SharedFrames
from motion_policy.policies import Policy, check_robot, load_policy
from motion_policy.policies.backends.selection import BackEndChoice, use_back_end
from motion_policy.policies.checkpoint import Checkpoint
from motion_policy.policies.kinds import model_class
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation
from motion_policy.streams.images import RgbImage
from motion_policy.streams.joint_values import JointVectors
from motion_policy.streams.messages import Float32Array

QUESTION = struct.Struct('qqq')  # time, since when predictions count, cameras
NUMBER_BYTES = 8
PackedJoints = tuple[bytes, bytes, bytes | None]
PackedVectors = dict[str, bytes]
Load = Callable[[Checkpoint, str], Policy]


@dataclass(frozen=True)
class PolicySetup:
    """A checkpoint, what it drives, and who computes it where."""

    checkpoint: Checkpoint
    robot: RobotSpec
    device: str = 'cpu'
    threads: int = 1
    mix: Mix = field(default_factory=Mix)
    chunks: ChunkExecution = field(default_factory=ChunkExecution)
    back_end: BackEndChoice = field(default_factory=BackEndChoice)
    cpus: frozenset[int] = frozenset()  # cores to compute on; none: any

    @property
    def answers_chunks(self) -> bool:
        """Whether policies of this kind answer many rows, for which they compute long."""
        kind = model_class(self.checkpoint.spec.kind)
        return issubclass(kind, Policy) and kind.chunk_rows is not Policy.chunk_rows

    @property
    def cameras(self) -> tuple[str, ...]:
        """Those that the policy looks through."""
        return self.checkpoint.spec.cameras

    def make_runner(self, say: Callable[[str], None], load: Load = load_policy) -> PolicyRunner:
        """Load the policy, check that it fits, choose its back end; UserError says what is wrong.

        `say` gets a line about slow work. The calling thread then stays on the cores.
        """
        if self.cpus:
            say(f'inference: {use_cores(self.cpus)}')
        torch.set_num_threads(self.threads)
        policy = load(self.checkpoint, checked_device(self.device))
        check_robot(policy, self.robot)  # before work that takes long
        if policy.chunk_rows > 1:
            self.chunks.check_rows(policy.chunk_rows)
        use_back_end(policy, self.back_end, time.perf_counter_ns, say)
        return PolicyRunner(policy, self.robot, self.mix, ensemble=self.chunks.ensemble)

    def begin(self, say: Callable[[str], None]) -> PolicyWork:
        """The same, warm, as the work of a process of its own."""
        runner = self.make_runner(say)
        runner.warm_up()
        return PolicyWork(runner)


class PolicyWork:
    """A runner that is asked from another process."""

    def __init__(self, runner: PolicyRunner) -> None:
        self._runner = runner

    @property
    def facts(self) -> PolicyFacts:
        """What a controller must know of the policy."""
        return self._runner.facts

    def reset(self) -> None:
        """Begin a new task."""
        self._runner.reset()

    def answer(
        self,
        images: Mapping[str, RgbImage],
        joints: PackedJoints,
        vectors: PackedVectors,
        *arguments: Any,
    ) -> tuple[bytes, dict[str, Any]]:
        """Take a step; `arguments` as of `PolicyRunner.infer`. A `packed_chunk`, extras."""
        qpos, qvel, effort = (
            None if values is None else np.frombuffer(values, np.float32) for values in joints
        )
        assert qpos is not None and qvel is not None
        numbers = {name: np.frombuffer(values, np.float32) for name, values in vectors.items()}
        observation = Observation(qpos, qvel, effort, dict(images), action=None, vectors=numbers)
        chunk, extras = self._runner.infer(observation, *arguments)
        return packed_chunk(chunk), extras

    def quick_answer(self, frames: SharedFrames, question: bytes) -> bytes:
        """Take the step of a `packed_question`; return a `packed_chunk`."""
        time_ns, since_ns, cameras = QUESTION.unpack_from(question)
        begin = QUESTION.size + cameras
        places = zip(frames.cameras, question[QUESTION.size : begin], strict=True)
        images = frames.at(dict(places))
        joints = np.frombuffer(question[begin:], np.float32)
        qpos, qvel, *effort = joints.reshape(-1, len(self._runner.robot.joints.names))
        observation = Observation(qpos, qvel, effort[0] if effort else None, images, action=None)
        chunk, _ = self._runner.infer(observation, False, time_ns, since_ns)
        return packed_chunk(chunk)


def packed_joints(
    qpos: Float32Array, qvel: Float32Array, effort: Float32Array | None
) -> PackedJoints:
    """Positions, velocities and efforts (J,) as bytes: arrays take long to be sent."""
    return qpos.tobytes(), qvel.tobytes(), None if effort is None else effort.tobytes()


def packed_question(
    places: Mapping[str, int], joints: JointVectors, time_ns: int, since_ns: int
) -> bytes:
    """A step in bytes, for `PolicyWork.quick_answer`; the places are in the cameras' order.

    `joints` are positions, velocities and efforts (J,) float32, the latter None without.
    """
    head = QUESTION.pack(time_ns, since_ns, len(places)) + bytes(places.values())
    return head + b''.join(values.tobytes() for values in joints if values is not None)


def packed_chunk(chunk: Float64Array) -> bytes:
    """A chunk (k, J) in bytes, whatever its shape: that is looked at by who takes it."""
    shape = np.array((chunk.ndim, *chunk.shape), dtype=np.int64)
    return shape.tobytes() + np.asarray(chunk, dtype=np.float64).tobytes()


def unpacked_chunk(packed: bytes) -> Float64Array:
    """The chunk (k, J) of `packed_chunk`, read-only."""
    (dimensions,) = np.frombuffer(packed, np.int64, 1)
    shape = np.frombuffer(packed, np.int64, dimensions, NUMBER_BYTES)
    numbers = np.frombuffer(packed[(1 + dimensions) * NUMBER_BYTES :])
    chunk: Float64Array = numbers.reshape(shape)
    return chunk


def checked_device(name: str) -> str:
    """Return `name` if torch can compute there; UserError otherwise."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"parameter 'device' is '{name}', not usable here: {first_line}") from None
    return name
