# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The transfer cube is that of gym-aloha: same commands, same motion; success is earned."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import TransferCubeSim, TransferExpert, check_scene_robot
from motion_policy.simulation.transfer_cube import JOINT_NAMES
from motion_policy.simulation.transfer_expert import GripperKinematics

PERIOD_S = 0.02
STEPS = 370
LEFT_FINGERS = {f'vx300s_left/10_{finger}_gripper_finger' for finger in ('left', 'right')}


@pytest.fixture(scope='module')
def scene() -> Iterator[TransferCubeSim]:
    """One simulation for all tests of this file; each resets it."""
    simulation = TransferCubeSim()
    yield simulation
    simulation.close()


@pytest.fixture(scope='module')
def expert() -> TransferExpert:
    """The teacher."""
    return TransferExpert()


def commands_of(sim: TransferCubeSim, expert: TransferExpert, seed: int) -> np.ndarray:
    """What the leaders do from here, (STEPS, 14)."""
    demonstration = expert.plan(sim.cube_pose[:2], sim.qpos, seed)
    return np.array([demonstration(step * PERIOD_S) for step in range(STEPS)])


def touching(sim: TransferCubeSim) -> set[str]:
    """Names of what touches the cube now."""
    found: set[str] = set()
    for contact in sim.data.contact[: sim.data.ncon]:
        names = {sim.model.geom(int(index)).name for index in contact.geom}
        if 'red_box' in names:
            found |= names - {'red_box'}
    return found


