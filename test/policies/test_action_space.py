# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: whatever a network predicts, a policy gives joint targets, and the right ones."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from chain_arm import SEVEN, SIX, chain_urdf
from policy_examples import FAMILIES, random_observation, small_policy, small_robot, spec
from recordings import write_episode

from motion_policy.cli.main import main
from motion_policy.control import PolicyRunner
from motion_policy.episodes import EpisodeError
from motion_policy.errors import UserError
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.evaluation.tool_errors import tool_errors
from motion_policy.policies import check_robot, load_policy, save_policy
from motion_policy.policies.action_space import ActionSpace, angles_between, rotation_of
from motion_policy.policies.backends.export import export_policy
from motion_policy.policies.backends.selection import BackEndChoice, use_back_end
from motion_policy.policies.checkpoint import CheckpointError, spec_to_yaml
from motion_policy.policies.convert.lerobot import to_lerobot
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.robot.kinematics import Kinematics
from motion_policy.share import share_dir
from motion_policy.streams import Observation

torch.set_num_threads(1)
TOOL = {'link': 'tool', 'urdf': str(share_dir() / 'config' / 'robots' / 'tabletop_arm.urdf')}
SPACES = ('joints', 'joints_relative', 'tool', 'tool_relative')
ACT = {
    'chunk': 6, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'backbone': 'small', 'posterior': False,
}  # fmt: skip
KINDS = {**FAMILIES, 'cae_rnn': {'rec_dim': 12, 'cae': {'feat_dim': 3}}, 'act': ACT}


def chain_robot(folder: Path, chain: tuple = SIX, rate: float = 50.0) -> RobotSpec:
    """A chain with its gripper first, and its tool."""
    count = len(chain)
    return robot_spec_from_yaml(
        f"""
name: chain
rate: {rate}
joints:
  names: [gripper, {', '.join(f'joint{number}' for number in range(1, count + 1))}]
  state: {{topic: joint_states, type: sensor_msgs/msg/JointState}}
  command: {{topic: command, type: std_msgs/msg/Float64MultiArray}}
  limits:
    position: {[[0, 0.04], *[[-2.5, 2.5]] * count]}
    velocity: {[0.2, *[4.0] * count]}
    acceleration: {[1.0] * (count + 1)}
tool: {{link: tool, urdf: {chain_urdf(folder / 'arm.urdf', chain)}}}
""",
        'chain.yaml',
    )


def swung(count: int, rows: int, rate: float) -> np.ndarray:
    """Joints (rows, 1 + count) of an arm that swings, slower than it may; the gripper closes."""
    time = np.arange(rows)[:, None] / rate
    place = np.arange(count)
    joints = 0.3 + 0.1 * place + 0.5 * np.sin(1.3 * time + place)
    return np.concatenate((0.04 - 0.01 * time, joints), axis=1)


def of_tabletop(name: str, **changes: Any) -> dict[str, Any]:
    """What a spec says of a space on the tabletop arm; actions of about the arm's size."""
    robot = small_robot(tool=TOOL)
    space = ActionSpace(name, robot, 10.0)  # type: ignore[arg-type]
    given: dict[str, Any] = {'action_space': name, 'robot': robot, **changes}
    if name != 'joints':
        low, high = -np.ones(len(space.columns)), np.ones(len(space.columns))
        if space.of_tool:
            low[:3], high[:3] = -0.2, 0.3
        target = {'min': low.tolist(), 'max': high.tolist()}
        given['normalisation'] = {**spec().normalisation.model_dump(), 'target': target}
    return given


