# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A training in another space of actions learns what the recordings hold, scaled in that space."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from policy_examples import small_policy, small_robot, spec, write_demonstrations
from recordings import with_vectors, write_episode
from training_runs import ACT_RUN, SARNN_RUN, small_run

from motion_policy.episodes import EpisodeReader
from motion_policy.policies import load_policy
from motion_policy.policies.normalisation import MinMax
from motion_policy.share import share_dir
from motion_policy.training import ConfigError, train_config
from motion_policy.training.action_chunk_dataset import ActionChunkDataset
from motion_policy.training.checkpoints import RESUME_FILE
from motion_policy.training.config import action_space
from motion_policy.training.demonstrations import load_demonstrations
from motion_policy.training.recurrent_loss import vector_errors
from motion_policy.training.sequence_dataset import SequenceDataset, collate
from motion_policy.training.train import no_progress, prepare_output, train

torch.set_num_threads(1)
TOOL = {'link': 'tool', 'urdf': str(share_dir() / 'config' / 'robots' / 'tabletop_arm.urdf')}
OTHERS = ('joints_relative', 'tool', 'tool_relative')
STRIDE = 5  # rows of the recordings per step at 10 Hz


@pytest.fixture(scope='module')
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('data') / 'demos', (60, 45, 52, 60))


def content(demonstrations: Path, output: Path, space: str, **changes: Any) -> dict[str, Any]:
    keys = {'action_space': space, **({'tool': TOOL} if space.startswith('tool') else {})}
    return small_run(demonstrations, output, **{**SARNN_RUN, 'epochs': 2, **keys, **changes})


@pytest.mark.parametrize('space', OTHERS)
def test_a_recurrent_policy_learns_where_the_next_step_leads_from_this_one(
    demonstrations: Path, tmp_path: Path, space: Any
) -> None:
    config = train_config(content(demonstrations, tmp_path, space))
    data = load_demonstrations(config, no_progress)
    own = action_space(config, data.robot)
    batch = collate([SequenceDataset(data.train, data.stride)[0, 3]])
    assert batch.targets is not None and batch.targets.shape[-1] == len(own.columns)
    with EpisodeReader(data.train[0].path) as episode:
        qpos, action = torch.from_numpy(episode.qpos), torch.from_numpy(episode.action)
    for step in range(batch.targets.shape[1] - 1):
        row = 3 + STRIDE * step
        here = own.placed(qpos[row][None])
        wanted = own.express(own.placed(action[row + STRIDE][None]), here)
        torch.testing.assert_close(batch.targets[0, step + 1], wanted[0])
        back = own.joints(wanted[None], qpos[row][None])[0, 0]
        torch.testing.assert_close(back, action[row + STRIDE], atol=2e-4, rtol=0)


@pytest.mark.parametrize('space', OTHERS)
def test_act_learns_a_chunk_from_where_the_robot_was(
    demonstrations: Path, tmp_path: Path, space: Any
) -> None:
    config = train_config(content(demonstrations, tmp_path, space))
    data = load_demonstrations(config, no_progress)
    own = action_space(config, data.robot)
    dataset = pickle.loads(pickle.dumps(ActionChunkDataset(data.train, 6, 2, 'action', own)))
    batch = dataset[[0, 17, 55]]
    with EpisodeReader(data.train[0].path) as episode:
        qpos, action = torch.from_numpy(episode.qpos), torch.from_numpy(episode.action)
    placed = own.placed(action)
    wanted = own.express(placed[17 + 2 * torch.arange(6)], own.placed(qpos[17][None]))
    torch.testing.assert_close(batch.targets[1], wanted)
    assert batch.valid[2].tolist() == [True, True, True, False, False, False]
    valid = sum(int(dataset[[row]].valid.sum()) for row in range(len(dataset)))
    assert len(dataset.actions(10**6)) == valid
    assert len(dataset.actions(10)) <= 60


@pytest.mark.slow
@pytest.mark.parametrize(('run', 'space'), [('sarnn', 'tool_relative'), ('act', 'tool')])
def test_a_run_ends_in_a_policy_that_follows_its_demonstrations(
    demonstrations: Path, tmp_path: Path, run: str, space: str
) -> None:
    more: dict[str, Any] = {'epochs': 2}
    if run == 'act':
        more = {**ACT_RUN, 'epochs': None, 'steps': 4, 'pictures_every': 4}
        del more['epochs']
    given = content(demonstrations, tmp_path / 'run', space, **more)
    if run == 'act':
        for key in ('epochs', 'image_loss_frames'):
            given.pop(key)
    config = train_config(given)
    policy = load_policy(train(config))
    assert policy.spec.action_space == space
    assert policy.spec.training['action_space'] == space
    if space.startswith('tool'):
        assert policy.spec.robot.tool is not None
        assert policy.spec.robot.tool.urdf.startswith('<robot')
    target = policy.spec.normalisation.target
    assert target is not None and len(target.offset) == policy.action_dim
    with EpisodeReader(sorted(demonstrations.iterdir())[0]) as episode:
        observation: Any = {
            'qpos': torch.from_numpy(episode.qpos[:1]),
            'images': {'top': torch.from_numpy(episode.image('top', 0)[None])},
        }
        chunk, _ = policy.act(observation, None)
        assert np.abs(chunk[0, 0].numpy() - episode.qpos[0]).max() < 1.5
    again = train_config({**given, 'action_space': 'joints', 'tool': None})
    with pytest.raises(ConfigError, match='this run was begun with action_space='):
        train(again)