def test_the_same_commands_give_the_motion_and_reward_of_gym_aloha(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    pytest.importorskip('labmaze', reason='dm_control needs it; no wheels from Python 3.13 on')
    from dm_control import mujoco
    from dm_control.rl import control
    from gym_aloha.constants import ASSETS_DIR, DT
    from gym_aloha.tasks.sim import BOX_POSE, TransferCubeTask
    from gym_aloha.utils import sample_box_pose

    class Blind(TransferCubeTask):
        """The task without its images, which take longest."""

        def get_observation(self, physics):
            """What is measured."""
            return {'qpos': self.get_qpos(physics), 'qvel': self.get_qvel(physics)}

    physics = mujoco.Physics.from_xml_path(str(ASSETS_DIR / 'bimanual_viperx_transfer_cube.xml'))
    theirs = control.Environment(physics, Blind(), float('inf'), control_timestep=DT)
    BOX_POSE[0] = sample_box_pose(5)
    observed = theirs.reset().observation
    scene.reset('random', seed=5)
    rewards = set()
    for command in commands_of(scene, expert, seed=5):
        np.testing.assert_allclose(scene.qpos, observed['qpos'], rtol=0, atol=1e-9)
        np.testing.assert_allclose(scene.qvel, observed['qvel'], rtol=0, atol=1e-9)
        np.testing.assert_allclose(scene.cube_pose, physics.data.qpos[16:], rtol=0, atol=1e-9)
        step = theirs.step(command)
        observed = step.observation
        scene.step(command, PERIOD_S)
        assert scene.reward == step.reward
        rewards.add(scene.reward)
    assert rewards == {0, 1, 2, 4}
    assert scene.success


@pytest.mark.parametrize('cube', ['0.0,0.4', '0.2,0.4', '0.0,0.6', '0.2,0.6', '0.1,0.5', 'random'])
def test_the_teacher_hands_the_cube_over_wherever_it_stands(
    scene: TransferCubeSim, expert: TransferExpert, cube: str
) -> None:
    scene.reset(cube, seed=11)
    demonstration = expert.plan(scene.cube_pose[:2], scene.qpos, seed=3)
    apart = 0.0
    for step in range(STEPS):
        leader, follower = (f(step * PERIOD_S) for f in (demonstration, demonstration.follower))
        apart = max(apart, float(np.abs(leader - follower).max()))
        scene.step(follower, PERIOD_S)
    assert scene.success
    assert touching(scene) == LEFT_FINGERS
    assert 0.01 < apart < 0.4


def test_where_a_reaching_arm_stands_does_not_tell_where_the_cube_is(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    """Followers on their way to one cube lie as far apart as the leaders to different cubes."""
    reach = GripperKinematics('right')
    cubes = [np.array([0.1, y]) for y in np.linspace(0.4, 0.6, 30)]
    plans = [expert.plan(cube, scene.home, seed) for seed, cube in enumerate(cubes)]
    for time_s in (0.6, 0.8, 1.0):
        leaders = np.array([reach.pinch(plan(time_s)[7:13]) for plan in plans])
        followers = np.array([reach.pinch(plan.follower(time_s)[7:13]) for plan in plans])
        assert np.std(followers - leaders, axis=0)[1] > 0.4 * leaders[:, 1].std() > 0.003
    # Before it grasps it is back on the way.
    assert all(np.allclose(plan(2.3)[7:], plan.follower(2.3)[7:]) for plan in plans)


def test_success_needs_the_left_gripper_alone_for_25_control_steps(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    scene.reset('random', seed=2)
    held = with_right = 0
    for command in commands_of(scene, expert, seed=2):
        scene.step(command, PERIOD_S)
        with_right += touching(scene) > LEFT_FINGERS
        held = held + 1 if touching(scene) == LEFT_FINGERS else 0
        assert scene.success == (held >= 25)
        if scene.success:
            break
    assert scene.success
    assert with_right > 10, 'both arms held it before, which was not counted'


def test_a_cube_that_is_dropped_at_once_is_no_success(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    scene.reset('random', seed=2)
    reached = 0
    for command in commands_of(scene, expert, seed=2):
        reached += scene.reward == 4 and touching(scene) == LEFT_FINGERS
        if reached > 10:
            command[6] = 1.0
        scene.step(command, PERIOD_S)
    assert reached > 10
    assert not scene.success


def test_the_verdict_does_not_depend_on_how_time_is_cut(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    """Frames taken between two commands cut a period into pieces."""
    ends = []
    for pieces in ((PERIOD_S,), (0.006, 0.014)):
        scene.reset('random', seed=4)
        for command in commands_of(scene, expert, seed=4):
            for piece in pieces:
                scene.step(command, piece)
            if scene.success:
                break
        ends.append((scene.time_ns, *scene.cube_pose))
    assert ends[0] == ends[1]


def test_arms_that_stay_home_fail(scene: TransferCubeSim) -> None:
    scene.reset('random', seed=0)
    for _ in range(400):
        scene.step(scene.home, PERIOD_S)
    assert not scene.success
    assert touching(scene) == {'table'}


def test_demonstrations_stay_inside_the_limits_of_the_robot_spec(
    scene: TransferCubeSim, expert: TransferExpert
) -> None:
    limits = load_robot_spec('aloha_sim').joints.limits
    position, velocity = limits.position_array(), limits.velocity_array()
    acceleration = limits.acceleration_array()
    for seed in range(20):
        scene.reset('random', seed=seed)
        commands = commands_of(scene, expert, seed)
        assert (commands >= position[:, 0]).all() and (commands <= position[:, 1]).all()
        speed = np.diff(commands, axis=0) / PERIOD_S
        assert (np.abs(speed) <= velocity).all()
        assert (np.abs(np.diff(speed, axis=0)) / PERIOD_S <= acceleration).all()


def test_a_seed_fixes_the_trial_and_another_gives_another(expert: TransferExpert) -> None:
    def trial(seed: int) -> np.ndarray:
        sim = TransferCubeSim(seed=99)
        sim.reset('random', seed=seed)
        demonstration = expert.plan(sim.cube_pose[:2], sim.qpos, seed)
        for step in range(130):
            sim.step(demonstration.follower(step * PERIOD_S), PERIOD_S)
        return np.array([*sim.qpos, *sim.qvel, *sim.cube_pose])

    first = trial(7)
    assert all((trial(7) == first).all() for _ in range(3))
    assert np.abs(trial(8) - first).max() > 1e-3


def test_without_a_seed_the_places_go_on(scene: TransferCubeSim) -> None:
    scene.reset('random', seed=1)
    places = [scene.cube_pose[:2]]
    for _ in range(20):
        scene.reset('random')
        places.append(scene.cube_pose[:2])
    assert len(np.unique(places, axis=0)) == 21
    assert (np.min(places, axis=0) >= (0.0, 0.4)).all()
    assert (np.max(places, axis=0) <= (0.2, 0.6)).all()


@pytest.mark.parametrize(('cube', 'column'), [('0.0,0.5', 0.5), ('0.2,0.5', 0.6235)])
def test_the_overhead_camera_sees_the_cube_where_it_stands(
    scene: TransferCubeSim, cube: str, column: float
) -> None:
    scene.reset(cube, seed=0)
    for size in ((480, 640), (120, 160)):
        image = scene.render('top', *size).astype(int)
        assert image.shape == (*size, 3)
        red = (image[:, :, 0] > 150) & (image[:, :, 1:].max(axis=2) < 90)
        assert red.sum() > 1e-4 * red.size
        assert np.nonzero(red)[1].mean() / size[1] == pytest.approx(column, abs=0.02)


def test_the_grippers_are_told_as_in_aloha(scene: TransferCubeSim) -> None:
    """0 closed to 1 open, left arm first; the fingers mirror each other."""
    scene.reset('random', seed=0)
    command = scene.home.copy()
    command[[6, 13]] = 0.0, 1.0
    for _ in range(100):
        scene.step(command, PERIOD_S)
    assert JOINT_NAMES[6] == 'left_gripper' and JOINT_NAMES[13] == 'right_gripper'
    assert scene.qpos[6] == pytest.approx(0.1, abs=0.02), 'where the fingers meet'
    assert scene.qpos[13] == pytest.approx(0.97, abs=0.02)
    fingers = scene.data.qpos[[6, 7, 14, 15]]
    assert fingers[[0, 2]] == pytest.approx(-fingers[[1, 3]], abs=1e-3)


@pytest.mark.parametrize('cube', ['C', '0.1', '0.3,0.5', '0.1,0.5,0', 'nan,0.5', ''])
def test_a_place_off_the_table_is_named(scene: TransferCubeSim, cube: str) -> None:
    with pytest.raises(UserError, match=f"cube position '{cube}': expected 'random' or x,y"):
        scene.reset(cube)


def test_a_cube_out_of_reach_is_named(expert: TransferExpert, scene: TransferCubeSim) -> None:
    with pytest.raises(UserError, match=r'gripper position \(-0.6.*out of reach'):
        expert.plan(np.array([-0.6, 0.5]), scene.home)


def test_a_missing_gym_aloha_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find: Callable[..., object] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'gym_aloha' else find(name, *rest),
    )
    with pytest.raises(UserError, match='pip install --no-deps gym-aloha'):
        TransferCubeSim()


def test_a_robot_with_other_joints_is_refused() -> None:
    check_scene_robot('transfer_cube', load_robot_spec('aloha_sim'))
    with pytest.raises(UserError, match=r"robot 'tabletop_sim': its joints.*left_waist"):
        check_scene_robot('transfer_cube', load_robot_spec('tabletop_sim'))