@pytest.mark.parametrize('chain', [SIX, SEVEN])
@pytest.mark.parametrize('name', SPACES)
def test_a_chunk_of_a_hundred_rows_comes_back_as_its_joints(
    tmp_path: Path, name: Any, chain: tuple
) -> None:
    robot = chain_robot(tmp_path, chain)
    space = pickle.loads(pickle.dumps(ActionSpace(name, robot, robot.rate)))
    joints = torch.from_numpy(swung(len(chain), 100, robot.rate)).float()
    observed = joints[:1] + 0.01
    actions = space.express(space.placed(joints), space.placed(observed))
    assert actions.shape == (100, len(space.columns)) and actions.dtype == torch.float32
    found = space.joints(actions[None], observed)
    assert found.shape == (1, *joints.shape) and found.dtype == torch.float32
    errors = tool_errors(robot, found[0].double().numpy(), joints.double().numpy())
    assert errors is not None
    assert errors.away_mm.max() < 0.1 and errors.turned_degrees.max() < 0.05
    if space.of_tool:
        poses = space.poses(actions[None], observed)[0].double().numpy()
        seen = tool_errors(robot, joints.double().numpy(), joints.double().numpy(), poses)
        assert seen is not None and seen.predicted is not None
        assert seen.predicted.away_mm.max() < 1e-3
        assert seen.predicted.turned_degrees.max() < 1e-3
    torch.testing.assert_close(found[0, :, 0], joints[:, 0])  # the gripper is as it was told
    if len(chain) == 6:  # else the elbow is free
        torch.testing.assert_close(found[0], joints, atol=2e-2, rtol=0)


def test_a_relative_pose_is_in_the_frame_of_the_tool_at_the_observation(tmp_path: Path) -> None:
    robot = chain_robot(tmp_path)
    space = ActionSpace('tool_relative', robot, 50.0)
    kinematics = Kinematics((tmp_path / 'arm.urdf').read_text(), robot.joints.names, 'urdf')
    joints = swung(6, 2, 1.0)
    (here, there), (turned, goal) = kinematics.poses(kinematics.link('tool', 'tool'), joints)
    actions = space.express(*space.placed(torch.from_numpy(joints)).flip(0)).double().numpy()
    np.testing.assert_allclose(actions[:3], turned.T @ (there - here), atol=1e-6)
    between = turned.T @ goal
    np.testing.assert_allclose(actions[3:6], between[:, 0], atol=1e-6)
    np.testing.assert_allclose(actions[6:9], between[:, 1], atol=1e-6)
    assert actions[9] == pytest.approx(joints[1, 0])
    # Moved as a whole about its first joint, the arm does the same: that is what relative means.
    other = joints + np.eye(7)[1] * 0.7
    again = space.express(*space.placed(torch.from_numpy(other)).flip(0))
    np.testing.assert_allclose(again.numpy(), actions, atol=1e-6)
    assert space.columns[:4] == ('tool.x', 'tool.y', 'tool.z', 'tool.rotation.xx')
    assert space.columns[9:] == ('gripper',)


def test_relative_joints_leave_out_those_that_are_absolute() -> None:
    space = ActionSpace('joints_relative', small_robot(), 10.0, ('gripper',))
    joints = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.01], [0.2, 0.2, 0.2, 0.2, 0.019]])
    actions = space.express(space.placed(joints), space.placed(joints[:1]))
    torch.testing.assert_close(actions[0], torch.tensor([0, 0, 0, 0, 0.01]))
    torch.testing.assert_close(space.joints(actions[None], joints[:1])[0], joints)


def test_a_wrist_that_turns_past_half_a_turn_does_not_turn_back(tmp_path: Path) -> None:
    """A quaternion would change its sign there, an angle would jump."""
    robot = chain_robot(tmp_path)
    space = ActionSpace('tool', robot, 50.0)
    joints = torch.from_numpy(np.repeat(swung(6, 1, 1.0), 120, axis=0)).float()
    joints[:, 6] = torch.linspace(-2.3, 2.3, 120)
    found = space.joints(space.placed(joints)[None], joints[:1])[0]
    assert (found[1:] - found[:-1]).abs().max() < 0.05
    torch.testing.assert_close(found, joints, atol=1e-3, rtol=0)