def test_a_policy_of_joints_knows_the_tool_that_its_reports_tell_of(
    demonstrations: Path, tmp_path: Path
) -> None:
    for space in ('joints', 'joints_relative'):
        for tool in (None, TOOL):
            config = train_config(content(demonstrations, tmp_path, space, tool=tool))
            data = load_demonstrations(config, no_progress)
            own = data.robot.tool
            assert own is None if tool is None else own is not None and own.link == 'tool'
            assert action_space(config, data.robot).columns == tuple(data.robot.joints.names)


def test_the_scale_of_actions_is_that_of_their_space(demonstrations: Path, tmp_path: Path) -> None:
    config = train_config(content(demonstrations, tmp_path, 'joints_relative'))
    data = load_demonstrations(config, no_progress)
    own = action_space(config, data.robot)
    differences = torch.cat([e.action[STRIDE:] - e.qpos[:-STRIDE] for e in data.train]).double()
    ranges = data.range_normalisation()
    found = data.target_statistics(differences, own, ranges.action)
    moved = [1, 2, 3]  # joint1 moves so little that it counts as still
    np.testing.assert_allclose(np.array(found.offset)[moved], differences.amin(0)[moved])
    spread = data.target_statistics(differences, own, data.mean_std_normalisation().action)
    np.testing.assert_allclose(np.array(spread.offset), differences.mean(0))
    tool = action_space(train_config(content(demonstrations, tmp_path, 'tool')), with_tool())
    still = tool.still(torch.ones(5, dtype=torch.float64))
    assert still.shape == (10,) and still[-1] == 1


def with_tool() -> Any:
    """The robot of the demonstrations, with its tool."""
    return small_robot(tool=TOOL)


def test_the_loss_is_in_the_space(demonstrations: Path, tmp_path: Path) -> None:
    config = train_config(content(demonstrations, tmp_path, 'tool'))
    data = load_demonstrations(config, no_progress)
    batch = collate([SequenceDataset(data.train, data.stride)[0, 0]])
    actions = torch.cat([e.targets[STRIDE:] for e in data.train if e.targets is not None])
    ranges = data.range_normalisation()
    own = action_space(config, data.robot)
    target = data.target_statistics(actions, own, ranges.action)
    policy = small_policy(
        robot=data.robot, action_space='tool',
        normalisation={**ranges.model_dump(), 'target': target.model_dump()},
    )  # fmt: skip
    assert batch.targets is not None
    right = policy.normalise_target(batch.targets[:, 1:])
    valid = batch.mask[:, 1:]
    assert float(vector_errors(policy, batch, right, valid)['joint']) == 0
    assert float(vector_errors(policy, batch, right + 0.1, valid)['joint']) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'action_space': 'cartesian'}, "action_space: found 'cartesian', expected 'joints', "),
        ({'absolute_joints': ['gripper']}, "absolute_joints: found with action_space 'joints'"),
        ({'action_space': 'tool', 'tool': {**TOOL, 'urdf': 'a.urdf'}}, 'tool.urdf: '),
        ({'action_space': 'tool', 'tool': 'tool0'}, "tool: 'tool0' without a URDF"),
        (
            {'action_space': 'tool', 'scheduled_sampling': {'joint': 0.2}},
            "scheduled_sampling.joint: found 0.2, but with action_space 'tool' no joints are",
        ),
        (
            {'policy': {'kind': 'cae'}, 'action_space': 'tool'},
            "action_space: found 'tool', but a 'cae' has no use for it",
        ),
    ],
)
def test_a_wrong_key_is_one_line(change: dict[str, Any], words: str) -> None:
    given = small_run(Path('a'), Path('b'), policy={'kind': 'sarnn'}, epochs=1)
    with pytest.raises(ConfigError) as caught:
        train_config({**given, **change}, 'run.yaml')
    assert str(caught.value).startswith(f'run.yaml: {words}') and '\n' not in str(caught.value)


def test_recordings_that_do_not_fit_are_one_line(demonstrations: Path, tmp_path: Path) -> None:
    def error(**changes: Any) -> str:
        config = train_config(content(demonstrations, tmp_path, **{'space': 'tool', **changes}))
        with pytest.raises(ConfigError) as caught:
            action_space(config, load_demonstrations(config, no_progress).robot)
        return str(caught.value)

    assert "robot 'tabletop_sim' has no tool, expected tool: {link: LINK, urdf: PATH}" in error(
        tool=None
    )
    urdf = tmp_path / 'other.urdf'
    urdf.write_text(Path(TOOL['urdf']).read_text().replace('"joint4"', '"wrist"'))
    assert "tool: joint 'wrist' moves 'tool', expected only joints of the robot" in error(
        tool={**TOOL, 'urdf': str(urdf)}
    )
    assert "absolute_joints: 'claw' is none of the joints: joint1" in error(
        space='joints_relative', absolute_joints=['claw']
    )


