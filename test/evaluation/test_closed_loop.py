# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A rollout gives the policy what a robot would: true timing, its controller, its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numbered_frames import NumberedFrames, time_of

from motion_policy.control import Controller
from motion_policy.evaluation.closed_loop import RolloutResult, Tick, rollout
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import GraspExpert, TabletopSim
from motion_policy.streams import Observation

MS = 1_000_000
FRAME_MS, TICK_MS, PERIOD_MS = 40, 20, 100


class ExpertRunner:
    """The scripted teacher in the place of a policy, one row per period."""

    def __init__(self, sim: TabletopSim) -> None:
        self.sim = sim
        self.seen: list[Observation] = []

    def reset(self) -> None:
        """Plan for the cube as it stands."""
        self.trajectory = GraspExpert(seed=0).plan(self.sim.cube_pose[:2], self.sim.qpos)
        self.seen.clear()

    def infer(
        self, observation: Observation, explain: bool = True, *times: int | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Say where the teacher will stand one period from now."""
        self.seen.append(observation)
        time_s = self.sim.time_ns / 1e9 + PERIOD_MS / 1000
        return self.trajectory(time_s)[None], {'explained': explain}


def run(
    sim: TabletopSim, runner: Any, *, horizon_s: float = 15.0, phase_ms: int = 0, **options: Any
) -> RolloutResult:
    """Roll out from where the simulation was reset to."""
    robot = load_robot_spec('tabletop_sim')
    return rollout(
        sim,
        Controller(robot, PERIOD_MS * MS),
        runner,
        robot,
        cameras=('top',),
        horizon_s=horizon_s,
        camera_rate_hz=1000 / FRAME_MS,
        camera_phase_ns=phase_ms * MS,
        **options,
    )


@pytest.fixture
def sim() -> Iterator[TabletopSim]:
    """A simulation that is closed after the test."""
    simulation = TabletopSim()
    yield simulation
    simulation.close()


@pytest.mark.parametrize('position', ['A', 'D'])
def test_the_teacher_succeeds_through_the_controller(position: str) -> None:
    sim = NumberedFrames()
    sim.reset(position, seed=3)
    result = run(sim, ExpertRunner(sim))
    assert result.success
    assert 5 < result.duration_s < 9
    assert result.final_state == 'run'
    assert result.ticks == pytest.approx(result.duration_s * 50, abs=1)
    assert result.policy_steps == pytest.approx(result.duration_s * 10, abs=3)


@pytest.mark.parametrize('phase_ms', [0, 6, 20, 38])
def test_the_policy_sees_the_newest_frame_of_its_time(phase_ms: int) -> None:
    sim = NumberedFrames()
    sim.reset('C', seed=1)
    ticks: list[Tick] = []
    run(sim, ExpertRunner(sim), horizon_s=3.0, phase_ms=phase_ms, watch=ticks.append)
    steps = {tick.step.time_ns: tick.step for tick in ticks if tick.step is not None}
    assert len(steps) > 20
    for time_ns, step in steps.items():
        now_ms = time_ns // MS
        frames = range(phase_ms, now_ms + 1, FRAME_MS)
        newest = frames[-1] if frames else 0
        assert time_of(step.observation.images['top']) == newest
    assert set(np.diff(sorted(steps))) <= {PERIOD_MS * MS}


def test_frames_that_nobody_sees_are_not_rendered() -> None:
    sim = NumberedFrames()
    sim.reset('C', seed=1)
    runner = ExpertRunner(sim)
    run(sim, runner, horizon_s=4.0)
    assert len(runner.seen) > 30
    assert len(sim.rendered_ms) <= len(runner.seen) + 3


def test_joints_are_those_of_the_moment(sim: TabletopSim) -> None:
    sim.reset('C', seed=1)
    ticks: list[Tick] = []
    run(sim, ExpertRunner(sim), horizon_s=2.0, watch=ticks.append)
    for tick in ticks:
        if tick.step is not None and tick.step.time_ns == tick.time_ns:
            np.testing.assert_array_equal(
                tick.step.observation.qpos, tick.measured.astype(np.float32)
            )


def test_commands_keep_the_limits_of_the_robot(sim: TabletopSim) -> None:
    class Wild(ExpertRunner):
        def infer(
            self, observation: Observation, explain: bool = True, *times: int | None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            sign = 1 if len(self.seen) % 2 else -1
            self.seen.append(observation)
            return np.full((1, 5), 50.0 * sign), {}

    sim.reset('C', seed=1)
    ticks: list[Tick] = []
    result = run(sim, Wild(sim), horizon_s=4.0, watch=ticks.append)
    limits = load_robot_spec('tabletop_sim').joints.limits
    sent = np.stack([tick.command.position for tick in ticks if tick.command is not None])
    low, high = limits.position_array().T
    assert (sent >= low - 1e-9).all() and (sent <= high + 1e-9).all()
    speed = np.abs(np.diff(sent, axis=0)) * 50
    assert (speed <= limits.velocity_array() * (1 + 1e-6)).all()
    assert not result.success
    assert result.violations['position'] > 0


def test_a_policy_that_gives_nonsense_leaves_the_arm_in_hold(sim: TabletopSim) -> None:
    class Broken(ExpertRunner):
        def infer(
            self, observation: Observation, explain: bool = True, *times: int | None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            return np.full((1, 5), np.nan), {}

    sim.reset('C', seed=1)
    ticks: list[Tick] = []
    result = run(sim, Broken(sim), horizon_s=1.0, watch=ticks.append)
    assert result.final_state == 'hold'
    positions = np.stack([tick.command.position for tick in ticks if tick.command is not None])
    np.testing.assert_allclose(positions, positions[:1].repeat(len(positions), 0), atol=1e-9)


def test_only_a_watched_rollout_asks_for_explanations(sim: TabletopSim) -> None:
    explained: list[bool] = []

    class Curious(ExpertRunner):
        def infer(
            self, observation: Observation, explain: bool = True, *times: int | None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            explained.append(explain)
            return super().infer(observation, explain)

    sim.reset('C', seed=1)
    run(sim, Curious(sim), horizon_s=0.5)
    assert explained and not any(explained)
    sim.reset('C', seed=1)
    run(sim, Curious(sim), horizon_s=0.5, watch=lambda tick: None)
    assert explained[-1]
