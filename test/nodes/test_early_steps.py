# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk policy in a process begins its step before its images were looked at, never for them.

What it answers is what it would have answered, and an image that is rejected moves nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

import torch
from fake_arm import (
    FakeArm,
    MakeNode,
    assert_safe,
    save_random_chunk_policy,
    save_random_policy,
)
from rcl_interfaces.msg import Log
from rclpy.serialization import serialize_message
from ros_testing import Bench
from sensor_msgs.msg import Image

from motion_policy.control import ChunkExecution
from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.control.observing import MeasuredJoints
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup, packed_chunk, unpacked_chunk
from motion_policy.inference.policy_thread import InferenceThread, PolicyStep
from motion_policy.inference.shared_frames import READY, ReadyFrames, SharedFrames, unnamed_memory
from motion_policy.nodes.subscriptions import SerializedMessage
from motion_policy.policies.backends.selection import BackEndChoice
from motion_policy.policies.checkpoint import read_checkpoint
from motion_policy.streams import Row, Sample, Sampler, observation_from_row

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
ROBOT = formula_arm()
CAMERA = ROBOT.cameras['top']
PATIENCE_S = 300.0
PERIOD_NS = 20_000_000
ROWS = 40


def message_of(image: npt.NDArray[np.uint8], encoding: str = 'rgb8') -> SerializedMessage:
    height, width, _ = image.shape
    message = Image(height=height, width=width, encoding=encoding, step=3 * width)
    message.data.frombytes(np.ascontiguousarray(image))
    return SerializedMessage(bytes(serialize_message(message)), Image)


