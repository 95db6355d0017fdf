# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a policy on a simulated task: success per position, and its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motion_policy.control import Mix
from motion_policy.evaluation.detection import detection, detection_table, disturbed
from motion_policy.evaluation.hidden_state_report import add_hidden_states
from motion_policy.evaluation.hidden_states import HiddenStates, HiddenTrajectory, analyse
from motion_policy.evaluation.plots import png_bytes, success_figure
from motion_policy.evaluation.provenance import policy_label, provenance
from motion_policy.evaluation.success import success_per_position
from motion_policy.evaluation.trials import (
    WITHIN_S,
    Trial,
    TrialResult,
    TrialRunner,
    plan_trials,
    run_trials,
)
from motion_policy.evaluation.videos import write_trials_video
from motion_policy.files import make_folder, write_bytes
from motion_policy.html_report import Report, Table

READING = (
    'A policy that generalises puts what was not taught between its taught neighbours; one that '
    'does not lets it run into one of them.'
)
COLUMNS = ('position', 'success', 'rate', '95 % interval', 'time to success', 'clamps per trial')


@dataclass(frozen=True)
class SimulatedEvaluation:
    """All trials of one evaluation; `summary` is what goes into the JSON file.

    `hidden` holds the hidden states if the runner traced them and the policy has any.
    """

    runner: TrialRunner
    trials: tuple[Trial, ...]
    summary: dict[str, Any]
    hidden: HiddenStates | None


def evaluate_scene(
    runner: TrialRunner,
    positions: Sequence[str],
    trials: int,
    seed: int,
    *,
    jobs: int = 1,
    disturb: Sequence[str] = (),
    on_result: Callable[[TrialResult], None] = lambda result: None,
) -> SimulatedEvaluation:
    """Run `trials` trials at every position, in `jobs` processes, and each under disturbances."""
    planned = plan_trials(positions, trials, seed)
    both = [*planned, *disturbed(planned, disturb)]
    everything = run_trials(runner, both, jobs=jobs, on_result=on_result)
    results = everything[: len(planned)]
    hidden = analyse(
        [
            HiddenTrajectory(r.trial.position, r.trial.position in runner.taught, r.hidden)
            for r in results
            if r.hidden is not None
        ]
    )
    summary = {
        **provenance(runner.policy),
        'scene': runner.scene.name,
        'robot': runner.robot.name,
        'mix': runner.runner.mix.to_json(),
        'chunks': runner.chunks.to_json() if runner.policy.chunk_rows > 1 else None,
        'latency_s': runner.latency_s,
        'seed': seed,
        'horizon_s': runner.scene.horizon_s,
        'foresight': _foresight(runner, everything),
        **success_per_position(results, runner.taught),
        'hidden_states': None if hidden is None else hidden.to_json(),
    }
    return SimulatedEvaluation(runner, tuple(planned), summary, hidden)


def _foresight(runner: TrialRunner, results: Sequence[TrialResult]) -> dict[str, Any] | None:
    """What watched, by which limits, and what it noticed; None if nothing did."""
    watcher = runner.watcher
    if watcher is None:
        return None
    limits = None if watcher.limits is None else watcher.limits.model_dump(mode='json')
    return {
        'source': watcher.source,
        'limits': limits,
        'detection': detection(results),
    }


def write_success_video(evaluation: SimulatedEvaluation, path: Path) -> None:
    """The first trial of every position, one after the other."""
    first = [trial for trial in evaluation.trials if trial.index == 0]
    write_trials_video(path, evaluation.runner, first)


def success_table(summary: dict[str, Any]) -> Table:
    """One row per position, then the taught, the untaught and all together."""
    rows = [
        _row(name + ('' if entry['taught'] else ' (not taught)'), entry)
        for name, entry in summary['positions'].items()
    ]
    groups = [name for name in ('taught', 'untaught') if name in summary]
    if len(groups) == 2:
        rows += [
            _row(f'{"not taught" if g == "untaught" else g}, all', summary[g]) for g in groups
        ]
    rows.append(_row('all', summary['all']))
    return Table(COLUMNS, rows)


def _row(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    low, high = entry['interval']
    mean_s = entry['mean_time_to_success_s']
    return (
        name,
        f'{entry["successes"]}/{entry["trials"]}',
        f'{100 * entry["rate"]:.0f} %',
        f'{100 * low:.0f} to {100 * high:.0f} %',
        '' if mean_s is None else f'{mean_s:.1f} s',
        f'{sum(entry["clamps"].values()) / entry["trials"]:.1f}',
    )


def _mixed(mix: Mix) -> str:
    if mix == Mix():
        return ''
    return f'; the policy sees its own predictions too, the share of the sensors is {mix}'


def _played(runner: TrialRunner) -> str:
    words = ''
    if runner.policy.chunk_rows > 1:
        words += f'; chunks of {runner.policy.chunk_rows} rows, {runner.chunks}'
    if runner.latency_s:
        words += f'; every inference takes {runner.latency_s:g} s'
    return words


def _stages(clamps: dict[str, int]) -> str:
    return ', '.join(f'{stage} {count}' for stage, count in clamps.items()) or 'never'


def write_success_report(
    evaluation: SimulatedEvaluation, folder: Path, video: Path | None
) -> None:
    """report.html and its images in `folder`."""
    make_folder(folder)
    summary, runner = evaluation.summary, evaluation.runner
    positions = summary['positions']
    trials = max(entry['trials'] for entry in positions.values())
    title = f'{policy_label(runner.policy)} on {runner.scene.name}'
    report = Report(
        title,
        f'Closed loop on the simulated arm: {trials} trials per position, seed {summary["seed"]}, '
        'through the same sampler and controller as on the robot'
        f'{_mixed(runner.runner.mix)}{_played(runner)}.',
    )
    report.headline(f'success {summary["all"]["successes"]}/{summary["all"]["trials"]}')
    figure = success_figure(
        {name: (entry['successes'], entry['trials']) for name, entry in positions.items()},
        {name: tuple(entry['interval']) for name, entry in positions.items()},
        {name: entry['taught'] for name, entry in positions.items()},
        'Success per position',
    )
    png = png_bytes(figure)
    write_bytes(folder / 'success.png', png)
    report.image(png, 'success rate per position')
    report.caption('Thin lines: 95 % Wilson interval of the rate.')
    report.table(success_table(summary))
    report.caption(
        f'Clamps: how often the guard chain held a joint back, over {summary["all"]["ticks"]} '
        f'control ticks: {_stages(summary["all"]["clamps"])}.'
    )
    if video is not None:
        report.section('The first trial at each position')
        report.video(video)
    noticed = summary['foresight']
    if noticed is not None:
        report.section('What foresight noticed')
        report.table(detection_table(noticed['detection']))
        report.caption(
            f'Foreseen by {noticed["source"]}. Disturbed trials end {WITHIN_S:g} s after the '
            'disturbance began; one with an alarm before it counts as not noticed.'
        )
    if evaluation.hidden is not None:
        add_hidden_states(report, evaluation.hidden, folder, title, reading=READING)
    report.section('How this was made')
    facts = {
        **provenance(runner.policy),
        'robot': summary['robot'],
        'mix': runner.runner.mix,
        'chunks': summary['chunks'] or 'of one row',
        'latency': f'{runner.latency_s:g} s',
        'seed': summary['seed'],
    }
    report.facts([(key, str(value)) for key, value in facts.items()])
    report.write(folder / 'report.html')