def test_rotations_that_are_not_quite_so(tmp_path: Path) -> None:
    robot = chain_robot(tmp_path)
    space = ActionSpace('tool', robot, 50.0)
    joints = torch.from_numpy(swung(6, 5, 50.0)).float()
    actions = space.placed(joints).clone()
    actions[:, 3:9] *= 1.7  # of any length
    found = space.joints(actions[None], joints[:1])[0]
    torch.testing.assert_close(found, joints, atol=1e-3, rtol=0)
    bad = actions.clone()
    bad[1, 3:6] = 0  # no direction
    bad[2, 6:9] = bad[2, 3:6]  # the same twice
    bad[3, 0] = torch.nan
    bad[4, 9] = torch.inf
    found = space.joints(bad[None], joints[:1])[0]
    assert found[0].isfinite().all() and found[1:].isnan().all()
    assert space.joints(actions[None], joints[:1] * torch.nan).isnan().all()


@pytest.mark.parametrize('name', ['tool', 'tool_relative'])
def test_out_of_reach_the_arm_stays_within_its_limits_and_steps(tmp_path: Path, name: Any) -> None:
    robot = chain_robot(tmp_path)
    space = ActionSpace(name, robot, 50.0)
    joints = torch.from_numpy(swung(6, 1, 50.0)).float()
    actions = space.express(space.placed(joints), space.placed(joints)).repeat(100, 1)
    actions[:, :3] += torch.linspace(0, 3, 100)[:, None]  # metres away
    found = space.joints(actions[None], joints)[0]
    limits = torch.tensor(robot.joints.limits.position_array())
    assert (found >= limits[:, 0] - 1e-6).all() and (found <= limits[:, 1] + 1e-6).all()
    assert (found[1:] - found[:-1]).abs().max() <= 4.0 / 50 + 1e-6
    assert (found[-1] - joints[0]).abs().max() > 0.3  # it goes as far as it may


def test_angles_near_none_and_near_half_a_turn_are_exact() -> None:
    for angle in (0.0, 1e-8, 0.3, np.pi - 1e-6, np.pi):
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        found = angles_between(np.eye(3)[None], turn[None])[0]
        assert found == pytest.approx(angle, abs=1e-9)
    columns = torch.tensor([1.0, 0, 0, 0, 2, 0])
    torch.testing.assert_close(rotation_of(columns), torch.eye(3))


@pytest.mark.parametrize('name', SPACES)
@pytest.mark.parametrize('kind', KINDS)
def test_every_family_gives_joint_targets_in_every_space(
    tmp_path: Path, kind: str, name: str
) -> None:
    policy = small_policy(kind=kind, hyper=KINDS[kind], image_size=(32, 64), **of_tabletop(name))
    loaded = load_policy(save_policy(policy, tmp_path / 'policy'))
    assert loaded.spec.action_space == name
    observation = random_observation(2)
    chunk, _ = policy.act(observation, None)
    assert chunk.shape == (2, policy.chunk_rows, 5) and chunk.isfinite().all()
    torch.testing.assert_close(loaded.act(observation, None)[0], chunk, rtol=0, atol=1e-5)
    actions, _, _ = policy.predict(observation, None, False)
    assert actions.shape[-1] == {'tool': 10, 'tool_relative': 10}.get(name, 5)
    torch.testing.assert_close(policy.space.joints(actions, observation['qpos']), chunk)
    told = policy.act_and_explain(observation, None)[2]
    assert ('tool_pose' in told) == name.startswith('tool')
    if name == 'joints':
        torch.testing.assert_close(actions, chunk, rtol=0, atol=0)
    one = random_observation()
    expected, _ = policy.act(one, None)
    use_back_end(policy, BackEndChoice('torch', 'float32'), lambda: 0, lambda line: None)
    assert policy.back_end is not None
    found, _ = policy.act(one, None)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_a_checkpoint_in_joints_says_nothing_of_a_space() -> None:
    text = spec_to_yaml(spec())
    assert 'action_space' not in text and 'absolute' not in text and 'target:\n' not in text
    assert 'action_space: tool\n' in spec_to_yaml(spec(**of_tabletop('tool')))


