# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference thread: loads, warms up and steps the policy; the newest request counts.

It decodes only the frames that it uses, and only the newest request counts.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.timing import RecentDurations
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, UnusableFrameError, observation_from_row
from motion_policy.streams.joint_values import JointVectors

if TYPE_CHECKING:
    # It loads torch, which a replay does without.
    from motion_policy.control.policy_runner import PolicyFacts

LATENCY_WINDOW = 200  # policy steps
STOP_TIMEOUT_S = 10.0
HEAD_START_S = 0.002  # so that who looks at the images does not take the policy's core


@dataclass(frozen=True)
class PolicyStep:
    """One finished step: what was seen, the chunk (k, J) and the policy's extras."""

    observation_ns: int
    observation: Observation
    chunk: Float64Array
    extras: dict[str, Any]


class Runner(Protocol):
    """Who computes: a `PolicyRunner`, or an `InferenceProcess` that has one elsewhere."""

    @property
    def facts(self) -> PolicyFacts:
        """What a controller must know of the policy."""

    def warm_up(self) -> None:
        """Take the slow first steps."""

    def reset(self) -> None:
        """Begin a new task."""

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it."""

    def infer(
        self, observation: Observation, explain: bool, time_ns: int, since_ns: int
    ) -> tuple[Float64Array, dict[str, Any]]:
        """Return chunk (k, J) in robot units and extras, as of `PolicyRunner.infer`."""

    def close(self) -> None:
        """End what was begun; a step that is under way may fail."""


@runtime_checkable
class EarlyRunner(Protocol):
    """A runner that can begin a step in the thread of whoever asks for it.

    What is begun is looked at meanwhile, and may be rejected: then nobody takes its result.
    """

    def begin(self, row: Row, joints: JointVectors, explain: bool, since_ns: int) -> bool:
        """Begin a step on a row and its joint values (J,), if that can be done at once."""

    def wait(self, seconds: float) -> None:
        """Wait for its end, but not longer."""

    def finish(self) -> tuple[Float64Array, dict[str, Any]]:
        """Wait for its chunk (k, J) and extras."""


@dataclass(frozen=True)
class _Request:
    """A row to take a step on, which may have begun.

    Its `joints` are as the policy is to see them; None: as the row has them.
    """

    row: Row
    since_ns: int
    asked_ns: int
    begun: bool
    joints: JointVectors | None = None


class StepListener(Protocol):
    """Who takes the results, in this thread."""

    def wants_extras(self) -> bool:
        """Whether anybody looks at the extras."""

    def take_step(self, step: PolicyStep) -> None:
        """Take a finished step."""

    def take_failure(self, reason: str, observation_ns: int) -> None:
        """Take the news that the request of `observation_ns` has no answer."""


def failure_text(error: Exception) -> str:
    """What went wrong, in one line that is not too long."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'


# Takes a row, the camera whose image in it cannot be used and why; returns the row without it.
Reject = Callable[[Row, str, str], Row]


class InferenceThread:
    """Runs one policy on rows, one at a time; images that `watch` rejects are failures.

    Of an image that cannot be decoded `reject` is told, which returns the row with another.
    """

    def __init__(
        self,
        robot: RobotSpec,
        listener: StepListener,
        watch: CameraMonitor | None = None,
        reject: Reject | None = None,
    ) -> None:
        self._robot = robot
        self._reject = reject
        self._listener = listener
        self._watch = watch
        self._changed = threading.Condition()
        self._request: _Request | None = None
        self._waits = False  # in the thread, for a request
        self._explain = False  # as it was wanted after the last step
        self._reset = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._runner: Runner | None = None
        self._early: EarlyRunner | None = None
        self.latency = RecentDurations(LATENCY_WINDOW)

    def start(self, make_runner: Callable[[], Runner]) -> Runner:
        """Make and warm up the runner in the thread; return it, or raise what that raised."""
        ready: Future[Runner] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(make_runner, ready), name='inference', daemon=True
        )
        self._thread.start()
        return ready.result()

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it, or its images are black."""
        if self._runner is not None:
            self._runner.check_observation(observation)
        if self._watch is not None:
            self._watch.check_light(observation)

    def request(self, row: Row, since_ns: int = 0, joints: JointVectors | None = None) -> None:
        """Ask for a step on `row`, before `wake`; a request that still waits is replaced.

        An early runner begins at once, if it knows the `joints`, (J,) each, and images. What was
        predicted from observations before `since_ns` no longer counts; a row from then is not
        worth a step.
        """
        if row.time_ns < since_ns:
            return
        asked_ns = time.perf_counter_ns()
        with self._changed:
            begun = False
            if joints and self._early is not None and self._waits and not self._reset:
                begun = self._early.begin(row, joints, self._explain, since_ns)
            self._waits = False
            self._request = _Request(row, since_ns, asked_ns, begun, joints)

    def wake(self) -> None:
        """Let the thread see to the request: it needs the interpreter, which may be in use."""
        with self._changed:
            self._changed.notify()

    def reset(self) -> None:
        """Forget the policy's state before the next step, and the request that waits."""
        with self._changed:
            self._reset = True
            self._request = None

    def stop(self) -> None:
        """End the thread after the step it may be in, and wait for it; a hung step is left."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._runner is not None:
            self._runner.close()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self, make_runner: Callable[[], Runner], ready: Future[Runner]) -> None:
        try:
            runner = self._runner = make_runner()
            runner.warm_up()
            self._early = runner if isinstance(runner, EarlyRunner) else None
            self._explain = self._listener.wants_extras()
        except BaseException as error:
            ready.set_exception(error)
            return
        # What lives now lives on: a full collection over torch's objects would cost 76 ms.
        gc.collect()
        gc.freeze()
        ready.set_result(runner)
        while True:
            with self._changed:
                self._waits = self._request is None
                self._changed.wait_for(lambda: self._stopped or self._request is not None)
                self._waits = False
                if self._stopped:
                    return
                request, self._request = self._request, None
                reset, self._reset = self._reset, False
            if reset:
                runner.reset()
            if request is not None:
                self._step(runner, request)

    def _step(self, runner: Runner, request: _Request) -> None:
        row = request.row
        start_ns = request.asked_ns if request.begun else time.perf_counter_ns()
        try:
            observation, answer = self._answer(runner, request)
        except UserError as error:
            self._listener.take_failure(str(error), row.time_ns)
            return
        except Exception as error:
            self._listener.take_failure(failure_text(error), row.time_ns)
            return
        self.latency.add(time.perf_counter_ns() - start_ns)
        self._listener.take_step(PolicyStep(row.time_ns, observation, *answer))
        self._explain = self._listener.wants_extras()

    def _look(self, row: Row) -> tuple[Row, Observation]:
        """Decode the row; instead of an image that is not whole the one before it stands."""
        while True:
            try:
                return row, observation_from_row(row, self._robot)
            except UnusableFrameError as error:
                if self._reject is None:
                    raise
                row = self._reject(row, error.camera, str(error))

    def _answer(
        self, runner: Runner, request: _Request
    ) -> tuple[Observation, tuple[Float64Array, dict[str, Any]]]:
        """Look at the row and let the policy act on it, one after the other or both at once."""
        row = request.row
        if request.begun and self._early is not None:
            self._early.wait(HEAD_START_S)
        row, observation = self._look(row)
        if request.joints is not None:
            observation = replace(observation, qpos=request.joints[0])
        if self._watch is not None:
            self._watch.check(observation, row)
        if request.begun and self._early is not None:
            return observation, self._early.finish()
        explain = self._listener.wants_extras()
        return observation, runner.infer(observation, explain, row.time_ns, request.since_ns)
