# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Many rollouts of one policy in one simulated task, in this process or in several.

A trial is fixed by the seed, its position and its number alone, so that neither the other
positions nor the number of processes change it.
"""

from __future__ import annotations

import multiprocessing
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from motion_policy.control import ChunkExecution, Controller, Mix, PolicyRunner
from motion_policy.control.foresight import PredictionError
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import (
    RolloutResult,
    SimulatedStep,
    Tick,
    TickWatch,
    rollout,
)
from motion_policy.evaluation.monitoring import Foresight, OwnWatch, PlanWatch, make_watch
from motion_policy.evaluation.scenes import Scene, Simulation
from motion_policy.evaluation.threads import one_thread
from motion_policy.policies import check_robot, load_policy
from motion_policy.policies.backends.selection import BackEndChoice, chosen, use_back_end
from motion_policy.robot import load_robot_spec
from motion_policy.robot.spec import NANOSECONDS_PER_S

Float32Array = npt.NDArray[np.float32]

PHASE_STEP_NS = 2_000_000
WITHIN_S = 2.0  # after the begin of a disturbance; what is noticed later is of little use
SENSOR_ALONE = Mix()
USUAL_CHUNKS = ChunkExecution()
POLICY_ITSELF = BackEndChoice('eager')


@dataclass(frozen=True)
class Trial:
    """One trial: where the object stands, its number there, and the seed of its variation.

    With a disturbance, it ends some time after that began.
    """

    position: str
    index: int
    seed: int
    disturbance: str = ''


@dataclass(frozen=True)
class TrialResult:
    """A trial and how it ended.

    Attributes:
        hidden: the hidden states (N, R) float32, if it was traced.
        prediction_errors: of foresight, if there was any; times since the start.
        disturbed_ns: when the disturbance began; None without.
    """

    trial: Trial
    rollout: RolloutResult
    hidden: Float32Array | None = None
    prediction_errors: tuple[PredictionError, ...] = ()
    disturbed_ns: int | None = None


def plan_trials(positions: Sequence[str], trials: int, seed: int) -> list[Trial]:
    """`trials` trials at each position, position after position."""
    return [
        Trial(position, index, _trial_seed(seed, position, index))
        for position in positions
        for index in range(trials)
    ]


def _trial_seed(seed: int, position: str, index: int) -> int:
    words = [seed, zlib.crc32(position.encode()), index]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


class TrialRunner:
    """Policy, simulation and controller, made once and used for many trials.

    Args:
        checkpoint: folder of the policy.
        scene: the simulated task.
        device: where the policy runs.
        mix: how much of the sensors the policy sees beside its own predictions.
        trace: keep the hidden states of every trial.
        chunks: how chunks are played, if the policy answers chunks of many rows.
        latency_s: simulated time that every inference takes.
        back_end: who computes the policy's steps.
        foresight: what watches every trial, if anything.

    Raises:
        UserError: no such checkpoint, one for another robot, or one that cannot be mixed or
            played so.
    """

    def __init__(
        self,
        checkpoint: str,
        scene: Scene,
        device: str = 'cpu',
        mix: Mix = SENSOR_ALONE,
        *,
        trace: bool = False,
        chunks: ChunkExecution = USUAL_CHUNKS,
        latency_s: float = 0.0,
        back_end: BackEndChoice = POLICY_ITSELF,
        foresight: Foresight | None = None,
    ) -> None:
        self.scene = scene
        self.foresight = foresight
        self.trace = trace
        self.latency_s = latency_s
        self.policy = load_policy(checkpoint, device=device)
        self.robot = load_robot_spec(scene.robot)
        check_robot(self.policy, self.robot)
        if self.policy.chunk_rows > 1:
            chunks.check_rows(self.policy.chunk_rows)
        self.chunks = chunks
        self.watcher: OwnWatch | PlanWatch | None = None
        if foresight is not None:
            self.watcher = make_watch(foresight, self.policy, self.robot, device)
        with one_thread():
            use_back_end(self.policy, back_end, time.perf_counter_ns)
        self.sim: Simulation = scene.make()
        self.runner = PolicyRunner(self.policy, self.robot, mix, ensemble=chunks.ensemble)

    @property
    def taught(self) -> tuple[str, ...]:
        """The positions at which demonstrations were given."""
        return self.scene.taught

    def check_positions(self, positions: Sequence[str]) -> None:
        """UserError if the object cannot be put at one of them."""
        if not positions:
            raise UserError(f'{self.scene.name}: no positions given, expected at least one')
        for position in positions:
            self.sim.reset(position, seed=0)

    def run(self, trial: Trial, watch: TickWatch | None = None) -> TrialResult:
        """One trial."""
        self.sim.reset(trial.position, seed=trial.seed)
        watcher = self.watcher
        if watcher is not None:
            watcher.reset()
        if isinstance(watcher, OwnWatch):
            watch = _both(watcher.watch, watch)
        trace = _Trace(watch) if self.trace else None
        disturbance, horizon_s = None, self.scene.horizon_s
        if trial.disturbance:
            disturbance = self.scene.disturbance(trial.disturbance, self.sim, trial.seed)
            horizon_s = min(horizon_s, disturbance.begin_ns / NANOSECONDS_PER_S + WITHIN_S)
        with one_thread():
            result = rollout(
                self.sim,
                self.controller(),
                self.runner,
                self.robot,
                cameras=self._cameras(),
                vectors=self.policy.spec.inputs,
                horizon_s=horizon_s,
                camera_rate_hz=self.scene.camera_rate_hz,
                camera_phase_ns=self.camera_phase_ns(trial.seed),
                latency_ns=round(self.latency_s * NANOSECONDS_PER_S),
                watch=watch if trace is None else trace.watch,
                onlooker=watcher if isinstance(watcher, PlanWatch) else None,
                disturbance=disturbance,
            )
        return TrialResult(
            trial,
            result,
            None if trace is None else trace.hidden(),
            () if watcher is None else tuple(watcher.prediction_errors),
            None if disturbance is None else disturbance.begin_ns,
        )

    def camera_phase_ns(self, seed: int) -> int:
        """When the first frame is taken: a camera is not in step with the controller."""
        period_ns = round(NANOSECONDS_PER_S / self.scene.camera_rate_hz)
        phase = np.random.default_rng(seed).integers(period_ns // PHASE_STEP_NS)
        return int(phase) * PHASE_STEP_NS

    def close(self) -> None:
        """Free the simulation's renderers."""
        self.sim.close()

    def _cameras(self) -> tuple[str, ...]:
        """Those that anybody looks through."""
        more = () if self.watcher is None else self.watcher.cameras
        return tuple(dict.fromkeys((*self.policy.cameras, *more)))

    def controller(self) -> Controller:
        """A new one for a trial, as in the policy node."""
        policy = self.policy
        if policy.chunk_rows == 1:
            return Controller(self.robot, policy.period_ns)
        return Controller(
            self.robot, policy.period_ns, chunks=self.chunks, first_due_ns=policy.first_due_ns
        )


