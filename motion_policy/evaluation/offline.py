# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Offline evaluation of a policy on recordings: all its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_policy.control import Mix, PolicyRunner
from motion_policy.episodes.rollouts import Interventions, all_interventions
from motion_policy.errors import UserError
from motion_policy.evaluation.hidden_states import HiddenStates, HiddenTrajectory, analyse
from motion_policy.evaluation.joint_errors import JointErrors, joint_errors
from motion_policy.evaluation.open_loop import OpenLoopResult, replay
from motion_policy.evaluation.provenance import policy_label, provenance
from motion_policy.evaluation.recordings import RecordedRun, conditions
from motion_policy.evaluation.tool_errors import ToolErrors, tool_errors
from motion_policy.evaluation.videos import write_replay_video
from motion_policy.html_report import Table

UNIT = 'rad; m for sliding joints'


@dataclass(frozen=True)
class RecordedEvaluation:
    """All recordings of one evaluation and what came of each.

    Attributes:
        runner: the policy, and how much of the recordings it saw.
        free_runner, free: the same policy running freely over the first recording.
        hidden: the hidden states over all recordings; None for a policy without.
    """

    runner: PolicyRunner
    recordings: tuple[RecordedRun, ...]
    results: tuple[OpenLoopResult, ...]
    free_runner: PolicyRunner
    free: OpenLoopResult
    hidden: HiddenStates | None

    @property
    def labels(self) -> tuple[str, ...]:
        """What the joints are called in tables and plots."""
        return self.runner.robot.joints.labels

    def _units_of_velocities(self) -> dict[str, dict[str, str]]:
        joints = self.runner.robot.joints
        units = {name: joints.unit_of(name) for name in joints.velocities}
        return {'units_of_velocities': units} if units else {}

    def pooled(self) -> JointErrors:
        """The errors over all steps of all recordings."""
        return _pooled(self.results[0].names, [result.scored() for result in self.results])

    def pooled_efforts(self) -> JointErrors | None:
        """The same of the predicted efforts; None for a policy that predicts none."""
        pairs = [result.efforts for result in self.results if result.efforts is not None]
        return _pooled(self.results[0].names, pairs) if pairs else None

    def pooled_tool(self) -> ToolErrors | None:
        """The errors of the tool over all steps; None where no tool is known."""
        return self._tool_errors(self.results)

    def _tool_errors(self, results: Sequence[OpenLoopResult]) -> ToolErrors | None:
        pairs = [result.scored() for result in results]
        predicted, truth = (np.concatenate(values) for values in zip(*pairs, strict=True))
        poses = [found for r in results if (found := r.scored_poses()) is not None]
        asked = np.concatenate(poses) if poses else None
        return tool_errors(self.runner.policy.spec.robot, predicted, truth, asked)

    def _result_to_json(self, result: OpenLoopResult) -> dict[str, Any]:
        efforts = result.efforts and joint_errors(result.names, *result.efforts)
        tool = self._tool_errors([result])
        return _to_json(result.errors(), result.image_mse, efforts, tool)

    def interventions(self) -> Interventions | None:
        """How often people took over in the rollouts among the recordings; None without any."""
        return all_interventions(recording.interventions for recording in self.recordings)

    def image_mse(self) -> dict[str, float]:
        """Mean over the recordings, per camera; empty for a policy that predicts no image."""
        cameras = dict.fromkeys(camera for result in self.results for camera in result.image_mse)
        return {
            camera: float(np.mean([r.image_mse[camera] for r in self.results if r.image_mse]))
            for camera in cameras
        }

    def to_json(self) -> dict[str, Any]:
        """Every number as plain values."""
        recordings = [
            {
                'path': recording.name,
                'condition': condition,
                'taught': recording.taught,
                'truth': result.truth_kind,
                **self._result_to_json(result),
            }
            for recording, condition, result in zip(
                self.recordings, conditions(self.recordings), self.results, strict=True
            )
        ]
        driven = self.interventions()
        pooled = _to_json(
            self.pooled(), self.image_mse(), self.pooled_efforts(), self.pooled_tool()
        )
        return {
            **provenance(self.runner.policy),
            'mix': self.runner.mix.to_json(),
            'unit': UNIT,
            **self._units_of_velocities(),
            'recordings': recordings,
            'all': pooled,
            'rollouts': None if driven is None else driven.to_json(),
            'free_running': {
                'path': self.recordings[0].name,
                'mix': self.free_runner.mix.to_json(),
                **self._result_to_json(self.free),
            },
            'hidden_states': None if self.hidden is None else self.hidden.to_json(),
        }


