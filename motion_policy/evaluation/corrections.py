# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted corrections: a teacher watches a policy drive and takes over when it goes wrong.

It gives back when both want the same; the second time it drives to the end. It drives through the
controller of the policy, whose guards have the last word, and each change is a ramp. When to take
over is judged as people do in HG-DAgger (Kelly et al., arXiv:1810.02890), when to give back as
SafeDAgger does (Zhang and Cho, arXiv:1605.06450).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.control import Command, Controller
from motion_policy.control.action_buffer import ActionBuffer
from motion_policy.episodes import RolloutRow
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import START_NS, Actor, RolloutResult, Tick, rollout
from motion_policy.evaluation.scenes import ScriptedDemonstration, Simulation, Teacher
from motion_policy.evaluation.threads import one_thread
from motion_policy.evaluation.trials import Trial, TrialRunner
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation, Row

Float64Array = npt.NDArray[np.float64]
RolloutRecorder = Callable[[Row, Observation, Command, RolloutRow], None]

# How far apart two joint positions are, is how long the slowest joint needs at full speed [s].
OFF_S = 0.04
# For so long they must be apart before it takes over, or agree before it gives back [s].
SURE_S = 0.2
LEAST_S = 1.0  # that it lets the policy drive
DRIVES_S = 2.5  # at least; both stand still at first
MOST = 2  # times; the last time it drives to the end
PATIENCE = 1.3  # of the time of a demonstration, for a policy that gets nowhere
HORIZONS = 3  # of the scene, for a rollout that is corrected


class TeachingError(UserError):
    """The teacher knows no way from where the arm and the object are."""


@dataclass(frozen=True)
class DemonstratedPath:
    """A demonstration, and where its joints come by: `path` (N, J)."""

    demonstration: ScriptedDemonstration
    path: Float64Array

    @classmethod
    def of(cls, demonstration: ScriptedDemonstration, period_s: float) -> DemonstratedPath:
        """Sampled once per period."""
        times = np.arange(0.0, demonstration.duration_s + period_s, period_s)
        return cls(demonstration, np.stack([demonstration(float(time)) for time in times]))


