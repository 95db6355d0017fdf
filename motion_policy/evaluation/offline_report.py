# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Report of an offline evaluation: metrics, and the images that explain them."""

from __future__ import annotations

from pathlib import Path

from motion_policy.evaluation.hidden_state_report import add_hidden_states
from motion_policy.evaluation.offline import (
    UNIT,
    RecordedEvaluation,
    count_words,
    image_words,
    joint_table,
    mix_words,
)
from motion_policy.evaluation.plots import joints_figure, png_bytes
from motion_policy.evaluation.provenance import policy_label, provenance
from motion_policy.evaluation.snapshots import snapshots, snapshots_figure
from motion_policy.evaluation.videos import replay_curves
from motion_policy.files import make_folder, write_bytes
from motion_policy.html_report import Report, Table

TRUTH_WORDS = {'action': 'recorded action', 'qpos': 'recorded joint position'}
POINT_WORDS = 'blue marks what the policy looks at, red where it expects that next'


def write_recorded_report(
    evaluation: RecordedEvaluation, folder: Path, video: Path | None
) -> None:
    """report.html and its images in `folder`."""
    make_folder(folder)
    policy, mix = evaluation.runner.policy, evaluation.runner.mix
    count = len(evaluation.recordings)
    report = Report(
        f'{policy_label(policy)} on {count_words(count)}',
        f'Open loop, {mix_words(mix)}: what the policy asks for, held against the '
        f'{TRUTH_WORDS[evaluation.results[0].truth_kind]} one policy period later.',
    )
    report.section('Error per joint, over all recordings')
    report.table(
        joint_table(
            evaluation.pooled(),
            evaluation.image_mse(),
            evaluation.pooled_efforts(),
            evaluation.pooled_tool(),
            evaluation.labels,
        )
    )
    driven = evaluation.interventions()
    if driven is not None:
        report.caption(f'{driven.rollouts} rollouts of a policy: {driven}.')
    if count > 1:
        report.section('Each recording')
        report.table(_recording_table(evaluation))
    _add_images(report, evaluation, folder, video)
    _add_free_running(report, evaluation, folder)
    if evaluation.hidden is not None:
        add_hidden_states(
            report, evaluation.hidden, folder, policy_label(policy), ('trained on', 'held out')
        )
    report.section('Joints over time')
    for place, (recording, result) in enumerate(
        zip(evaluation.recordings, evaluation.results, strict=True)
    ):
        name = Path(recording.name).name
        png = png_bytes(joints_figure(replay_curves(result, evaluation.labels), name))
        write_bytes(folder / f'joints_{place:03d}.png', png)
        report.image(png, f'joints of {name}, policy and recording')
    report.section('How this was made')
    facts = {**provenance(policy), 'mix': mix}
    report.facts([(key, str(value)) for key, value in facts.items()])
    report.write(folder / 'report.html')


def _add_images(
    report: Report, evaluation: RecordedEvaluation, folder: Path, video: Path | None
) -> None:
    """What the policy saw and looked at in the first recording, and what it expected to see."""
    recording = evaluation.recordings[0]
    if not evaluation.runner.policy.cameras:
        return
    report.section(f'What it saw and expected: {Path(recording.name).name}')
    if video is not None:
        report.video(video)
        report.caption(
            'What the policy sees, the image that it expects next, and the joints: grey recorded, '
            'green the policy.'
        )
    steps = len(evaluation.results[0].predicted)
    seen = snapshots(evaluation.runner, recording, steps)
    free = snapshots(evaluation.free_runner, recording, steps)
    png = png_bytes(snapshots_figure(seen, free, 'step by step'))
    write_bytes(folder / 'moments.png', png)
    report.image(png, 'what the policy saw and expected at some times')
    words = 'Top: what it saw'
    if any(image.encoder_points is not None for image in seen[0].images.values()):
        words += f'; {POINT_WORDS}'
    if evaluation.results[0].image_mse:
        words += '. Below: the images that it had expected of these times, one step before'
    report.caption(f'{words}.')


def _add_free_running(report: Report, evaluation: RecordedEvaluation, folder: Path) -> None:
    recording, result, free = evaluation.recordings[0], evaluation.results[0], evaluation.free
    name = Path(recording.name).name
    report.section(f'Running freely: {name}')
    title = f'{name}, step by step and running freely'
    png = png_bytes(joints_figure(replay_curves(result, evaluation.labels, free), title))
    write_bytes(folder / 'free_running.png', png)
    report.image(png, 'joints of the first recording, also running freely')
    report.caption(
        f'Green: {mix_words(evaluation.runner.mix)}. Red: after the first step the policy sees '
        f'nothing but its own predictions (mix {evaluation.free_runner.mix}); how long it keeps '
        'to the recording says how much of the task it carries in itself.'
    )
    step_by_step, freely = result.errors(), free.errors()
    rows = [
        (joint, f'{step_by_step.rmse[i]:.4f}', f'{freely.rmse[i]:.4f}')
        for i, joint in enumerate(evaluation.labels)
    ]
    for camera, mse in result.image_mse.items():
        rows.append((image_words(camera), f'{mse:.5f}', f'{free.image_mse[camera]:.5f}'))
    report.table(Table((f'RMSE of joint ({UNIT})', 'step by step', 'running freely'), rows))


def _recording_table(evaluation: RecordedEvaluation) -> Table:
    names, cameras = evaluation.results[0].names, tuple(evaluation.image_mse())
    kinds = {True: 'yes', False: 'no', None: ''}
    rows = [
        (
            Path(recording.name).name,
            kinds[recording.taught],
            str(result.errors().steps),
            *(f'{value:.4f}' for value in result.errors().rmse),
            *(f'{result.image_mse[camera]:.5f}' for camera in cameras),
        )
        for recording, result in zip(evaluation.recordings, evaluation.results, strict=True)
    ]
    columns = (
        'recording', 'trained on', 'steps', *(f'RMSE {name}' for name in names),
        *(f'image MSE {camera}' for camera in cameras),
    )  # fmt: skip
    return Table(columns, rows)
