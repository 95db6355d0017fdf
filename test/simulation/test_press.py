# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The pressing task: only the force tells how deep to press, and all see the same force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motion_policy.cli import teach_directly
from motion_policy.cli.main import main
from motion_policy.control import Controller
from motion_policy.episodes import EpisodeReader, check_episode
from motion_policy.errors import UserError
from motion_policy.evaluation.closed_loop import rollout
from motion_policy.robot import RobotSpec, load_robot_spec, robot_spec_from_yaml
from motion_policy.simulation.press import (
    FORCE_N,
    GREATEST_FORCE_N,
    HOLD_DURATION_S,
    NOISE,
    STIFFNESS_N_PER_M,
    TOLERANCE_N,
    PressSim,
)
from motion_policy.simulation.press_expert import PressMotion, press_teacher
from motion_policy.streams import Observation

NAME = 'sim:tabletop:press'
PERIOD_S = 0.02
LIMITS = load_robot_spec('tabletop_press').joints.limits


@pytest.fixture(scope='module')
def sim() -> Iterator[PressSim]:
    """Give the scene."""
    simulation = PressSim()
    yield simulation
    simulation.close()


def play(sim: PressSim, seed: int, commands: Any = None) -> dict[str, np.ndarray]:
    """Let the teacher, or given commands (N, 5), press the pad of a seed; what was felt."""
    sim.reset(seed=seed)
    teacher = press_teacher(sim, seed)
    rows: dict[str, list[Any]] = {'command': [], 'force': [], 'wrench': [], 'success': []}
    for row in range(int(teacher.duration_s / PERIOD_S)):
        action = teacher(row * PERIOD_S)
        sent = teacher.follower(row * PERIOD_S) if commands is None else commands[row]
        rows['command'].append(action if commands is None else sent)
        sim.step(sent, PERIOD_S)
        rows['force'].append(sim.pad_force_n)
        rows['wrench'].append(sim.wrench)
        rows['success'].append(sim.success)
    return {name: np.array(values) for name, values in rows.items()}


def softest_and_stiffest(sim: PressSim, seeds: int = 30) -> tuple[int, int]:
    stiffness = []
    for seed in range(seeds):
        sim.reset(seed=seed)
        stiffness.append(sim.stiffness_n_per_m)
    low, high = STIFFNESS_N_PER_M
    assert low <= min(stiffness) < 1.2 * low and high / 1.2 < max(stiffness) <= high
    return int(np.argmin(stiffness)), int(np.argmax(stiffness))


def test_the_teacher_presses_soft_and_stiff_pads_by_force_and_not_by_depth(sim: PressSim) -> None:
    soft, stiff = softest_and_stiffest(sim)
    travel, commands = {}, {}
    for seed in (soft, stiff):
        rows = play(sim, seed)
        travel[seed], commands[seed] = sim.pad_travel_m, rows['command']
        assert sim.success and sim.greatest_force_n < GREATEST_FORCE_N
        assert rows['force'][-1] == pytest.approx(FORCE_N, abs=0.3)
        # Success came after the pad was pressed rightly for long enough, not before.
        begun = int(rows['success'].argmax())
        right = np.abs(rows['force'] - FORCE_N) <= TOLERANCE_N
        held = round(HOLD_DURATION_S / PERIOD_S)
        assert right[begun - held + 2 : begun].all() and not right[: begun - held - 1].all()
        low, high = LIMITS.position_array().T
        assert ((low <= rows['command']) & (rows['command'] <= high)).all()
        speed = np.diff(rows['command'], axis=0) / PERIOD_S
        assert (np.abs(speed) <= LIMITS.velocity_array()).all()
    assert travel[soft] > 0.05 and travel[stiff] < 0.02
    # What pressed one of them rightly presses the other wrongly.
    for seed, other in ((soft, stiff), (stiff, soft)):
        play(sim, seed, commands[other])
        assert not sim.success
    assert sim.greatest_force_n < FORCE_N - TOLERANCE_N


def test_a_seed_fixes_the_demonstration_to_the_bit(sim: PressSim) -> None:
    first, other = play(sim, 5), play(sim, 6)
    again = play(sim, 5)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first['command'], other['command'])


def test_pressed_too_hard_once_is_no_success_ever(sim: PressSim) -> None:
    soft, stiff = softest_and_stiffest(sim)
    commands = play(sim, stiff)['command'].copy()
    commands[350:355] = play(sim, soft)['command'][-1]  # far too deep for a moment
    sim.reset(seed=stiff)
    states = []
    for command in commands:
        sim.step(command, PERIOD_S)
        states.append(sim.success)
    assert states[349] and not any(states[355:])
    assert sim.greatest_force_n > GREATEST_FORCE_N