class Corrector:
    """Stands in for the policy in a rollout: `infer` answers for whoever drives.

    Args:
        policy: what drives otherwise, and goes on seeing while the teacher drives.
        controller: of the rollout; it ramps at each change of who drives.
        teacher: plans a demonstration of the scene as it stands, at the start and when it takes
            over.
        sim: the scene.
        robot: what the arm is.
        rows: of a chunk.
        period_ns, first_due_ns: of the policy's rows.
        seed: fixes the teacher's variation.

    Attributes:
        count: how often it took over.
    """

    def __init__(
        self,
        policy: Actor,
        controller: Controller,
        teacher: Teacher,
        sim: Simulation,
        robot: RobotSpec,
        *,
        rows: int,
        period_ns: int,
        first_due_ns: int,
        seed: int,
    ) -> None:
        self._policy, self._controller = policy, controller
        self._teacher, self._sim = teacher, sim
        self._velocity = robot.joints.limits.velocity_array()
        self._tick_s = robot.period_ns / NANOSECONDS_PER_S
        self._due_ns = first_due_ns + period_ns * np.arange(rows)
        self._early_ns, self._period_ns = period_ns - first_due_ns, period_ns
        self._seeds = np.random.default_rng(seed)
        self.reset()

    @property
    def drives(self) -> bool:
        """Whether the teacher drives."""
        return self._drives

    def reset(self) -> None:
        """Begin a rollout: the policy drives."""
        self._policy.reset()
        self._wanted = ActionBuffer()
        self._drives = False
        self._changed_ns = START_NS
        self._begun_ns: int | None = None
        self._since_ns: int | None = None
        self.count = 0
        self._plan()

    def infer(
        self,
        observation: Observation,
        explain: bool = True,
        time_ns: int | None = None,
        since_ns: int = 0,
    ) -> tuple[Float64Array, Mapping[str, Any]]:
        """Chunk (k, J) of who drives; the policy sees every observation."""
        assert time_ns is not None
        chunk, extras = self._policy.infer(observation, False, time_ns, since_ns)
        self._wanted.add(chunk, time_ns - self._early_ns, self._period_ns)
        if not self._drives:
            return chunk, extras
        if self._begun_ns is None and self._controller.state == 'run':
            self._begun_ns = time_ns
        times_s = (self._elapsed_ns(time_ns) + self._due_ns) / NANOSECONDS_PER_S
        demonstration = self._way.demonstration
        return np.stack([demonstration(float(time_s)) for time_s in times_s]), {}

    def policy_action(self, now_ns: int) -> Float64Array | None:
        """What the policy wants at a time (J,); None where its last chunk does not reach."""
        until_ns = self._wanted.covers_until_ns
        if until_ns is None or now_ns > until_ns + self._period_ns:
            return None
        return self._wanted.target(now_ns)

    def watch(self, tick: Tick) -> None:
        """Take over, or give back, if it is time."""
        now_ns = START_NS + tick.time_ns
        wrong = self._disagrees(now_ns) if self._drives else self._goes_wrong(now_ns, tick)
        if wrong is self._drives:
            self._since_ns = None
            return
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        sure = now_ns - self._since_ns >= SURE_S * NANOSECONDS_PER_S
        least_s = DRIVES_S if self._drives else LEAST_S
        for_the_last_time = self._drives and self.count == MOST
        long_enough = now_ns - self._changed_ns >= least_s * NANOSECONDS_PER_S
        if sure and long_enough and not for_the_last_time:
            self._change(now_ns)

    def _change(self, now_ns: int) -> None:
        self._drives = not self._drives
        self._changed_ns, self._since_ns, self._begun_ns = now_ns, None, None
        if self._drives:
            self.count += 1
            self._plan()
        self._controller.reset()

    def _plan(self) -> None:
        try:
            demonstration = self._teacher(self._sim, int(self._seeds.integers(2**31)))
        except UserError as error:
            raise TeachingError(str(error)) from None
        self._way = DemonstratedPath.of(demonstration, self._tick_s)

    def _elapsed_ns(self, now_ns: int) -> int:
        """Of the demonstration, which begins when the arm is there."""
        return 0 if self._begun_ns is None else now_ns - self._begun_ns

    def _apart_s(self, positions: Float64Array, others: Float64Array) -> Float64Array:
        """How far apart positions (J,) are from others (N, J): (N,) [s]."""
        return np.asarray((np.abs(others - positions) / self._velocity).max(axis=-1))

    def _goes_wrong(self, now_ns: int, tick: Tick) -> bool:
        """Whether the arm has left the way of the demonstration, or gets nowhere."""
        allowed_s = PATIENCE * self._way.demonstration.duration_s
        late = now_ns - self._changed_ns > allowed_s * NANOSECONDS_PER_S
        return late or float(self._apart_s(tick.measured, self._way.path).min()) > OFF_S

    def _disagrees(self, now_ns: int) -> bool:
        """Whether the policy wants other than the teacher."""
        wanted = self.policy_action(now_ns)
        if wanted is None or self._begun_ns is None:
            return True
        here = self._way.demonstration(self._elapsed_ns(now_ns) / NANOSECONDS_PER_S)
        return bool(self._apart_s(wanted, here) > OFF_S)


@dataclass(frozen=True)
class CorrectedRollout:
    """How a rollout ended, and how often the teacher took over."""

    rollout: RolloutResult
    interventions: int


def correct(
    runner: TrialRunner, teacher: Teacher, trial: Trial, record: RolloutRecorder
) -> CorrectedRollout:
    """Run a trial of a policy that the teacher corrects; `record` is given every tick.

    TeachingError where the teacher cannot reach the object.
    """
    runner.sim.reset(trial.position, seed=trial.seed)
    policy, controller = runner.policy, runner.controller()
    corrector = Corrector(
        runner.runner,
        controller,
        teacher,
        runner.sim,
        runner.robot,
        rows=policy.chunk_rows,
        period_ns=policy.period_ns,
        first_due_ns=policy.first_due_ns if policy.chunk_rows > 1 else policy.period_ns,
        seed=trial.seed,
    )

    def told(row: Row, observation: Observation, command: Command) -> None:
        driven = RolloutRow(corrector.drives, corrector.policy_action(row.time_ns))
        record(row, observation, command, driven)

    with one_thread():
        result = rollout(
            runner.sim,
            controller,
            corrector,
            runner.robot,
            cameras=tuple(runner.robot.cameras),
            vectors=tuple(runner.robot.vectors),
            horizon_s=HORIZONS * runner.scene.horizon_s,
            camera_rate_hz=runner.scene.camera_rate_hz,
            camera_phase_ns=runner.camera_phase_ns(trial.seed),
            watch=corrector.watch,
            record=told,
        )
    return CorrectedRollout(result, corrector.count)
