# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One seed gives one result: on every run, in any number of processes, at any positions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from judged_policies import line_arm, sarnn_checkpoint

from motion_policy.control import Mix
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import RolloutResult
from motion_policy.evaluation.confidence_interval import wilson_interval
from motion_policy.evaluation.scenes import SCENES, find_scene
from motion_policy.evaluation.simulated import evaluate_scene
from motion_policy.evaluation.success import success_per_position
from motion_policy.evaluation.trials import (
    Trial,
    TrialResult,
    TrialRunner,
    plan_trials,
    run_trials,
)

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SHORT = replace(find_scene('sim:tabletop:grasp'), horizon_s=1.0)
LONGER = replace(SHORT, horizon_s=4.0)  # the ramp to the first target takes almost 3 s


@pytest.fixture(scope='module')
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRunner]:
    """A tiny random policy in the tabletop scene, one second per trial."""
    folder = sarnn_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'tiny')
    made = TrialRunner(str(folder), SHORT)
    yield made
    made.close()


def as_json(runner: TrialRunner, positions: tuple[str, ...], seed: int, jobs: int = 1) -> str:
    """The summary of two trials per position, as it is written."""
    return json.dumps(evaluate_scene(runner, positions, 2, seed, jobs=jobs).summary)


def test_the_same_seed_gives_the_same_json(runner: TrialRunner) -> None:
    first = as_json(runner, ('A', 'D'), 7)
    assert as_json(runner, ('A', 'D'), 7) == first
    assert as_json(runner, ('A', 'D'), 8) != first


def test_two_processes_give_what_one_gives(runner: TrialRunner) -> None:
    assert as_json(runner, ('A', 'random'), 7, jobs=2) == as_json(runner, ('A', 'random'), 7)


def test_mixed_trials_and_their_hidden_states_do_not_depend_on_the_processes(
    runner: TrialRunner,
) -> None:
    checkpoint = runner.policy.source
    traced = TrialRunner(checkpoint, LONGER, mix=Mix(joint=0.3, image=0.3), trace=True)
    trials = plan_trials(('A', 'D'), 2, 7)
    alone, together = run_trials(traced, trials), run_trials(traced, trials, jobs=2)
    traced.close()
    for one, other in zip(alone, together, strict=True):
        assert one.rollout == other.rollout
        assert one.hidden is not None and other.hidden is not None
        assert one.hidden.shape == (one.rollout.policy_steps, 8)
        assert one.rollout.policy_steps > 5
        np.testing.assert_array_equal(one.hidden, other.hidden)
    assert not np.array_equal(alone[0].hidden, alone[2].hidden)


def test_mixing_changes_what_the_policy_sees_and_tracing_changes_nothing(
    runner: TrialRunner,
) -> None:
    [trial] = plan_trials(('D',), 1, 7)
    hidden = []
    for mix in (Mix(), Mix(joint=0.3), Mix(image=0.3)):
        traced = TrialRunner(runner.policy.source, LONGER, mix=mix, trace=True)
        hidden.append(traced.run(trial).hidden)
        if mix == Mix():
            traced_joints = joints_over(traced, trial)
            traced.trace = False
            np.testing.assert_array_equal(joints_over(traced, trial), traced_joints)
        traced.close()
    for one, other in itertools.combinations(hidden, 2):
        np.testing.assert_array_equal(one[0], other[0])
        assert not np.array_equal(one, other)


def test_a_trial_does_not_depend_on_the_others() -> None:
    alone = plan_trials(('D',), 2, 7)
    assert alone == plan_trials(('A', 'D'), 2, 7)[2:]
    assert alone == plan_trials(('D',), 5, 7)[:2]
    seeds = {trial.seed for trial in plan_trials('ABCDE', 50, 0)}
    assert len(seeds) == 250


def test_a_trial_is_fixed_by_its_seed_alone(runner: TrialRunner) -> None:
    first, other = plan_trials(('D',), 2, 7)
    trace = joints_over(runner, first)
    assert not np.array_equal(joints_over(runner, other), trace)
    np.testing.assert_array_equal(joints_over(runner, first), trace)


def joints_over(runner: TrialRunner, trial: Trial) -> np.ndarray:
    """The measured joints at every tick."""
    measured: list[np.ndarray] = []
    runner.run(trial, watch=lambda tick: measured.append(tick.measured))
    return np.stack(measured)


def test_counts_add_up_per_position_and_group() -> None:
    outcomes = {'A': (True, True, False), 'B': (True, False, False)}
    results = [
        TrialResult(
            Trial(position, index, index),
            RolloutResult(won, 6.0 + index, 60, 300, {'velocity': 2}, 'run'),
        )
        for position, trials in outcomes.items()
        for index, won in enumerate(trials)
    ]
    summary = success_per_position(results, taught=('A', 'C'))
    a, b = summary['positions']['A'], summary['positions']['B']
    assert (a['successes'], a['trials'], a['taught']) == (2, 3, True)
    assert (b['successes'], b['trials'], b['taught']) == (1, 3, False)
    assert a['mean_time_to_success_s'] == 6.5
    assert a['clamps'] == {'velocity': 6}
    assert summary['taught']['successes'] == 2
    assert summary['untaught']['successes'] == 1
    assert summary['all']['successes'] == 3
    assert len(summary['results']) == 6


def test_no_success_has_no_time() -> None:
    result = TrialResult(Trial('A', 0, 0), RolloutResult(False, 15.0, 1, 1, {}, 'hold'))
    summary = success_per_position([result], taught=())
    assert summary['all']['mean_time_to_success_s'] is None
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ('successes', 'trials', 'low', 'high'),
    # Newcombe (1998), table I, method 3; and all successes of 50.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (50, 50, 0.9287, 1.0),
    ],
)
def test_wilson_intervals_are_those_published(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize('text', ['sim:tabletop:grasp', 'sim:tabletop'])
def test_a_scene_is_found_by_its_name(text: str) -> None:
    assert find_scene(text).name == 'sim:tabletop:grasp'


@pytest.mark.parametrize('text', ['sim:', 'sim:kitchen', 'sim:tabletop:juggle', 'sim'])
def test_an_unknown_scene_is_named_with_those_there_are(text: str) -> None:
    with pytest.raises(UserError, match=f"'{text}': .*{next(iter(SCENES))}"):
        find_scene(text)


def test_unknown_positions_are_refused_before_the_first_trial(runner: TrialRunner) -> None:
    runner.check_positions(('A', 'random', '0.01'))
    with pytest.raises(UserError, match='F'):
        runner.check_positions(('A', 'F'))
    with pytest.raises(UserError, match='positions'):
        runner.check_positions(())


def test_a_policy_of_another_robot_is_refused(tmp_path: Path) -> None:
    folder = sarnn_checkpoint(tmp_path / 'foreign', line_arm())
    with pytest.raises(UserError, match=r'foreign.*shoulder.*joint1'):
        TrialRunner(str(folder), SHORT)