def test_the_wrist_feels_the_weight_of_the_hand_and_what_presses_on_it(sim: PressSim) -> None:
    rows = play(sim, 0)
    pitch = float(sim.qpos[1:4].sum())
    up = np.array([-np.sin(pitch), 0.0, np.cos(pitch)])
    still = rows['wrench'][100:112, :3].mean(axis=0) @ up  # over the pad
    weight_n = 9.81 * sum(sim.model.body(n).mass[0] for n in ('link4', 'finger_left'))
    weight_n += 9.81 * sim.model.body('finger_right').mass[0]
    assert still == pytest.approx(-weight_n, abs=0.15)
    pressed = rows['wrench'][-50:, :3].mean(axis=0) @ up
    assert pressed - still == pytest.approx(rows['force'][-50:].mean(), abs=0.15)
    steps = np.diff(rows['wrench'][-50:], axis=0).std(axis=0) / np.sqrt(2)
    np.testing.assert_allclose(steps, NOISE, rtol=0.5)


def test_only_random_places_are_known(sim: PressSim) -> None:
    with pytest.raises(UserError, match="pad position 'C': expected 'random'"):
        sim.reset('C')


class Expert:
    """Stands in for a policy: the teacher's motion, felt through what the policy is given."""

    def __init__(self, sim: PressSim) -> None:
        self._motion: PressMotion = press_teacher(sim, 3)._motion
        self.seen: list[tuple[int, Observation]] = []

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(
        self, observation: Observation, explain: bool = True, time_ns: int | None = None,
        since_ns: int = 0,
    ) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
        assert time_ns is not None
        self.seen.append((time_ns, observation))
        force_x, force_z = observation.vectors['wrench']
        wrench = np.array([force_x, 0.0, force_z, 0.0, 0.0, 0.0])
        self._motion.feel(wrench, observation.qpos)
        return self._motion(time_ns * 1e-9 - 1.0)[None], {}


def test_what_sees_the_wrench_in_the_closed_loop_presses_rightly(sim: PressSim) -> None:
    """A policy sees, of 100 Hz, the mean of the control period, as a recorder writes it."""
    robot = load_robot_spec('tabletop_press')
    sim.reset(seed=1)
    expert = Expert(sim)
    told: dict[int, np.ndarray] = {}
    step = sim.step

    def watched_step(command: Any, duration_s: float) -> None:
        told[sim.time_ns] = sim.wrench
        step(command, duration_s)
        told[sim.time_ns] = sim.wrench

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim, 'step', watched_step)
        controller = Controller(robot, 2 * robot.period_ns)
        result = rollout(
            sim, controller, expert, robot, cameras=(), vectors=('wrench',), horizon_s=10.0,
            camera_rate_hz=25.0,
        )  # fmt: skip
    assert result.success
    begin_ns = expert.seen[0][0]
    for time_ns, observation in expert.seen[5:]:
        now_ns = time_ns - begin_ns
        mean = (told[now_ns] + told[now_ns - 10_000_000])[[0, 2]] / 2
        np.testing.assert_allclose(observation.vectors['wrench'], mean, rtol=1e-5, atol=1e-6)


def test_a_vector_that_no_simulation_publishes_is_one_line(sim: PressSim) -> None:
    robot = load_robot_spec('tabletop_press')
    skin = robot.vectors['wrench'].model_copy(update={'type': 'nav_msgs/msg/Odometry'})
    other = robot.model_copy(update={'vectors': {'skin': skin}})
    with pytest.raises(UserError, match=r"vector 'skin' is a nav_msgs.*publishes: geometry_msgs"):
        rollout(
            sim, Controller(other, other.period_ns), Expert(sim), other, cameras=(),
            vectors=('skin',), horizon_s=1.0, camera_rate_hz=25.0,
        )  # fmt: skip


def blind_robot() -> RobotSpec:
    """The arm of the scene without its camera; its last four wrenches are kept as well."""
    robot = load_robot_spec('tabletop_press').model_copy(update={'cameras': {}})
    text = 'vectors:\n  last: {window: last, count: 4, topic: ft_sensor/wrench, '
    text += 'type: geometry_msgs/msg/WrenchStamped, fields: [wrench.force.x]}\n'
    return robot_spec_from_yaml(robot.to_yaml().replace('vectors:\n', text), 'blind.yaml')


@pytest.mark.slow
def test_teaching_records_the_wrench_of_every_row(tmp_path: Path) -> None:
    """As the recorder does: the mean of a row's two messages, or the last ones of 100 Hz."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach_directly, 'load_robot_spec', lambda _: blind_robot())
        assert main(['teach', NAME, '--out', str(tmp_path), '--episodes', '1']) == 0
    [path] = tmp_path.iterdir()
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        wrench = episode.vector('wrench')
        assert wrench.shape == (episode.length, 2)
        assert (episode.task, episode.success) == ('press', True)
        last = episode.vector('last')[..., 0]
        assert last.shape == (episode.length, 4)
        np.testing.assert_allclose(last[1:, 2:].mean(axis=1), wrench[1:, 0], atol=1e-5)
        np.testing.assert_array_equal(last[2:, :2], last[1:-1, 2:])
        # The force grows while the arm goes down; the row holds what was felt before its action.
        pressed = -wrench[:, 0]
        assert pressed[:100].max() < 1.0 and pressed[-50:].min() > 3.0
