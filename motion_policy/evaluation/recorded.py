# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy judged on recordings: the numbers, and the report that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motion_policy.control import PolicyRunner
from motion_policy.evaluation.joint_errors import JointErrors, joint_errors
from motion_policy.evaluation.open_loop import OpenLoopResult, replay
from motion_policy.evaluation.plots import joints_figure, png_bytes
from motion_policy.evaluation.provenance import policy_label, provenance
from motion_policy.evaluation.recordings import Recording
from motion_policy.evaluation.report import Report, Table, write_bytes
from motion_policy.evaluation.videos import replay_curves, write_replay_video

UNIT = 'rad; m for sliding joints'
TRUTH_WORDS = {'action': 'recorded action', 'qpos': 'recorded joint position'}


@dataclass(frozen=True)
class RecordedEvaluation:
    """All recordings of one evaluation and what came of each."""

    runner: PolicyRunner
    mix: float
    recordings: tuple[Recording, ...]
    results: tuple[OpenLoopResult, ...]

    def pooled(self) -> JointErrors:
        """The errors over all steps of all recordings."""
        pairs = [result.scored() for result in self.results]
        predicted = np.concatenate([predicted for predicted, _ in pairs])
        truth = np.concatenate([truth for _, truth in pairs])
        return joint_errors(self.results[0].names, predicted, truth)

    def image_mse(self) -> float | None:
        """Mean over the recordings; None for a policy that predicts no image."""
        scored = [r for r in self.results if r.image_mse is not None]
        return float(np.mean([r.image_mse for r in scored])) if scored else None

    def to_json(self) -> dict[str, Any]:
        """Every number as plain values."""
        recordings = [
            {
                'path': recording.name,
                'truth': result.truth_kind,
                'image_mse': result.image_mse,
                **result.errors().to_json(),
            }
            for recording, result in zip(self.recordings, self.results, strict=True)
        ]
        return {
            **provenance(self.runner.policy),
            'mix': self.mix,
            'unit': UNIT,
            'recordings': recordings,
            'all': {'image_mse': self.image_mse(), **self.pooled().to_json()},
        }


def evaluate_recordings(
    runner: PolicyRunner,
    recordings: Sequence[Recording],
    *,
    mix: float = 1.0,
    on_result: Callable[[OpenLoopResult], None] = lambda result: None,
) -> RecordedEvaluation:
    """Replay the policy on every recording."""
    results = []
    for recording in recordings:
        rows = recording.rows()
        result = replay(runner, rows, recording.rate_hz, mix=mix, source=recording.name)
        on_result(result)
        results.append(result)
    return RecordedEvaluation(runner, mix, tuple(recordings), tuple(results))


def write_first_video(evaluation: RecordedEvaluation, path: Path) -> None:
    """The video of the first recording."""
    recording, result = evaluation.recordings[0], evaluation.results[0]
    name = policy_label(evaluation.runner.policy)
    title = f'{name} on {Path(recording.name).name}, {mix_words(evaluation.mix)}'
    write_replay_video(path, evaluation.runner, recording, result, mix=evaluation.mix, title=title)


def write_recorded_report(
    evaluation: RecordedEvaluation, folder: Path, video: Path | None
) -> None:
    """report.html and the joint plots in `folder`."""
    policy = evaluation.runner.policy
    count = len(evaluation.recordings)
    report = Report(
        f'{policy_label(policy)} on {count_words(count)}',
        f'Open loop, {mix_words(evaluation.mix)}: what the policy asks for, held against the '
        f'{TRUTH_WORDS[evaluation.results[0].truth_kind]} one policy period later.',
    )
    if video is not None:
        report.section(f'{Path(evaluation.recordings[0].name).name}')
        report.video(video)
        report.caption(
            'Left: what the policy sees; blue marks what it looks at, red where it expects that '
            'next. Then the image it expects, and the joints: grey recorded, green the policy.'
        )
    report.section('Error per joint, over all recordings')
    report.table(joint_table(evaluation.pooled(), evaluation.image_mse()))
    if count > 1:
        report.section('Each recording')
        report.table(_recording_table(evaluation))
    report.section('Joints over time')
    for place, (recording, result) in enumerate(
        zip(evaluation.recordings, evaluation.results, strict=True)
    ):
        name = Path(recording.name).name
        png = png_bytes(joints_figure(replay_curves(result), name))
        write_bytes(folder / f'joints_{place:03d}.png', png)
        report.picture(png, f'joints of {name}, policy and recording')
    report.section('How this was made')
    report.facts([(key, str(value)) for key, value in provenance(policy).items()])
    report.write(folder / 'report.html')


def count_words(count: int) -> str:
    """So many recordings, in words."""
    return f'{count} recording' + ('s' if count > 1 else '')


def mix_words(mix: float) -> str:
    """What the mixing means, in words."""
    if mix == 1:
        return 'on the recorded observations'
    if mix == 0:
        return 'running freely on its own predictions'
    return f'on {mix:g} recorded + {1 - mix:g} own prediction'


def joint_table(errors: JointErrors, image_mse: float | None) -> Table:
    """RMSE, mean and largest error of each joint."""
    rows = [
        (name, f'{errors.rmse[i]:.4f}', f'{errors.mae[i]:.4f}', f'{errors.largest[i]:.4f}')
        for i, name in enumerate(errors.names)
    ]
    if image_mse is not None:
        rows.append(('predicted image, MSE of pixels in [0, 1]', f'{image_mse:.5f}', '', ''))
    return Table((f'joint ({UNIT})', 'RMSE', 'mean', 'largest'), rows)


def _recording_table(evaluation: RecordedEvaluation) -> Table:
    names = evaluation.results[0].names
    rows = [
        (
            Path(recording.name).name,
            str(result.errors().steps),
            *(f'{value:.4f}' for value in result.errors().rmse),
            '' if result.image_mse is None else f'{result.image_mse:.5f}',
        )
        for recording, result in zip(evaluation.recordings, evaluation.results, strict=True)
    ]
    columns = ('recording', 'steps', *(f'RMSE {name}' for name in names), 'image MSE')
    return Table(columns, rows)