def random_image(seed: int) -> npt.NDArray[np.uint8]:
    shape = (CAMERA.height, CAMERA.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class Joints:
    """A joint state message, as far as it is read."""

    def __init__(self, seed: int) -> None:
        self.name = list(ROBOT.joints.names)
        self.position = np.random.default_rng(seed).uniform(-0.01, 0.01, len(self.name)).tolist()
        self.velocity: list[float] = []
        self.effort: list[float] = []


def row_of(step: int, image: SerializedMessage) -> Row:
    now_ns = (step + 1) * PERIOD_NS
    values = {'top': image, 'state': Joints(step)}
    return Row(now_ns, {name: Sample(now_ns, now_ns, value) for name, value in values.items()}, {})


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_chunk_policy(tmp_path_factory.mktemp('models') / 'act', ROBOT, ROWS)


@pytest.fixture
def usual_parameters() -> dict[str, Any]:
    return {'backend': 'eager', 'inference.isolation': 'process', 'max_frozen': 0.0}


def begun_process(checkpoint: Path) -> InferenceProcess:
    setup = PolicySetup(read_checkpoint(checkpoint), ROBOT, back_end=BackEndChoice('eager'))
    return InferenceProcess(setup, print, PATIENCE_S)


@pytest.fixture(scope='module')
def shared_process(checkpoint: Path) -> Iterator[InferenceProcess]:
    made = begun_process(checkpoint)
    yield made
    made.close()


@pytest.fixture
def process(shared_process: InferenceProcess) -> InferenceProcess:
    """A process that a test leaves alive."""
    shared_process.reset()
    return shared_process


@pytest.fixture
def own_process(checkpoint: Path) -> Iterator[InferenceProcess]:
    """A process that a test ends."""
    made = begun_process(checkpoint)
    yield made
    made.close()


@pytest.fixture
def served_process(process: InferenceProcess, monkeypatch: pytest.MonkeyPatch) -> InferenceProcess:
    """A process for an inference thread, which would close it at its end."""
    monkeypatch.setattr(process, 'close', lambda: None)
    return process


def begin(process: InferenceProcess, row: Row, explain: bool = False) -> bool:
    measured = MeasuredJoints(ROBOT)
    measured.read(row)
    return process.begin(row, measured.joints(), explain, 0)


@pytest.mark.parametrize('explain', [False, True])
def test_a_step_that_was_begun_gives_the_numbers_of_one_that_was_asked_for(
    process: InferenceProcess, explain: bool
) -> None:
    for step in range(READY + 2):
        row = row_of(step, message_of(random_image(step)))
        process.ready.put('top', row.samples['top'].value)
        assert begin(process, row, explain)
        found, extras = process.finish()
        observation = observation_from_row(row, ROBOT)
        expected, expected_extras = process.infer(observation, explain, row.time_ns, 0)
        np.testing.assert_array_equal(found, expected)
        assert found.shape == (ROWS, len(ROBOT.joints.names))
        assert extras.keys() == expected_extras.keys() and bool(extras) == explain
        for name, value in expected_extras.items():
            np.testing.assert_array_equal(extras[name], value)


@pytest.mark.parametrize(('encoding', 'put'), [('rgb8', False), ('bgr8', True)])
def test_no_step_is_begun_on_an_image_that_is_not_there_or_not_rgb(
    process: InferenceProcess, encoding: str, put: bool
) -> None:
    row = row_of(0, message_of(random_image(0), encoding))
    if put:
        process.ready.put('top', row.samples['top'].value)
    assert not begin(process, row)


def test_no_step_of_a_policy_with_a_memory_is_begun(tmp_path: Path) -> None:
    setup = PolicySetup(read_checkpoint(save_random_policy(tmp_path / 'sarnn', ROBOT)), ROBOT)
    process = InferenceProcess(setup, print, PATIENCE_S)
    try:
        row = row_of(0, message_of(random_image(0)))
        process.ready.put('top', row.samples['top'].value)
        assert not begin(process, row)
    finally:
        process.close()


@pytest.mark.parametrize('shape', [(5, 3), (3,), (0, 3), (2, 0)])
def test_a_chunk_keeps_its_shape_however_wrong_that_is(shape: tuple[int, ...]) -> None:
    chunk = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(unpacked_chunk(packed_chunk(chunk)), chunk)


def test_what_goes_wrong_in_a_begun_step_is_said_as_in_any_other(
    process: InferenceProcess,
) -> None:
    row = row_of(0, message_of(random_image(0)))
    process.ready.put('top', row.samples['top'].value)
    short = np.zeros(2, np.float32)
    for explain in (False, True):
        assert process.begin(row, (short, short, None), explain, 0)
        with pytest.raises(RuntimeError, match='Error: '):
            process.finish()
    assert begin(process, row)  # a step that raised is no end
    process.finish()


def test_a_reset_comes_before_the_step_that_is_begun_after_it(checkpoint: Path) -> None:
    chunks, eager = ChunkExecution(ensemble=0.01), BackEndChoice('eager')
    setup = PolicySetup(read_checkpoint(checkpoint), ROBOT, chunks=chunks, back_end=eager)
    process = InferenceProcess(setup, print, PATIENCE_S)
    rows = [row_of(step, message_of(random_image(step))) for step in range(2)]
    for row in rows:
        process.ready.put('top', row.samples['top'].value)

    def taken(row: Row) -> npt.NDArray[np.float64]:
        assert begin(process, row)
        return process.finish()[0]

    try:
        alone = taken(rows[1])
        process.reset()
        taken(rows[0])
        assert not np.array_equal(taken(rows[1]), alone)  # the mean of two predictions
        for _ in range(5):
            process.reset()
            taken(rows[0])
            process.reset()
            np.testing.assert_array_equal(taken(rows[1]), alone)
    finally:
        process.close()


def test_a_begun_step_that_nobody_takes_is_dropped_before_the_next_one(
    process: InferenceProcess,
) -> None:
    rows = [row_of(step, message_of(random_image(step))) for step in range(2)]
    for row in rows:
        process.ready.put('top', row.samples['top'].value)
    assert begin(process, rows[0])
    assert not begin(process, rows[1])  # one at a time
    asked = (observation_from_row(rows[1], ROBOT), True, rows[1].time_ns, 0)
    found = process.infer(*asked)[0]
    assert begin(process, rows[0])
    process.reset()
    np.testing.assert_array_equal(process.infer(*asked)[0], found)


def test_a_process_that_dies_in_a_begun_step_is_a_named_fault(
    own_process: InferenceProcess,
) -> None:
    process = own_process
    row = row_of(0, message_of(random_image(0)))
    process.ready.put('top', row.samples['top'].value)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert begin(process, row)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match='inference process ended: signal 9'):
        process.finish()
    assert not begin(process, row)


def test_an_image_that_is_looked_at_stays_however_many_come() -> None:
    frames = SharedFrames(ROBOT, ['top'], unnamed_memory())
    ready = ReadyFrames(frames)
    first = message_of(random_image(0))
    ready.put('top', first)
    places = ready.find({'top': first})
    assert places is not None
    later = [message_of(random_image(seed)) for seed in range(1, 3 * READY)]
    for message in later:
        ready.put('top', message)
    np.testing.assert_array_equal(frames.at(places)['top'], random_image(0))
    # So do the two newest, of which a tick may want either.
    for seed in (len(later), len(later) - 1):
        found = ready.find({'top': later[seed - 1]})
        assert found is not None
        np.testing.assert_array_equal(frames.at(found)['top'], random_image(seed))
    assert ready.find({'top': later[0]}) is None
    ready.put('top', message_of(random_image(0)[:-2]))  # of another size: left alone
    ready.put('side', first)  # of a camera that nobody looks through


