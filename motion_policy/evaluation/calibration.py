# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Prediction errors of nominal runs, from which limits are calibrated.

Runs are simulated trials that succeeded, or recordings that the checkpoint was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from motion_policy.control import PolicyRunner
from motion_policy.control.foresight import PredictionError
from motion_policy.episodes import EpisodeReader
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import SimulatedStep
from motion_policy.evaluation.monitoring import OwnWatch, PlanWatch, watch_recording
from motion_policy.evaluation.open_loop import ReplayStep, replay
from motion_policy.evaluation.recordings import RecordedRun, find_recordings
from motion_policy.evaluation.trials import TrialResult, TrialRunner, plan_trials, run_trials
from motion_policy.policies import Model, Policy
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.robot.spec import NANOSECONDS_PER_S

PredictionErrors = tuple[PredictionError, ...]


def of_trials(
    runner: TrialRunner,
    positions: Sequence[str],
    trials: int,
    seed: int,
    *,
    jobs: int = 1,
    on_result: Callable[[TrialResult], None] = lambda result: None,
) -> list[PredictionErrors]:
    """The prediction errors of `trials` trials at every position, of those that succeeded."""
    planned = plan_trials(positions, trials, seed)
    results = run_trials(runner, planned, jobs=jobs, on_result=on_result)
    return [result.prediction_errors for result in results if result.rollout.success]


def held_out(paths: Sequence[str | Path], model: Model) -> list[RecordedRun]:
    """The recordings of its robot that it was not trained on and that succeeded.

    UserError if none is left.
    """
    found = find_recordings(paths, model)
    kept = [one for one in found if one.taught is not True and not _failed(one)]
    if not kept:
        raise UserError(
            f'{", ".join(map(str, paths))}: of {len(found)} recordings none is left: '
            f'{model.source} was trained on it, or it failed; expected others that succeeded'
        )
    return kept


def of_recordings(
    model: Model,
    recordings: Sequence[RecordedRun],
    rows_per_plan: int = 0,
    on_result: Callable[[Any], None] = lambda result: None,
) -> list[PredictionErrors]:
    """The prediction errors over recordings.

    Args:
        model: a frame predictor, told the recorded actions as plans; or a policy that foresees.
        recordings: of its robot.
        rows_per_plan: after which a new plan takes over; 0: as far as it predicts.
        on_result: called after each.
    """
    episodes = []
    for recording in recordings:
        if isinstance(model, FramePredictorModel):
            ahead_ns = model.config.future * model.period_ns
            far = max(1, round(ahead_ns * recording.rate_hz / NANOSECONDS_PER_S))
            watch = PlanWatch(model, model.spec.robot)
            found = watch_recording(watch, recording, rows_per_plan or far)
        else:
            assert isinstance(model, Policy)
            found = _of_policy(model, recording)
        episodes.append(tuple(found))
        on_result(recording)
    return episodes


def _of_policy(policy: Policy, recording: RecordedRun) -> list[PredictionError]:
    watch = OwnWatch(policy)

    def take(step: ReplayStep) -> None:
        time_ns = round(step.time_s * NANOSECONDS_PER_S)
        watch.take(SimulatedStep(time_ns, step.observation, step.chunk, step.extras))

    runner = PolicyRunner(policy, policy.spec.robot)
    replay(runner, recording.rows(), recording.rate_hz, source=recording.name, watch=take)
    return watch.prediction_errors


def _failed(recording: RecordedRun) -> bool:
    if not Path(recording.name).is_file():
        return False
    with EpisodeReader(recording.name) as episode:
        return episode.success is False