def test_the_tool_of_the_recordings_counts_and_is_one_for_all(tmp_path: Path) -> None:
    robot = small_robot(tool=TOOL)
    for number, one in enumerate((robot, robot, small_robot())):
        path = tmp_path / f'episode_{number:06d}.hdf5'
        write_episode(path, 30, robot=one, compress=False)
    given = content(tmp_path / 'episode_000000.hdf5', tmp_path / 'run', 'tool', tool=None)
    given['data'] = {'train': [str(tmp_path / f'episode_{at:06d}.hdf5') for at in (0, 1)]}
    data = load_demonstrations(train_config(given), no_progress)
    assert data.robot.tool == robot.tool and data.train[0].targets is not None
    given['data'] = {'train': [str(tmp_path)]}
    with pytest.raises(ConfigError, match='has another tool') as caught:
        load_demonstrations(train_config(given), no_progress)
    assert '\n' not in str(caught.value)
    named = train_config({**given, 'tool': TOOL})  # which is then that of all
    assert load_demonstrations(named, no_progress).robot.tool == robot.tool


def test_a_run_goes_on_only_with_the_same_absolute_joints(
    demonstrations: Path, tmp_path: Path
) -> None:
    """The robot spec of the episodes may say which grippers are absolute."""
    config = train_config(content(demonstrations, tmp_path / 'run', 'joints_relative'))
    target = MinMax(min=(-1.0,) * 5, max=(1.0,) * 5)
    scaled = spec().normalisation.model_copy(update={'target': target})
    told = spec(action_space='joints_relative', normalisation=scaled, data={'sha256': 'a'})
    prepare_output(config, tmp_path, told)
    torch.save({}, tmp_path / RESUME_FILE)
    assert prepare_output(config, tmp_path, told) == tmp_path / RESUME_FILE
    changed = told.model_copy(update={'absolute_joints': ('gripper',)})
    with pytest.raises(ConfigError, match='this run was begun with means='):
        prepare_output(config, tmp_path, changed)


@pytest.mark.slow
def test_a_run_goes_on_only_with_a_robot_that_means_the_same(tmp_path: Path) -> None:
    robot = with_vectors(small_robot(tool=TOOL))
    path = write_episode(tmp_path / 'episode_000000.hdf5', 30, robot=robot, compress=False)
    once = {'tool': None, 'epochs': 1, 'pictures_every': 0, 'inputs': ['wrench']}
    given = content(path, tmp_path / 'run', 'tool', **once)
    train(train_config(given))
    said = yaml.safe_load(robot.to_yaml())
    limits, link = said['joints']['limits'], said['tool']['urdf']
    wide, wider = ({'position': [[-x, x], *limits['position'][1:]]} for x in (3.0, 30.0))
    for change, words in (
        ({'joints': {'limits': {**limits, **wider}}},  # of which joint1 moves less than 1 %
         r"with joints.limits.position of 'joint1' \[-2.8, 2.8\], now it is \[-30.0, 30.0\]"),
        ({'tool': {'urdf': link.replace('0.126 0 0', '0.226 0 0')}}, 'to 100.0 mm and 0.00 degr'),
        ({'vectors': {'wrench': {'window': 'mean'}}}, "'wrench' was the newest in training, but"),
        ({'rate': 100.0}, 'begun with rate 50 in the robot spec, now it is 100: choose'),
    ):  # fmt: skip
        with h5py.File(path, 'r+') as file:
            file.attrs['robot'] = yaml.safe_dump(with_changes(said, change), sort_keys=False)
            file.attrs['rate'] = rate = change.get('rate', robot.rate)
            file['time_ns'][:] = np.arange(30) * round(1e9 / rate)
        with pytest.raises(ConfigError, match=words) as caught:
            train(train_config({**given, 'epochs': 2}))
        assert '\n' not in str(caught.value)
    # Names of a topic and of the tool, limits of a joint that moves enough: no other number.
    same = {
        'joints': {'limits': {**limits, **wide, 'velocity': [9.0] * 5}},
        'tool': {'link': 'tip', 'urdf': link.replace('"tool"', '"tip"')},
        'vectors': {'wrench': {'topic': 'ft/wrench'}},
    }
    with h5py.File(path, 'r+') as file:
        file.attrs['robot'] = yaml.safe_dump(with_changes(said, same), sort_keys=False)
        file.attrs['rate'] = robot.rate
        file['time_ns'][:] = np.arange(30) * robot.period_ns
    train(train_config({**given, 'epochs': 2}))
    resumed = load_policy(tmp_path / 'run' / 'last').spec
    assert resumed.metrics['epoch'] == 2 and resumed.robot.tool is not None
    assert resumed.robot.tool.link == 'tip'


def with_changes(content: Any, change: Any) -> Any:
    """Return a spec with some of its keys changed."""
    if not isinstance(change, dict):
        return change
    return {**content, **{key: with_changes(content[key], value) for key, value in change.items()}}
