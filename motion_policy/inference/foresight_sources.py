# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of online prediction errors: the policy itself or a frame predictor.

The control tick hands over what it has and waits for nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from motion_policy.control import Command
from motion_policy.control.foresight import OwnForesight, PredictionError
from motion_policy.control.lookahead import Plan
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.observing import robot_as_seen
from motion_policy.control.timing import Deadlines
from motion_policy.inference.foresight_setup import ForesightSetup
from motion_policy.inference.policy_thread import STOP_TIMEOUT_S, PolicyStep, failure_text
from motion_policy.inference.worker_process import START_TIMEOUT_S, WorkerProcess
from motion_policy.streams import Row, StreamError, observation_from_row

TIMEOUT_S = 5.0  # a look that takes longer counts as hung
RESTART_S = (
    5.0  # a process that ended is begun anew not sooner: what keeps dying is to cost little
)
WAITING = 4  # looks that may wait: the one at which frames are predicted takes longest


class ErrorWatch(Protocol):
    """Who takes what a source finds, in any thread, and says what follows from it.

    Attributes:
        skipped: looks that a newer one replaced.
    """

    skipped: int

    def take(self, error: PredictionError | None, duration_ns: int) -> None:
        """Take the answer of one look; None where there was nothing to compare."""

    def take_failure(self, reason: str) -> None:
        """Take the news that nobody looks."""

    def reset(self) -> None:
        """Forget the alarm that stands."""

    def faults(self) -> dict[str, str]:
        """Why the arm must hold; called in every tick."""

    def status(self, name: str, robot_name: str) -> Any:
        """One line for `/diagnostics`."""


class ForesightSource(Protocol):
    """What makes prediction errors, and the `watch` that takes them.

    Attributes:
        needs_extras: whether the policy has to explain its steps.
    """

    watch: ErrorWatch
    needs_extras: bool

    def take_step(self, step: PolicyStep) -> None:
        """Take a step of the policy; called in the inference thread."""

    def follow(self, row: Row, command: Command | None) -> None:
        """Take what was seen and sent in a tick; called in the tick thread, must not wait."""

    def reset(self) -> None:
        """Forget what was predicted, and the alarm that stands."""

    def close(self) -> None:
        """End what was begun."""


class OwnSource:
    """The next image and joints that a policy predicts; looks in the inference thread."""

    needs_extras = True

    def __init__(self, foresight: OwnForesight, watch: ErrorWatch) -> None:
        self.watch = watch
        self._foresight = foresight
        self._reset = False

    def take_step(self, step: PolicyStep) -> None:
        """Look."""
        if self._reset:
            self._reset = False
            self._foresight.reset()
        begin_ns = time.perf_counter_ns()
        try:
            found = self._foresight.look(
                step.observation_ns, step.observation, step.chunk, step.extras
            )
        except Exception as error:
            self.watch.take_failure(failure_text(error))
            return
        self.watch.take(found, time.perf_counter_ns() - begin_ns)

    def follow(self, row: Row, command: Command | None) -> None:
        """Nothing: it looks when the policy does."""

    def reset(self) -> None:
        """Forget the alarm now, what was predicted before the next look."""
        self._reset = True
        self.watch.reset()

    def close(self) -> None:
        """Nothing was begun."""


@dataclass(frozen=True)
class _Look:
    """What a predictor is to look at."""

    row: Row
    sent: Float64Array
    plan: Plan | None


class PlanSource:
    """A frame predictor in a process, asked once per period of its rate.

    `current_plan()` says what is followed now; it is called in the tick thread.
    """

    needs_extras = False

    def __init__(
        self,
        setup: ForesightSetup,
        watch: ErrorWatch,
        current_plan: Callable[[], Plan | None],
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.watch = watch
        self._setup = setup
        self._start_timeout_s = start_timeout_s
        spec = setup.spec
        self._robot = robot_as_seen(setup.robot, spec.cameras)
        self._current_plan = current_plan
        self._deadlines = Deadlines(round(1e9 / spec.rate), 0)
        self._changed = threading.Condition()
        self._waiting: deque[_Look] = deque(maxlen=WAITING)
        self._reset = False
        self._stopped = False
        self._process: WorkerProcess | None = None
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        return None if self._process is None else self._process.pid

    def start(self, say: Callable[[str], None], prepare_thread: Callable[[], None]) -> None:
        """Begin the process and wait until it is ready, or raise why it cannot be."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready, say, prepare_thread), name='foresight', daemon=True
        )
        self._thread.start()
        ready.result()

    def take_step(self, step: PolicyStep) -> None:
        """Nothing: it looks at what is done, whoever decided it."""

    def follow(self, row: Row, command: Command | None) -> None:
        """Once per period, leave what there is to look at."""
        if command is None or self._deadlines.arrive(row.time_ns) is None:
            return
        look = _Look(row, command.position, self._current_plan())
        with self._changed:
            self.watch.skipped += len(self._waiting) == WAITING
            self._waiting.append(look)
            self._changed.notify()

    def reset(self) -> None:
        """Forget what was seen, predicted, and waits to be looked at, and the alarm."""
        with self._changed:
            self._waiting.clear()
            self._reset = True
        self.watch.reset()

    def close(self) -> None:
        """End thread and process."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._process is not None:
            self._process.close()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(
        self,
        ready: Future[None],
        say: Callable[[str], None],
        prepare_thread: Callable[[], None],
    ) -> None:
        try:
            self._process = process = WorkerProcess(
                self._setup, say, TIMEOUT_S, 'foresight', self._start_timeout_s
            )
            prepare_thread()
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or bool(self._waiting))
                if self._stopped:
                    return
                look = self._waiting.popleft()
                reset, self._reset = self._reset, False
            if reset:
                process.reset()
            self._look(process, look)

    def _look(self, process: WorkerProcess, look: _Look) -> None:
        begin_ns = time.perf_counter_ns()
        try:
            seen = observation_from_row(look.row, self._robot)
            found = process.ask(seen.images, look.row.time_ns, seen.qpos, look.sent, look.plan)
            self.watch.take(found, time.perf_counter_ns() - begin_ns)
        except StreamError:  # a fault with a name of its own, for which the arm holds
            return
        except Exception as error:
            self._fail(process, failure_text(error))

    def _fail(self, process: WorkerProcess, reason: str) -> None:
        if self._stopped:
            return
        self.watch.take_failure(reason)
        if process.pid is None:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, RESTART_S)
                self._waiting.clear()