def test_on_an_arm_with_tighter_limits_the_tool_goes_where_it_may(tmp_path: Path) -> None:
    """A guard that holds one joint back alone would lead the tool elsewhere."""
    robot = chain_robot(tmp_path, SEVEN)
    space = ActionSpace('tool', robot, robot.rate)
    joints = torch.from_numpy(swung(7, 100, robot.rate)).float()
    highest = joints[:, 1].max().item() - 0.1
    told = yaml.safe_load(robot.to_yaml())
    told['joints']['limits']['position'][1][1] = highest
    del told['tool']
    arm = robot_spec_from_yaml(yaml.safe_dump(told), 'arm.yaml')
    start = joints[:1]
    assert space.on(robot) is space
    found = space.on(arm).joints(space.placed(joints)[None], start)[0].double().numpy()
    assert (found[:, 1] <= highest + 1e-6).all()
    errors = tool_errors(robot, found, joints.double().numpy())
    clipped = joints.double().numpy()
    clipped[:, 1] = np.minimum(clipped[:, 1], highest)
    otherwise = tool_errors(robot, clipped, joints.double().numpy())
    assert errors is not None and otherwise is not None
    assert errors.away_mm.max() < 0.2 * otherwise.away_mm.max()


@pytest.mark.parametrize('space', ['joints_relative', 'tool_relative'])
def test_chunks_that_overlap_count_each_from_its_own_observation(space: str) -> None:
    """Not from the newest: what is averaged, or still waits, was meant from where it was seen."""
    policy = small_policy(kind='act', hyper=ACT, image_size=(32, 64), **of_tabletop(space))
    runner = PolicyRunner(policy, policy.spec.robot, ensemble=0.3)
    images = {camera: np.full((128, 128, 3), 90, np.uint8) for camera in policy.cameras}
    targets = []
    for step in range(3):
        qpos = np.array([0.1, -0.6, 0.3, 0.4, 0.01], np.float32) + np.float32(0.05 * step)
        seen = Observation(qpos, 0 * qpos, None, images, None)
        rows, _ = runner.infer(seen, explain=False, time_ns=step * policy.period_ns)
        batch: Any = {
            'qpos': torch.from_numpy(qpos[None]),
            'images': {name: torch.from_numpy(image[None]) for name, image in images.items()},
        }
        actions, _, _ = policy.predict(batch, None, False)
        targets.append(policy.space.joints(actions, batch['qpos'])[0].double().numpy())
    weights = np.exp(-0.3 * np.arange(3))  # the oldest first
    due = np.stack([targets[step][2 - step] for step in range(3)])
    assert np.abs(due - due[-1]).max() > 0.02
    np.testing.assert_allclose(rows[0], weights @ due / weights.sum(), atol=1e-5)


def test_what_cannot_be_is_one_line() -> None:
    given = of_tabletop('tool')
    grippers = {'joint4': {'open': 0.4, 'closed': 0.0, 'open_at': 0.3, 'close_at': 0.1}}
    told = yaml.safe_load(small_robot(tool=TOOL).to_yaml())
    told['joints']['grippers'] = grippers
    with pytest.raises(ValueError, match="'tool', but gripper 'joint4' moves the tool '"):
        ActionSpace('tool', robot_spec_from_yaml(yaml.safe_dump(told), 'x.yaml'), 10.0)
    with pytest.raises(ValueError, match="'tool', but robot 'tabletop_sim' has no tool"):
        spec(**{**given, 'robot': small_robot()})
    with pytest.raises(ValueError, match="target has 0 values, action_space 'tool_relative' 10"):
        spec(**{**given, 'action_space': 'tool_relative', 'normalisation': spec().normalisation})
    with pytest.raises(ValueError, match="target has 10 values, action_space 'joints' 0"):
        spec(**{**given, 'action_space': 'joints'})
    with pytest.raises(ValueError, match="absolute_joints: found with 'tool'"):
        spec(**given, absolute_joints=('gripper',))
    with pytest.raises(ValueError, match="absolute_joints: 'claw' is none of the joints: joint1"):
        ActionSpace('joints_relative', small_robot(), 10.0, ('claw',))
    with pytest.raises(ValueError, match="action_space: found 'tool', but a 'cae' has no use"):
        from motion_policy.policies import make_model

        make_model(spec(kind='cae', hyper={'feat_dim': 3}, **given))