class Listener:
    """Takes what an inference thread has to say."""

    def __init__(self) -> None:
        self.steps: list[PolicyStep] = []
        self.failures: list[str] = []

    def wants_extras(self) -> bool:
        return False

    def take_step(self, step: PolicyStep) -> None:
        self.steps.append(step)

    def take_failure(self, reason: str, observation_ns: int) -> None:
        self.failures.append(reason)

    def wait_for(self, steps: int, failures: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while (len(self.steps), len(self.failures)) != (steps, failures):
            assert time.monotonic() < end, (len(self.steps), self.failures)
            time.sleep(0.002)


def test_a_rejected_image_is_a_failure_whose_step_is_never_taken(
    served_process: InferenceProcess,
) -> None:
    process = served_process
    listener = Listener()
    thread = InferenceThread(ROBOT, listener, CameraMonitor(ROBOT))
    thread.start(lambda: process)
    measured = MeasuredJoints(ROBOT)

    def ask(step: int, image: npt.NDArray[np.uint8]) -> None:
        row = row_of(step, message_of(image))
        process.ready.put('top', row.samples['top'].value)
        measured.read(row)
        thread.request(row, 0, measured.joints())
        thread.wake()

    black = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    try:
        ask(0, random_image(0))
        listener.wait_for(1, 0)
        ask(1, black)
        listener.wait_for(1, 1)
        assert 'black' in listener.failures[0]
        ask(2, black)  # the step before is still out
        listener.wait_for(1, 2)
        ask(3, random_image(3))
        listener.wait_for(2, 2)
        assert [step.observation_ns // PERIOD_NS for step in listener.steps] == [1, 4]
        seen = observation_from_row(row_of(3, message_of(random_image(3))), ROBOT)
        expected = process.infer(seen, False, 0, 0)[0]
        np.testing.assert_array_equal(listener.steps[1].chunk, expected)
    finally:
        thread.stop()


def test_a_damaged_frame_leaves_the_one_before_to_the_policy(
    served_process: InferenceProcess,
) -> None:
    process = served_process
    sampler = Sampler(ROBOT.streams())
    told: list[str] = []

    def reject(row: Row, camera: str, reason: str) -> Row:
        told.append(reason)
        return sampler.reject(row, camera, reason)

    listener = Listener()
    thread = InferenceThread(ROBOT, listener, None, reject)
    thread.start(lambda: process)
    jpeg = cv2.imencode('.jpg', random_image(1))[1].tobytes()
    damaged = SimpleNamespace(format='jpeg', data=jpeg[: len(jpeg) // 2] + jpeg[-2:])
    try:
        for step, image in enumerate([message_of(random_image(0)), damaged]):
            now_ns = (step + 1) * PERIOD_NS
            for name, value in (('top', image), ('state', Joints(step))):
                sampler.push(name, Sample(now_ns, now_ns, value))
            thread.request(sampler.observe(now_ns))
            thread.wake()
            listener.wait_for(step + 1, 0)
        np.testing.assert_array_equal(listener.steps[1].observation.images['top'], random_image(0))
        assert len(told) == 1 and 'JPEG is damaged' in told[0]
        assert sampler.counters['top'].unusable == 1
    finally:
        thread.stop()


class CoveredArm(FakeArm):
    """An arm whose camera can be covered."""

    covered = False

    def image_of(self, name: str) -> np.ndarray:
        """Return a black image, or one as usual."""
        image = super().image_of(name)
        return np.zeros_like(image) if self.covered else image


def test_over_the_wire_steps_are_begun_early_and_a_covered_camera_still_holds_the_arm(
    bench: Bench, make_node: MakeNode
) -> None:
    arm = CoveredArm(bench, ROBOT)
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    node = make_node()
    arm.enable_when_ready()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert node._inference is not None
    process = node._inference._runner
    assert isinstance(process, InferenceProcess)
    begun: list[bool] = []
    really_begin = process.begin
    process.begin = lambda *args: begun.append(really_begin(*args)) or begun[-1]  # type: ignore
    bench.spin_until(lambda: sum(begun) >= 2, 'steps that are begun early')
    arm.covered = True
    bench.spin_until(lambda: any('black' in line for line in lines), 'a hold with its reason')
    held = arm.hear(30)
    assert np.ptp(held[-5:], axis=0).max() == 0.0
    arm.covered = False
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)
