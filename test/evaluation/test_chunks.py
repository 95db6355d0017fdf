# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk policy is judged as it would run: with its latency, its execution, its frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judged_policies import act_checkpoint, sarnn_checkpoint
from numbered_frames import NumberedFrames, time_of

from motion_policy.cli.main import main
from motion_policy.control import ChunkExecution, Controller
from motion_policy.evaluation import scenes
from motion_policy.evaluation.closed_loop import RolloutResult, Tick, rollout
from motion_policy.evaluation.scenes import find_scene
from motion_policy.evaluation.simulated import evaluate_scene
from motion_policy.evaluation.trials import TrialRunner, plan_trials
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import GraspExpert, TabletopSim
from motion_policy.streams import Observation

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
MS = 1_000_000
FRAME_MS, PERIOD_MS, ROWS = 40, 20, 100
SHORT = replace(find_scene('sim:tabletop:grasp'), horizon_s=2.0)


class ChunkTeacher:
    """The scripted teacher as a chunk policy: the actions of the moment and of those to come."""

    def __init__(self, sim: TabletopSim) -> None:
        self.sim = sim
        self.seen: list[tuple[int, Observation]] = []
        self.broken = 0

    def reset(self) -> None:
        """Plan for the cube as it stands."""
        self.trajectory = GraspExpert(seed=0).plan(self.sim.cube_pose[:2], self.sim.qpos)
        self.seen.clear()

    def infer(
        self, observation: Observation, explain: bool = True, *times: int | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Say where the teacher stands from the observation on."""
        time_ms = (times[0] or 0) // MS - 1000
        self.seen.append((time_ms, observation))
        chunk = np.stack([self.trajectory((time_ms + PERIOD_MS * i) / 1e3) for i in range(ROWS)])
        if self.broken and len(self.seen) % self.broken == 0:
            chunk[3] = np.nan
        return chunk, {}


def run(sim: TabletopSim, runner: Any, latency_ms: int = 0, **options: Any) -> RolloutResult:
    """Roll out from where the simulation was reset to."""
    robot = load_robot_spec('tabletop_sim')
    execution = options.pop('execution', ChunkExecution())
    return rollout(
        sim,
        Controller(robot, PERIOD_MS * MS, chunks=execution, first_due_ns=0),
        runner,
        robot,
        cameras=('top',),
        horizon_s=options.pop('horizon_s', 15.0),
        camera_rate_hz=1000 / FRAME_MS,
        latency_ns=latency_ms * MS,
        **options,
    )


@pytest.fixture
def sim() -> Iterator[NumberedFrames]:
    """A simulation that is closed after the test."""
    simulation = NumberedFrames()
    simulation.reset('C', seed=1)
    yield simulation
    simulation.close()


@pytest.mark.parametrize('latency_ms', [0, 400, 700])
def test_the_teacher_succeeds_in_chunks_however_long_it_thinks(
    sim: NumberedFrames, latency_ms: int
) -> None:
    states: list[str] = []
    result = run(
        sim, ChunkTeacher(sim), latency_ms, watch=lambda tick: states.append(_state(tick))
    )
    assert result.success
    assert result.final_state == 'run'
    assert 'hold' not in states
    assert result.policy_steps == pytest.approx(result.duration_s, abs=4)


def _state(tick: Tick) -> str:
    return '' if tick.command is None else tick.command.state


@pytest.mark.parametrize('latency_ms', [0, 130, 400])
def test_a_late_answer_is_to_what_was_seen_when_it_was_asked_for(
    sim: NumberedFrames, latency_ms: int
) -> None:
    teacher = ChunkTeacher(sim)
    run(sim, teacher, latency_ms, horizon_s=5.0)
    assert len(teacher.seen) > 4
    for time_ms, observation in teacher.seen:
        assert time_of(observation.images['top']) == time_ms // FRAME_MS * FRAME_MS


def test_only_the_frames_that_an_inference_sees_are_rendered(sim: NumberedFrames) -> None:
    teacher = ChunkTeacher(sim)
    result = run(sim, teacher, horizon_s=6.0)
    assert result.ticks > 200
    assert len(sim.rendered_ms) <= len(teacher.seen) + 3


@pytest.mark.parametrize('latency_ms', [0, 250])
def test_after_a_broken_chunk_there_is_a_frame_for_the_next_one(
    sim: NumberedFrames, latency_ms: int
) -> None:
    teacher = ChunkTeacher(sim)
    teacher.broken = 4
    states: set[str] = set()
    run(
        sim, teacher, latency_ms, horizon_s=10.0, watch=lambda tick: states.add(_state(tick)),
        execution=ChunkExecution(execute=20),
    )  # fmt: skip
    assert {'hold', 'run'} <= states
    for time_ms, observation in teacher.seen:
        assert time_of(observation.images['top']) == time_ms // FRAME_MS * FRAME_MS


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random ACT of the tabletop robot."""
    return str(act_checkpoint(tmp_path_factory.mktemp('models') / 'act'))


def summary(checkpoint: str, jobs: int = 1, **options: Any) -> dict[str, Any]:
    """What two short trials give."""
    runner = TrialRunner(checkpoint, SHORT, **options)
    try:
        return evaluate_scene(runner, ('A',), 2, 3, jobs=jobs).summary
    finally:
        runner.close()


def test_processes_play_chunks_as_one_process_does(checkpoint: str) -> None:
    execution = ChunkExecution(execute=3, ensemble=0.01)
    options: dict[str, Any] = {'chunks': execution, 'latency_s': 0.15}
    alone = summary(checkpoint, **options)
    assert json.dumps(alone) == json.dumps(summary(checkpoint, jobs=2, **options))
    assert alone['latency_s'] == 0.15
    assert alone['chunks'] == execution.to_json()


def test_how_chunks_are_played_changes_how_often_the_policy_is_asked(checkpoint: str) -> None:
    steps = []
    for execution in (ChunkExecution(), ChunkExecution(5), ChunkExecution(ensemble=0.01)):
        runner = TrialRunner(checkpoint, SHORT, chunks=execution)
        steps.append(runner.run(plan_trials(('A',), 1, 3)[0]).rollout.policy_steps)
        runner.close()
    seldom, often, always = steps
    assert 2 * seldom < often < always / 2


def test_the_command_says_how_chunks_were_played(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scenes.SCENES, SHORT.name, SHORT)
    arguments = ['evaluate', checkpoint, SHORT.name, '--trials', '1', '--positions', 'A']
    options = ['--execute', '8', '--crossfade', '0.2', '--latency', '0.1', '--backend', 'eager']
    assert main([*arguments, *options, '--out', str(tmp_path)]) == 0
    content = json.loads((tmp_path / 'evaluation.json').read_text())
    assert content['chunks'] == {
        'execute': 8, 'crossfade_s': 0.2, 'ensemble': 0.0, 'timeout_s': 5.0,
    }  # fmt: skip
    assert content['latency_s'] == 0.1
    report = (tmp_path / 'report.html').read_text()
    assert '8 rows of each chunk, cross-fade 0.2 s' in report


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        (['--execute', '41'], 'at most 40'),
        (['--execute', '-1'], 'chunk.execute is -1'),
        (['--ensemble', '3'], 'chunk.ensemble is 3'),
        (['--crossfade', 'nan'], '--crossfade is nan'),
        (['--latency', '-0.1'], '--latency is -0.1'),
        (['--mix', '0.5'], 'cannot be mixed'),
    ],
)
def test_what_chunks_cannot_do_is_one_line(
    checkpoint: str, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['evaluate', checkpoint, SHORT.name, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    assert complaint in error


@pytest.mark.parametrize('option', ['--execute', '--crossfade', '--ensemble'])
def test_a_policy_that_answers_one_row_has_no_chunks_to_play(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recurrent = str(sarnn_checkpoint(tmp_path / 'tiny'))
    assert main(['evaluate', recurrent, SHORT.name, option, '1']) == 2
    assert f'{option} is for chunks of many rows, found sarnn' in capsys.readouterr().err