def evaluate_recordings(
    runner: PolicyRunner,
    recordings: Sequence[RecordedRun],
    *,
    on_result: Callable[[OpenLoopResult], None] = lambda result: None,
) -> RecordedEvaluation:
    """Replay the policy on every recording, and let it run freely over the first one."""
    results = []
    for recording in recordings:
        result = replay(runner, recording.rows(), recording.rate_hz, source=recording.name)
        on_result(result)
        results.append(result)
    freely = free_runner(runner)
    first = recordings[0]
    free = results[0]
    if freely is not runner:
        free = replay(freely, first.rows(), first.rate_hz, source=first.name)
    trajectories = [
        HiddenTrajectory(condition, recording.taught, result.hidden)
        for recording, condition, result in zip(
            recordings, conditions(recordings), results, strict=True
        )
        if result.hidden is not None
    ]
    return RecordedEvaluation(
        runner, tuple(recordings), tuple(results), freely, free, analyse(trajectories)
    )


def free_runner(runner: PolicyRunner) -> PolicyRunner:
    """The same policy on its own predictions: of all that it predicts."""
    for mix in (Mix(joint=0, image=0, effort=0), Mix(joint=0)):
        if mix == runner.mix:
            return runner
        try:
            return PolicyRunner(runner.policy, runner.robot, mix)
        except UserError:
            continue  # it predicts no image
    return runner


def write_first_video(evaluation: RecordedEvaluation, path: Path) -> None:
    """The video of the first recording."""
    recording, result = evaluation.recordings[0], evaluation.results[0]
    name = policy_label(evaluation.runner.policy)
    title = f'{name} on {Path(recording.name).name}, {mix_words(evaluation.runner.mix)}'
    write_replay_video(path, evaluation.runner, recording, result, title=title)


def count_words(count: int) -> str:
    """So many recordings, in words."""
    return f'{count} recording' + ('s' if count > 1 else '')


def mix_words(mix: Mix) -> str:
    """What the mixing means, in words."""
    shares = set(mix.to_json().values())
    if shares == {1}:
        return 'on the recorded observations'
    if shares == {0}:
        return 'running freely on its own predictions'
    if len(shares) == 1:
        return f'on {mix.joint:g} recorded + {1 - mix.joint:g} own prediction'
    return f'on a mixture of recording and own prediction ({mix} recorded)'


def joint_table(
    errors: JointErrors,
    image_mse: Mapping[str, float],
    efforts: JointErrors | None = None,
    tool: ToolErrors | None = None,
    labels: Sequence[str] | None = None,
) -> Table:
    """RMSE, mean and largest error of joints, of the tool, of efforts, then of the images.

    `labels` are what rows of joints are called, if not by their names.
    """
    rows = [_joint_row(errors, index, name) for index, name in enumerate(labels or errors.names)]
    if tool is not None:
        rows += tool.rows()
    if efforts is not None:
        rows += [
            _joint_row(efforts, index, f'effort of {name} (N m; N)')
            for index, name in enumerate(efforts.names)
        ]
    for camera, mse in image_mse.items():
        rows.append((image_words(camera), f'{mse:.5f}', '', ''))
    return Table((f'joint ({UNIT})', 'RMSE', 'mean', 'largest'), rows)


def image_words(camera: str) -> str:
    """What a row of image errors is called."""
    return f"next image of '{camera}', MSE of pixels in [0, 1]"


def _joint_row(errors: JointErrors, index: int, name: str) -> tuple[str, ...]:
    values = (errors.rmse[index], errors.mae[index], errors.largest[index])
    return (name, *(f'{value:.4f}' for value in values))


def _pooled(names: Sequence[str], pairs: Sequence[tuple[Any, Any]]) -> JointErrors:
    predicted = np.concatenate([predicted for predicted, _ in pairs])
    truth = np.concatenate([truth for _, truth in pairs])
    return joint_errors(names, predicted, truth)


def _to_json(
    errors: JointErrors,
    image_mse: Mapping[str, float],
    efforts: JointErrors | None,
    tool: ToolErrors | None,
) -> dict[str, Any]:
    content = errors.to_json()
    if efforts is not None:
        content['efforts'] = efforts.to_json()['joints']
    if tool is not None:
        content['tool'] = tool.to_json()
    content['image_mse'] = float(np.mean(list(image_mse.values()))) if image_mse else None
    content['cameras'] = {camera: {'image_mse': mse} for camera, mse in image_mse.items()}
    return content
