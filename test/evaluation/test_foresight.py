# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Foresight beside simulated and recorded runs: what is looked at when, and what counts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import frame_predictors
import numpy as np
import pytest
import recordings
import torch
from judged_policies import act_checkpoint, sarnn_checkpoint
from numbered_frames import NumberedFrames, time_of
from policy_examples import small_policy, small_robot
from spec_reads import note_reads

from motion_policy.cli.main import main
from motion_policy.control import Controller
from motion_policy.control.foresight import PredictionError
from motion_policy.control.lookahead import Plan
from motion_policy.errors import UserError
from motion_policy.evaluation import scenes
from motion_policy.evaluation.calibration import held_out, of_recordings
from motion_policy.evaluation.closed_loop import START_NS, RolloutResult, rollout
from motion_policy.evaluation.detection import detection, detection_table, disturbed
from motion_policy.evaluation.monitoring import PlanWatch, watch_recording
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.evaluation.trials import Trial, TrialResult
from motion_policy.policies import load_model, save_policy
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.robot import load_robot_spec
from motion_policy.share import share_dir
from motion_policy.streams import Observation

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
MS = 1_000_000
ROBOT = small_robot(64, 64)
Capture = pytest.CaptureFixture[str]


class Still:
    """A policy that keeps the arm where it stands."""

    def reset(self) -> None:
        """Nothing is remembered."""

    def infer(self, observation: Observation, *_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Where it is."""
        return observation.qpos[None].astype(np.float64), {}


class Looks:
    """Notes what it is shown every 60 ms."""

    period_ns = 60 * MS

    def __init__(self) -> None:
        self.seen: list[tuple[int, Observation, np.ndarray, Plan | None]] = []

    def look(
        self, time_ns: int, observation: Observation, sent: np.ndarray, plan: Plan | None
    ) -> None:
        """Note it."""
        self.seen.append(((time_ns - START_NS) // MS, observation, sent, plan))


class Blanking:
    """Whitens images and counts the ticks from 500 ms on."""

    begin_ns = 500 * MS

    def __init__(self) -> None:
        self.acted_ms: list[int] = []

    def act(self, time_ns: int) -> None:
        """Note the tick."""
        self.acted_ms.append(time_ns // MS)

    def seen(self, time_ns: int, image: np.ndarray) -> np.ndarray:
        """White from its begin on."""
        return image if time_ns < self.begin_ns else np.full_like(image, 255)


def watched(**options: Any) -> tuple[Looks, NumberedFrames]:
    """A second of a still arm, looked at."""
    sim, looks = NumberedFrames(), Looks()
    sim.reset('C', seed=1)
    robot = load_robot_spec('tabletop_sim')
    rollout(
        sim, Controller(robot, 100 * MS), Still(), robot, cameras=('top',), horizon_s=1.0,
        camera_rate_hz=25.0, onlooker=looks, **options,
    )  # fmt: skip
    return looks, sim


def test_an_onlooker_sees_the_newest_frame_of_every_period_of_its_own() -> None:
    looks, sim = watched()
    assert [time_ms for time_ms, *_ in looks.seen] == list(range(0, 1000, 60))
    for time_ms, observation, sent, _ in looks.seen:
        assert time_of(observation.images['top']) == time_ms // 40 * 40
        assert sent.shape == (5,)
    # No image is drawn that nobody looks at.
    assert len(sim.rendered_ms) <= 26


def test_an_onlooker_knows_the_plan_that_is_followed_then() -> None:
    looks, _ = watched()
    plans = [plan for *_, plan in looks.seen if plan is not None]
    assert len(plans) > 10
    assert len({plan.number for plan in plans}) > 5


def test_a_disturbance_changes_what_is_seen_from_its_moment_on() -> None:
    blanking = Blanking()
    looks, _ = watched(disturbance=blanking)
    assert blanking.acted_ms == list(range(0, 1000, 20))
    white = [(ms, bool((o.images['top'] == 255).all())) for ms, o, *_ in looks.seen]
    assert white == [(ms, ms // 40 * 40 >= 500) for ms, _ in white]


def prediction_error(time_ms: int, score: float, worst: str = 'image/top') -> PredictionError:
    """A prediction error of a trial."""
    return PredictionError(time_ms * MS, 1, {worst: score}, score, worst)


def trial(
    scores: dict[int, float], disturbance: str = '', begin_ms: int = 1000, success: bool = True
) -> TrialResult:
    """A trial whose prediction errors had these scores at these times [ms]."""
    return TrialResult(
        Trial('A', 0, 1, disturbance),
        RolloutResult(success, 5.0, 1, 1, {}, 'run'),
        prediction_errors=tuple(prediction_error(ms, score) for ms, score in scores.items()),
        disturbed_ns=begin_ms * MS if disturbance else None,
    )


def test_detections_delays_and_false_alarms_are_counted() -> None:
    results = [
        trial({900: 0.5, 1100: 0.9}),
        trial({900: 1.5}),
        trial({900: 1.2, 1000: 2.0}, success=False),
        trial({900: 0.5, 1200: 1.5, 1300: 9.0}, 'cube-removed'),
        trial({900: 0.5, 1400: 1.01}, 'cube-removed'),
        trial({900: 0.5, 1400: 1.0}, 'cube-removed'),
        trial({900: 1.5, 1400: 2.0}, 'cube-removed'),
        trial({1500: 3.0}, 'arm-pushed', begin_ms=500),
    ]
    figures = detection(results)
    good, gone = figures['undisturbed'], figures['cube-removed']
    assert (good['runs'], good['alarms'], good['successes'], good['alarms_of_successes']) == (
        3, 2, 2, 1,
    )  # fmt: skip
    assert (gone['runs'], gone['alarms'], gone['alarmed_before']) == (4, 2, 1)
    assert gone['delay_s'] == {'median': pytest.approx(0.3), '9_of_10': pytest.approx(0.4)}
    assert gone['channels'] == {'image/top': 2}
    assert gone['interval'][0] < gone['rate'] == 0.5 < gone['interval'][1]
    assert figures['arm-pushed']['delay_s']['median'] == 1.0
    table = detection_table(figures)
    assert [row[:3] for row in table.rows] == [
        ('false alarms', '3', '2 (67 %)'),
        ('cube-removed', '4', '2 (50 %)'),
        ('arm-pushed', '1', '1 (100 %)'),
    ]
    json.dumps(figures, allow_nan=False)


def test_the_same_trials_are_disturbed() -> None:
    trials = [Trial('A', 0, 7), Trial('B', 1, 8)]
    both = disturbed(trials, ('cube-removed', 'arm-pushed'))
    assert [t.disturbance for t in both] == ['cube-removed'] * 2 + ['arm-pushed'] * 2
    assert [(t.position, t.seed) for t in both] == [('A', 7), ('B', 8)] * 2


@pytest.fixture(scope='module')
def model() -> FramePredictorModel:
    """An untrained frame predictor of 10 Hz: 2 frames seen, 3 predicted."""
    return frame_predictors.small_predictor(robot=ROBOT)


@pytest.fixture(scope='module')
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five episodes of 50 Hz, one of which failed; they are only read."""
    folder = tmp_path_factory.mktemp('episodes') / 'takes'
    folder.mkdir()
    for number in range(5):
        path = folder / f'episode_{number:06d}.hdf5'
        recordings.write_episode(path, 61 + number, robot=ROBOT, success=number != 3)
    return folder


def test_recorded_actions_are_the_plan_that_is_foreseen(
    model: FramePredictorModel, episodes: Path
) -> None:
    [recording] = find_recordings([episodes / 'episode_000000.hdf5'], model)
    found = watch_recording(PlanWatch(model, ROBOT), recording, rows_per_plan=15)
    # 13 frames; a prediction needs two frames, then each is held against one.
    assert [s.time_ns // MS for s in found] == list(range(200, 1300, 100))
    # A new plan is there with every third frame, and the first frame foretells nothing.
    assert [s.step for s in found] == [1, 2, *[1, 2, 3] * 3]
    assert all(s.score is None for s in found)


def test_limits_come_from_recordings_that_were_held_out_and_succeeded(
    model: FramePredictorModel, episodes: Path
) -> None:
    assert len(held_out([episodes], model)) == 4
    trained = frame_predictors.small_predictor(
        robot=ROBOT, data={'train': ['episode_000001.hdf5', 'episode_000002.hdf5']}
    )
    kept = held_out([episodes], trained)
    assert [Path(one.name).stem[-1] for one in kept] == ['0', '4']
    everything = [f'episode_{number:06d}.hdf5' for number in range(5)]
    greedy = frame_predictors.small_predictor(robot=ROBOT, data={'train': everything})
    with pytest.raises(UserError, match='of 5 recordings none is left'):
        held_out([episodes], greedy)


def test_a_policy_is_watched_over_recordings_too(episodes: Path) -> None:
    policy = small_policy(robot=ROBOT)
    [found] = of_recordings(policy, find_recordings([episodes / 'episode_000000.hdf5'], policy))
    assert [s.time_ns // MS for s in found] == list(range(100, 1300, 100))
    assert {s.step for s in found} == {1}
    assert all('joint gripper' in s.errors for s in found)


def test_limits_are_written_into_the_checkpoint_of_a_predictor(
    model: FramePredictorModel, episodes: Path, tmp_path: Path, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    reads = note_reads(monkeypatch)
    folder = save_policy(model, tmp_path / 'seer')
    weights = (folder / 'weights.safetensors').read_bytes()
    assert main(['calibrate', str(folder), str(episodes), '--alpha', '0.4']) == 0
    assert len(reads) == 2, 'once to know it, once more that what is replaced is of that model'
    limits = load_model(folder).spec.foresight
    assert limits is not None and limits.episodes == 4 and limits.alpha == 0.4
    assert 'takes' in limits.source
    assert (folder / 'weights.safetensors').read_bytes() == weights
    assert 'step 3' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['{seer}', '{takes}', '--alpha', '0.001'], ['4 episodes', 'expected at least']),
        (['{seer}', '{takes}', '--alpha', '2'], ['alpha', '2']),
        (['{seer}', '{takes}', '--trials', '5'], ['--trials', 'a simulated task']),
        (['{seer}', 'sim:tabletop:grasp'], ['--policy is missing']),
        (['{seer}'], ['no DATA']),
        (['{seer}', '{takes}', '--execute', '-1'], ['--execute is -1']),
    ],
)
def test_what_cannot_be_calibrated_is_one_line(
    model: FramePredictorModel, episodes: Path, tmp_path: Path, capsys: Capture,
    arguments: list[str], words: list[str],
) -> None:  # fmt: skip
    folder = save_policy(model, tmp_path / 'seer')
    given = [word.format(seer=folder, takes=episodes) for word in arguments]
    assert main(['calibrate', *given]) == 2
    line = capsys.readouterr().err.strip()
    assert line.count('\n') == 0
    for word in words:
        assert word in line
    assert load_model(folder).spec.foresight is None


def test_a_policy_is_calibrated_on_trials_and_its_detections_are_told(
    tmp_path: Path, capsys: Capture
) -> None:
    """The shipped policy in its own words: two trials for limits, one per disturbance."""
    folder = tmp_path / 'sarnn'
    shutil.copytree(share_dir() / 'models' / 'sarnn_tabletop', folder)
    given = ['sim:tabletop:grasp', '--positions', 'C']
    assert main(['calibrate', str(folder), *given, '--trials', '2', '--alpha', '0.5']) == 0
    limits = load_model(folder).spec.foresight
    assert limits is not None and limits.episodes == 2
    assert 'sim:tabletop:grasp' in limits.source and 'seed 1000' in limits.source
    out = tmp_path / 'out'
    watch = ['--foresight', 'own', '--disturb', 'camera-covered,arm-pushed', '--out', str(out)]
    assert main(['evaluate', str(folder), *given, '--trials', '1', *watch]) == 0
    found = json.loads((out / 'evaluation.json').read_text())
    assert found['all']['trials'] == 1
    noticed = found['foresight']
    assert noticed['limits']['threshold'] == limits.threshold
    assert list(noticed['detection']) == ['undisturbed', 'camera-covered', 'arm-pushed']
    covered = noticed['detection']['camera-covered']
    assert (covered['runs'], covered['alarms'], covered['within_s']) == (1, 1, 2.0)
    assert 0 < covered['delay_s']['median'] < 0.5
    assert 'camera-covered' in capsys.readouterr().out
    assert 'What foresight noticed' in (out / 'report.html').read_text()


def test_a_predictor_watches_any_policy_of_its_robot_in_two_processes_as_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its camera is rendered for it; limits of any size do."""
    robot = load_robot_spec('tabletop_sim')
    seer = frame_predictors.small_predictor(robot=robot, cameras=('side',))
    folder = save_policy(seer, tmp_path / 'seer')
    takes = tmp_path / 'takes'
    takes.mkdir()
    for number in range(3):
        recordings.write_episode(takes / f'episode_{number:06d}.hdf5', 61)
    assert main(['calibrate', str(folder), str(takes), '--alpha', '0.5']) == 0
    policy = act_checkpoint(tmp_path / 'tiny')
    name = 'sim:tabletop:grasp'
    monkeypatch.setitem(scenes.SCENES, name, replace(scenes.SCENES[name], horizon_s=3.0))
    numbers = []
    for jobs in ('1', '2'):
        path = tmp_path / f'{jobs}.json'
        given = [str(policy), name, '--trials', '2', '--positions', 'C', '--jobs', jobs]
        watch = ['--foresight', str(folder), '--disturb', 'cube-removed', '--json', str(path)]
        assert main(['evaluate', *given, *watch]) == 0
        numbers.append(json.loads(path.read_text())['foresight'])
    assert numbers[0] == numbers[1]
    scores = [r['greatest_score'] for r in numbers[0]['detection']['cube-removed']['results']]
    assert len(scores) == 2 and all(score > 0 for score in scores)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--foresight', 'own'], ['has no limits', 'motion-policy calibrate']),
        (['--disturb', 'cube-removed'], ['--disturb', '--foresight']),
        (['--foresight', 'own', '--disturb', 'flood'], ['flood', 'cube-removed']),
        (['--foresight', '{tiny}'], ["holds a 'sarnn'", 'frame_predictor']),
    ],
)
def test_what_cannot_watch_is_one_line(
    tmp_path: Path, capsys: Capture, arguments: list[str], words: list[str]
) -> None:
    tiny = sarnn_checkpoint(tmp_path / 'tiny')
    given = [word.format(tiny=tiny) for word in arguments]
    assert main(['evaluate', str(tiny), 'sim:tabletop:grasp', '--trials', '1', *given]) == 2
    line = capsys.readouterr().err.strip()
    assert line.count('\n') == 0
    for word in words:
        assert word in line