def _both(first: TickWatch, second: TickWatch | None) -> TickWatch:
    """Call one after the other."""

    def watch(tick: Tick) -> None:
        first(tick)
        if second is not None:
            second(tick)

    return watch


class _Trace:
    """Collects the hidden state of every policy step of one trial."""

    def __init__(self, watch: TickWatch | None) -> None:
        self._then = watch
        self._last: SimulatedStep | None = None
        self._states: list[Float32Array] = []

    def watch(self, tick: Tick) -> None:
        """Take the state if the policy stepped, and pass the tick on."""
        if tick.step is not None and tick.step is not self._last:
            self._last = tick.step
            if 'hidden' in tick.step.extras:
                self._states.append(tick.step.extras['hidden'])
        if self._then is not None:
            self._then(tick)

    def hidden(self) -> Float32Array | None:
        """(N, R), or None for a policy without a hidden state."""
        return np.stack(self._states) if self._states else None


def run_trials(
    runner: TrialRunner,
    trials: Sequence[Trial],
    *,
    jobs: int = 1,
    on_result: Callable[[TrialResult], None] = lambda result: None,
) -> list[TrialResult]:
    """Run all trials, in order; with `jobs` > 1 in as many processes, with the same results."""
    results = []
    source = _in_processes(runner, trials, jobs) if jobs > 1 else map(runner.run, trials)
    for result in source:
        on_result(result)
        results.append(result)
    return results


_worker: TrialRunner | None = None


def _in_processes(
    runner: TrialRunner, trials: Sequence[Trial], jobs: int
) -> Iterator[TrialResult]:
    # A copy of this process would inherit threads and an OpenGL context that it cannot use. Those
    # of a process that has only imported this module begin at once and share its memory.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    origin = (
        runner.policy.source, runner.scene, str(runner.policy.device), runner.runner.mix,
        runner.trace, runner.chunks, runner.latency_s, chosen(runner.policy),
        runner.foresight,
    )  # fmt: skip
    with ProcessPoolExecutor(jobs, context, _start_worker, origin) as pool:
        yield from pool.map(_run_in_worker, trials)


def _start_worker(
    checkpoint: str,
    scene: Scene,
    device: str,
    mix: Mix,
    trace: bool,
    chunks: ChunkExecution,
    latency_s: float,
    back_end: BackEndChoice,
    foresight: Foresight | None,
) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = TrialRunner(
        checkpoint, scene, device, mix, trace=trace, chunks=chunks, latency_s=latency_s,
        back_end=back_end, foresight=foresight,
    )  # fmt: skip


def _run_in_worker(trial: Trial) -> TrialResult:
    assert _worker is not None
    return _worker.run(trial)