def test_a_robot_without_pinocchio_is_told_so_when_the_policy_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_policy(small_policy(**of_tabletop('tool')), tmp_path / 'policy')
    monkeypatch.setitem(__import__('sys').modules, 'pinocchio', None)
    with pytest.raises(UserError, match=r'action_space needs Pinocchio .* pip install pin'):
        load_policy(path)


def test_a_damaged_urdf_in_a_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = save_policy(small_policy(**of_tabletop('tool')), tmp_path / 'policy')
    file = path / 'policy.yaml'
    text = file.read_text()
    for old, new in (
        ('<robot', '<robut'),
        ('xyz="0.124 0 0"', 'xyz="1e400 0 0"'),
        ('xyz="0 1 0"', 'xyz="a"'),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        with pytest.raises(UserError) as caught:
            load_policy(path)
        assert '\n' not in str(caught.value)
    assert CheckpointError.__mro__[1] is UserError


def test_inspect_tells_the_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ('joints', 'tool_relative'):
        path = save_policy(small_policy(**of_tabletop(name)), tmp_path / name)
        assert main(['inspect', str(path)]) == 0
        told = 'action' if name == 'joints' else 'action, as tool_relative'
        assert re.search(f'predicts +{told} *\n', capsys.readouterr().out)


def test_what_would_give_no_joint_targets_is_not_written(tmp_path: Path) -> None:
    policy = small_policy(kind='act', hyper=ACT, image_size=(32, 64), **of_tabletop('tool'))
    with pytest.raises(UserError, match=r"predicts 'tool', .* train one with .* or run this"):
        export_policy(policy, 'onnx', tmp_path / 'a.onnx')
    with pytest.raises(UserError, match="action_space 'tool', LeRobot has no such ACT"):
        to_lerobot(policy, tmp_path / 'lerobot')
    assert not list(tmp_path.iterdir())


PLACE = '<origin xyz="0.126 0 0"/>'  # of the tool on the last link
MOVED = {
    '<origin xyz="0.1262 0 0" rpy="0.001 0 0"/>': '',  # 0.2 mm, 0.06 degrees
    '<origin xyz="0.176 0 0"/>': r"the tool 'tool', .* \('tip'\) is up to 50.0 mm and 0.00",
    '<origin xyz="0.126 0 0" rpy="0.01 0 0"/>': r'up to 0.0 mm and 0.57 degrees elsewhere at the',
}


@pytest.mark.parametrize('name', SPACES)
def test_a_robot_with_another_tool_is_refused_where_the_tool_counts(name: str) -> None:
    policy = small_policy(**of_tabletop(name))
    text = Path(TOOL['urdf']).read_text().replace('"tool"', '"tip"')
    check_robot(policy, small_robot())  # a spec that says nothing of its tool is no other
    for place, words in MOVED.items():
        robot = small_robot(tool={'link': 'tip', 'urdf': text.replace(PLACE, place)})
        if not words or not name.startswith('tool'):
            check_robot(policy, robot)
            continue
        with pytest.raises(CheckpointError, match=words) as caught:
            check_robot(policy, robot)
        assert '\n' not in str(caught.value)


def test_recordings_are_held_against_the_tool_unless_the_training_named_it(tmp_path: Path) -> None:
    text = Path(TOOL['urdf']).read_text().replace(PLACE, '<origin xyz="0.176 0 0"/>')
    longer = small_robot(tool={'link': 'tool', 'urdf': text})
    write_episode(tmp_path / 'episode_000000.hdf5', 12, robot=longer, compress=False)
    given = of_tabletop('tool')
    with pytest.raises(EpisodeError, match=r'000000.hdf5: .* is up to 50.0 mm and 0.00 degrees'):
        find_recordings([tmp_path], small_policy(**given))
    named = small_policy(**given, training={'tool': given['robot'].tool.model_dump()})
    assert len(find_recordings([tmp_path], named)) == 1
