# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm obeys commands, is fixed by its seed, and its teacher grasps everywhere."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import GraspExpert, TabletopSim, make_simulation
from motion_policy.simulation.expert import ToolKinematics, minimum_jerk

PERIOD_S = 0.02


@pytest.fixture(scope='module')
def sim() -> TabletopSim:
    return TabletopSim(seed=0)


def demonstrate(sim: TabletopSim, seed: int) -> np.ndarray:
    trajectory = GraspExpert(seed).plan(sim.cube_pose[:2], sim.qpos)
    commands = np.array(
        [trajectory(time_s) for time_s in np.arange(0, trajectory.duration_s, PERIOD_S)]
    )
    for command in commands:
        sim.step(command, PERIOD_S)
    return commands


@pytest.mark.parametrize('cube', ['A', 'B', 'C', 'D', 'E', 'random', 'outside', 0.03, -0.14])
def test_the_teacher_lifts_the_cube_wherever_it_stands(sim: TabletopSim, cube: str | float):
    sim.reset(cube, seed=7)
    assert not sim.success
    demonstrate(sim, seed=7)
    assert sim.success
    assert sim.cube_height_m > 0.05


def test_demonstrations_stay_inside_the_limits_of_the_robot_spec(sim: TabletopSim):
    limits = load_robot_spec('tabletop_sim').joints.limits
    position, velocity = limits.position_array(), limits.velocity_array()
    acceleration = limits.acceleration_array()
    for cube in ('A', 'C', 'E'):
        sim.reset(cube, seed=3)
        commands = demonstrate(sim, seed=3)
        assert (commands >= position[:, 0]).all() and (commands <= position[:, 1]).all()
        speed = np.diff(commands, axis=0) / PERIOD_S
        assert (np.abs(speed) <= velocity).all()
        assert (np.abs(np.diff(speed, axis=0)) / PERIOD_S <= acceleration).all()


def test_success_needs_the_cube_held_for_one_second(sim: TabletopSim):
    sim.reset('C', seed=1)
    trajectory = GraspExpert(1).plan(sim.cube_pose[:2], sim.qpos)
    above_since = None
    for step in range(int(trajectory.duration_s / PERIOD_S)):
        sim.step(trajectory(step * PERIOD_S), PERIOD_S)
        if sim.cube_height_m < 0.05:
            above_since = None
        elif above_since is None:
            above_since = sim.time_ns
        if sim.success:
            break
        assert above_since is None or sim.time_ns - above_since < 1.04e9
    assert sim.success and sim.time_ns - above_since >= 0.98e9


def test_an_arm_that_stays_home_fails(sim: TabletopSim):
    sim.reset('C', seed=1)
    sim.step(sim.home, 2.0)
    assert not sim.success
    np.testing.assert_allclose(sim.qpos, sim.home, atol=0.01)


def test_a_seed_fixes_the_scene_the_motion_and_the_image():
    def run() -> tuple[np.ndarray, np.ndarray]:
        sim = TabletopSim()
        sim.reset('random', seed=11)
        demonstrate(sim, seed=5)
        return sim.qpos, sim.render('top', 64, 64)

    (qpos, image), (qpos_again, image_again) = run(), run()
    np.testing.assert_array_equal(qpos, qpos_again)
    np.testing.assert_array_equal(image, image_again)


def test_trials_of_one_position_differ(sim: TabletopSim):
    sim.reset('A', seed=1)
    first = sim.cube_pose
    sim.reset('A', seed=2)
    assert 0 < np.linalg.norm(first[:2] - sim.cube_pose[:2]) < 0.01


def test_the_overhead_camera_sees_the_cube_on_the_side_where_it_stands(sim: TabletopSim):
    columns = {}
    for cube in ('A', 'E'):
        sim.reset(cube, seed=0)
        image = sim.render('top', 48, 80).astype(int)
        assert image.shape == (48, 80, 3)
        red = (image[..., 0] > 150) & (image[..., 1] < 90)
        assert red.any()
        columns[cube] = np.nonzero(red)[1].mean()
    assert columns['A'] < 40 < columns['E']


def test_inverse_kinematics_reaches_what_it_is_asked_and_refuses_the_rest():
    kinematics = ToolKinematics()
    start = np.array([0.0, -1.0, 0.4, 0.9])
    angles = kinematics.solve(np.array([0.2, 0.05, 0.05]), 1.4, start)
    assert angles[1:].sum() == pytest.approx(1.4, abs=1e-3)
    with pytest.raises(UserError, match='out of reach'):
        kinematics.solve(np.array([0.6, 0.0, 0.1]), 1.4, start)


def test_minimum_jerk_starts_and_ends_at_rest():
    progress = np.linspace(0, 1, 1001)
    curve = np.array([minimum_jerk(p) for p in progress])
    speed = np.gradient(curve, progress)
    assert curve[0] == 0 and curve[-1] == 1 and curve[500] == pytest.approx(0.5)
    assert abs(speed[0]) < 1e-3 and abs(speed[-1]) < 1e-3
    assert (np.diff(curve) >= 0).all()


def test_outside_is_beyond_a_or_e_and_on_both_sides(sim: TabletopSim):
    places = []
    for seed in range(40):
        sim.reset('outside', seed=seed)
        places.append(float(sim.cube_pose[1]))
    assert all(0.07 < abs(place) < 0.15 for place in places)
    assert 10 < sum(place > 0 for place in places) < 30
    assert max(map(abs, places)) > 0.13 and min(map(abs, places)) < 0.09


@pytest.mark.parametrize('cube', ['F', '0.5', '-0.15', 'nan', ''])
def test_an_unknown_cube_position_is_named(sim: TabletopSim, cube: str):
    with pytest.raises(UserError, match='expected one of A, B, C, D, E'):
        sim.reset(cube)


def test_an_unknown_scene_or_camera_is_named(sim: TabletopSim):
    with pytest.raises(UserError, match='scene kitchen: not known; scenes are tabletop'):
        make_simulation('kitchen')
    with pytest.raises(UserError, match='camera wrist: not in the scene, which has top, side'):
        sim.render('wrist', 8, 8)


def test_a_compiler_can_still_be_imported_where_a_scene_was_drawn() -> None:
    """Mesa's LLVM and that of triton in one process: the wrong order is a segmentation fault."""
    code = (
        'from motion_policy.simulation.graphics import OffscreenRenderer, mujoco\n'
        'model = mujoco.MjModel.from_xml_string("<mujoco/>")\n'
        'OffscreenRenderer(model)\n'
        'try:\n    import triton\nexcept ImportError:\n    pass\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
