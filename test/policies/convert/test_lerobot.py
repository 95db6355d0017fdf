# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies of LeRobot become ours and ours become theirs: the same numbers, and no bit is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import act_models as act
import lerobot_folders as lerobot
import pytest
import torch
import yaml
from safetensors.torch import load_file

from motion_policy.cli.main import main
from motion_policy.errors import UserError
from motion_policy.policies import load_policy
from motion_policy.policies.checkpoint import save_policy
from motion_policy.policies.convert.conversion import Conversion
from motion_policy.policies.convert.lerobot import LeRobotOptions, from_lerobot, to_lerobot
from motion_policy.robot import robot_spec_from_yaml

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]
Seen = dict[str, Any]
SIZES = act.SMALL
STATE_FILES = (
    'policy_preprocessor_step_3_normalizer_processor.safetensors',
    'policy_postprocessor_step_0_unnormalizer_processor.safetensors',
)


def theirs(
    seen: Seen,
    numbers: dict[str, torch.Tensor],
    weights: act.Weights,
    scale: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """What LeRobot answers, from the equations, with (x - mean) / (std + 1e-8)."""

    def scaled(value: torch.Tensor, feature: str) -> torch.Tensor:
        mean, std = numbers[f'{feature}.mean'], numbers[f'{feature}.std']
        return (value - mean) / (std + 1e-8)

    images = []
    for camera, image in seen['images'].items():
        unit = image.permute(0, 3, 1, 2).float() / 255
        # The equations of the original normalise with the colours of ImageNet; undo that.
        images.append(scaled(unit, f'observation.images.{camera}') * act.STD + act.MEAN)
    answer = act.chunk(weights, SIZES, scaled(seen['qpos'], 'observation.state'), images)
    return answer * numbers['action.std'] + numbers['action.mean']


def test_a_policy_of_lerobot_gives_its_numbers_here(tmp_path: Path) -> None:
    found = from_lerobot(lerobot.folder(tmp_path / 'theirs'), LeRobotOptions())
    seen = lerobot.observation(lerobot.CAMERAS)
    ours, _ = found.model.act(seen, None)
    expected = theirs(seen, lerobot.statistics(), act.weights())
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.05, 'the answer hardly varies, which proves little'
    assert found.model.cameras == lerobot.CAMERAS
    assert found.model.config.dropout == 0.2
    assert len(found.model.config.image_mean) == 2


def test_from_lerobot_and_back_no_bit_is_lost(tmp_path: Path) -> None:
    source = lerobot.folder(tmp_path / 'theirs')
    save_policy(from_lerobot(source, LeRobotOptions()).model, tmp_path / 'ours')
    to_lerobot(load_policy(tmp_path / 'ours'), tmp_path / 'again')
    before, after = (
        load_file(path / 'model.safetensors') for path in (source, tmp_path / 'again')
    )
    assert before.keys() == after.keys()
    assert len(before) == 186  # 48 fewer than with the four layers of the published size
    assert all(torch.equal(before[key], after[key]) for key in before)
    for name in STATE_FILES:
        old, new = load_file(source / name), load_file(tmp_path / 'again' / name)
        assert {key for key in old if key.endswith(('.mean', '.std'))} == new.keys()
        for key, value in new.items():
            assert torch.equal(value, old[key]), key
            assert value.shape == old[key].shape
    said, now = (
        json.loads((path / 'config.json').read_text()) for path in (source, tmp_path / 'again')
    )
    fetched = {'device', 'pretrained_backbone_weights', 'push_to_hub'}
    assert {key: now[key] for key in now if key not in fetched} == {
        key: value for key, value in said.items() if key not in fetched
    }
    # A backbone to fetch would be fetched before our weights replace it.
    assert now['pretrained_backbone_weights'] is None


@pytest.mark.parametrize('posterior', [True, False])
def test_ours_through_lerobot_and_back_is_the_same_policy(tmp_path: Path, posterior: bool) -> None:
    cameras: dict[str, Any] = {}
    if posterior:  # and a camera of a size of its own
        cameras = {'cameras': ('top', 'side'), 'fit': {'side': {'size': (32, 96)}}}
    policy = lerobot.ours_policy(hyper={'posterior': posterior}, **cameras)
    folder, _ = to_lerobot(policy, tmp_path / 'theirs')
    assert json.loads((folder / 'config.json').read_text())['use_vae'] is posterior
    again = from_lerobot(folder, LeRobotOptions())
    assert len(again.notes) == len(cameras) // 2  # the side is stretched
    before, after = policy.state_dict(), again.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    for name in ('rate', 'cameras', 'robot', 'metrics', 'hyper', 'target', 'sizes'):
        assert getattr(again.model.spec, name) == getattr(policy.spec, name), name
    seen = lerobot.observation(('top', 'side'), joints=5)
    assert torch.equal(policy.act(seen, None)[0], again.model.act(seen, None)[0])


def test_ranges_become_means_and_deviations_of_the_same_function(tmp_path: Path) -> None:
    ends = {'min': [-1.0, -0.8, -1.2, -1.5, -0.01], 'max': [1.0, 0.9, 1.1, 1.6, 0.019]}
    policy = lerobot.ours_policy(normalisation={'qpos': ends, 'action': ends}, target='qpos')
    folder, notes = to_lerobot(policy, tmp_path / 'theirs')
    assert 'its action is the joint position of the next step' in notes[0]
    again = from_lerobot(folder, LeRobotOptions()).model
    assert again.spec.target == 'qpos'
    seen = lerobot.observation(('top',), joints=5)
    assert torch.equal(policy.act(seen, None)[0], again.act(seen, None)[0])


@pytest.mark.parametrize('age', ['2025', '2024'])
def test_folders_from_before_0_4_hold_statistics_among_their_weights(
    tmp_path: Path, age: str
) -> None:
    content = lerobot.config(**{'type': 'absent', 'use_peft': False})
    if age == '2024':
        inputs = content.pop('input_features')
        content['input_shapes'] = {key: value['shape'] for key, value in inputs.items()}
        content['output_shapes'] = {'action': content.pop('output_features')['action']['shape']}
        del content['normalization_mapping']
        content['input_normalization_modes'] = dict.fromkeys(inputs, 'mean_std')
        content['output_normalization_modes'] = {'action': 'mean_std'}
    found = from_lerobot(lerobot.old_folder(tmp_path / 'old', content), LeRobotOptions())
    seen = lerobot.observation(lerobot.CAMERAS)
    expected = theirs(seen, lerobot.statistics(), act.weights())
    torch.testing.assert_close(found.model.act(seen, None)[0], expected, atol=1e-5, rtol=0)


def normalised(tmp_path: Path, mode: str, **numbers: torch.Tensor) -> Conversion:
    modes = {'VISUAL': 'IDENTITY', 'STATE': mode, 'ACTION': mode}
    content = lerobot.config(normalization_mapping=modes)
    own = {**lerobot.statistics(), **{k.replace('__', '.'): v for k, v in numbers.items()}}
    return from_lerobot(
        lerobot.folder(tmp_path / mode, content=content, numbers=own), LeRobotOptions()
    )


def test_other_ways_to_normalise_are_taken_over(tmp_path: Path) -> None:
    numbers = lerobot.statistics()
    model = normalised(tmp_path, 'MIN_MAX').model
    for feature, scaling in (('observation.state', 'qpos'), ('action', 'target')):
        ends = torch.stack([numbers[f'{feature}.min'], numbers[f'{feature}.max']])
        found = getattr(model, f'normalise_{scaling}')(ends)
        torch.testing.assert_close(found, torch.tensor([[-1.0] * 3, [1.0] * 3]))
    assert model.config.image_mean == ((0.0, 0.0, 0.0),)
    assert model.config.image_std == ((1.0, 1.0, 1.0),)
    model = normalised(tmp_path, 'IDENTITY').model
    torch.testing.assert_close(model.normalise_qpos(torch.ones(1, 3)), torch.ones(1, 3))
    with pytest.raises(UserError, match=r"'observation\.state\.q01' is missing"):
        normalised(tmp_path, 'QUANTILES')
    with pytest.raises(UserError, match="is normalised by 'LOG', expected MEAN_STD"):
        normalised(tmp_path, 'LOG')


def test_a_joint_that_never_moved_is_scaled_as_lerobot_scales_it(tmp_path: Path) -> None:
    std = torch.tensor([0.0, 3e-8, 0.2])
    numbers = {**lerobot.statistics(), 'observation.state.std': std, 'action.std': std}
    source = lerobot.folder(tmp_path / 'theirs', numbers=numbers)
    model = from_lerobot(source, LeRobotOptions()).model
    mean = numbers['observation.state.mean']
    moved = mean + torch.tensor([1e-7, 1e-7, 0.1])
    expected = (moved - mean) / (std + 1e-8)
    torch.testing.assert_close(model.normalise_qpos(moved), expected)
    to_lerobot(model, tmp_path / 'again')
    again = load_file(tmp_path / 'again' / STATE_FILES[0])
    assert torch.equal(again['observation.state.std'], std)


def test_a_robot_of_other_units_is_noticed(tmp_path: Path) -> None:
    numbers = lerobot.statistics()
    for name in ('mean', 'min', 'max'):
        numbers[f'action.{name}'] *= 57.3
    numbers['observation.state.min'] = numbers['observation.state.max']  # it never moved
    source = lerobot.folder(tmp_path / 'theirs', numbers=numbers)
    made_up = from_lerobot(source, LeRobotOptions()).model.spec.robot
    assert made_up.joints.limits.position[0][1] > 57
    content = yaml.safe_load(made_up.to_yaml())
    content['name'] = 'arm'
    content['joints']['limits']['position'] = [[-3.0, 3.0]] * 3
    robot = robot_spec_from_yaml(yaml.safe_dump(content), 'test')
    with pytest.raises(
        UserError, match=r"'joint1' goes from -.* \(and 2 more joints\), its limits"
    ):
        from_lerobot(source, LeRobotOptions(robot=robot, rate=50.0))
    notes = from_lerobot(source, LeRobotOptions(robot=robot, rate=50.0, units='rad')).notes
    assert any(
        "joint 'joint1' was trained beyond its limits" in note and '(and 2 more joints)' in note
        for note in notes
    )
    model = from_lerobot(source, LeRobotOptions(robot=robot, units='degrees')).model
    seen = lerobot.observation(lerobot.CAMERAS)
    degrees = {**seen, 'qpos': torch.rad2deg(seen['qpos'])}
    expected = torch.deg2rad(theirs(degrees, numbers, act.weights()))
    torch.testing.assert_close(model.act(seen, None)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'type': 'diffusion'}, "type is 'diffusion', expected 'act'"),
        ({'pre_norm': True}, 'pre_norm is True'),
        ({'feedforward_activation': 'gelu'}, "feedforward_activation is 'gelu'"),
        ({'vision_backbone': 'resnet101'}, "vision_backbone is 'resnet101'"),
        ({'n_obs_steps': 2}, 'n_obs_steps is 2'),
        ({'input_features': 'absent'}, 'input_features is missing'),
        ({'input_features': {'observation.state': {'shape': [3]}}}, 'has no camera'),
        ({'output_features': {'action': {'shape': [4]}}}, 'one value for each joint in both'),
        ({'dim_model': 32}, 'has shape'),
        ({'n_decoder_layers': 2}, "key 'model.decoder.layers.1."),
        ({'use_vae': False}, 'does not belong to a policy with this config.json'),
        ({'n_heads': 5}, 'heads=5'),
        ({'chunk_size': 'many'}, 'chunk'),
        ({'chunk_size': 10**9}, 'chunk_size is 1000000000'),
        ({'dim_feedforward': 10**9}, 'dim_feedforward is 1000000000'),
        ({'latent_dim': True}, 'latent_dim is True'),
        ({'n_encoder_layers': 10**9}, 'n_encoder_layers is 1000000000'),
        ({'n_vae_encoder_layers': None}, 'n_vae_encoder_layers is None'),
        ({'n_obs_steps': True}, 'n_obs_steps is True'),
        ({'dropout': '0.1'}, "dropout is '0.1'"),
        ({'use_vae': 'yes'}, "use_vae is 'yes'"),
        ({'temporal_ensemble_coeff': [1]}, 'temporal_ensemble_coeff is [1]'),
        ({'normalization_mapping': 'MEAN_STD'}, "norm_map is 'MEAN_STD'"),
        ({'vision_backbone': ['resnet18']}, "vision_backbone is ['resnet18']"),
    ],
    ids=lambda value: None,
)
def test_what_this_act_has_not_is_said_in_one_line(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    source = lerobot.folder(tmp_path / 'theirs', content=lerobot.config(**changes))
    with pytest.raises(UserError) as error:
        from_lerobot(source, LeRobotOptions())
    assert words in str(error.value)
    assert '\n' not in str(error.value)


def features(**changed: Any) -> dict[str, Any]:
    return {**lerobot.config()['input_features'], **changed}


@pytest.mark.parametrize(
    ('extra', 'words'),
    [
        ({'observation.images.cam_high': {'shape': [64, 96, 3]}}, 'expected [3, height, width]'),
        ({'observation.environment_state': {'shape': [7]}}, 'observation.environment_state'),
        ({'observation.state': {'shape': '3'}}, "observation.state has the shape '3'"),
        ({'observation.state': {'shape': [True]}}, 'observation.state has the shape [True]'),
        ({'observation.images.top': {'shape': [3, 64, 10**9]}}, 'has the shape [3, 64, 1000'),
        ({'observation.gaze': {'shape': [2]}}, 'has the input observation.gaze'),
        ({'observation.images.a\nb': {'shape': [3, 64, 96]}}, 'expected a name'),
    ],
    ids=lambda value: None,
)
def test_inputs_of_another_kind_are_refused(
    tmp_path: Path, extra: dict[str, Any], words: str
) -> None:
    content = lerobot.config(input_features=features(**extra))
    with pytest.raises(UserError) as error:
        from_lerobot(lerobot.folder(tmp_path / 'theirs', content=content), LeRobotOptions())
    assert words in str(error.value)


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(UserError) as error:
            from_lerobot(source, LeRobotOptions())
        assert words in str(error.value)

    source = tmp_path / 'theirs'
    refused('not a policy of LeRobot, it has no config.json')
    lerobot.folder(source)
    (source / STATE_FILES[0]).write_bytes(b'no tensors')
    refused('cannot be read')
    (source / 'policy_preprocessor.json').write_text('{"steps": []}')
    refused("has 0 steps 'normalizer_processor'")
    (source / 'policy_preprocessor.json').unlink()
    refused('no statistics')
    (source / 'config.json').write_text('[]')
    refused('holds list, expected keys and values')
    (source / 'model.safetensors').unlink()
    refused('it has no model.safetensors')


@pytest.mark.parametrize('key', [
    'model.action_head.bias', 'model.action_head.weight', 'model.decoder_pos_embed.weight',
    'model.encoder_robot_state_input_proj.weight', 'model.encoder_latent_input_proj.weight',
    'model.backbone.conv1.weight', 'model.encoder.layers.0.norm2.bias',
])  # fmt: skip
def test_a_weight_that_is_missing_or_of_another_size_is_named(tmp_path: Path, key: str) -> None:
    whole = act.lerobot_weights(act.weights())
    rest = {other: weight for other, weight in whole.items() if other != key}
    for name, weights in (('missing', rest), ('less', {**rest, key: whole[key][:-1]})):
        source = lerobot.folder(tmp_path / name, weights)
        with pytest.raises(UserError) as error:
            from_lerobot(source, LeRobotOptions())
        line = str(error.value)
        assert str(source) in line and '\n' not in line
        assert f"key '{key}'" in line


def test_statistics_come_from_inside_of_the_folder_only(tmp_path: Path) -> None:
    source = lerobot.folder(tmp_path / 'theirs')
    file = source / 'policy_preprocessor.json'
    (source / STATE_FILES[0]).rename(tmp_path / STATE_FILES[0])
    file.write_text(file.read_text().replace(STATE_FILES[0], f'../{STATE_FILES[0]}'))
    with pytest.raises(UserError, match='no such file'):
        from_lerobot(source, LeRobotOptions())


def test_the_rate_is_the_one_that_something_says(tmp_path: Path) -> None:
    source = lerobot.folder(tmp_path / 'run' / 'pretrained_model')
    found = from_lerobot(tmp_path / 'run', LeRobotOptions())
    assert found.model.spec.rate == 50.0
    assert any('assumed 50 steps per second' in note for note in found.notes)
    (source / 'train_config.json').write_text('{"env": {"fps": 30}}')
    found = from_lerobot(source, LeRobotOptions())
    assert found.model.spec.rate == 30.0
    assert not any('assumed' in note for note in found.notes)
    assert from_lerobot(source, LeRobotOptions(rate=20.0)).model.spec.rate == 20.0


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'hyper': {'backbone': 'small'}}, "backbone 'small'"),
        ({'hyper': {'backbone': 'points'}}, "backbone 'points'"),
        ({'hyper': {'camera_embedding': True}}, 'camera_embedding'),
        ({'hyper': {'latent_dim': 0}}, 'latent_dim 0'),
        ({'cameras': ()}, 'no camera'),
        ({'fit': {'top': {'fit': 'pad'}}}, "camera 'top' seen with rotate 0, fit pad"),
    ],
)
def test_what_lerobot_has_not_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match='LeRobot has no such ACT') as error:
        to_lerobot(lerobot.ours_policy(**changes), tmp_path / 'theirs')
    assert words in str(error.value)
    assert not (tmp_path / 'theirs').exists()


def test_the_calls_bring_a_policy_there_and_back(tmp_path: Path, capsys: Capture) -> None:
    save_policy(lerobot.ours_policy(), tmp_path / 'ours')
    ours, folder = str(tmp_path / 'ours'), str(tmp_path / 'theirs')
    assert main(['convert-checkpoint', ours, folder, '--to', 'lerobot']) == 0
    assert 'for LeRobot, from' in capsys.readouterr().out
    back = ['convert-checkpoint', folder, str(tmp_path / 'back'), '--from', 'lerobot']
    assert main(back) == 0
    weights = [(tmp_path / n / 'weights.safetensors').read_bytes() for n in ('ours', 'back')]
    assert weights[0] == weights[1]
    assert main([*back, '--stats', 'x.pkl']) == 2
    assert '--stats: means something only with --from act' in capsys.readouterr().err
    assert main(['convert-checkpoint', 'sarnn_tabletop', folder, '--to', 'lerobot']) == 2
    assert "is a 'sarnn', LeRobot takes only act from here" in capsys.readouterr().err


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, capsys: Capture) -> None:
    save_policy(lerobot.ours_policy(), tmp_path / 'ours')
    target = lerobot.folder(tmp_path / 'theirs')
    (target / 'train_config.json').write_text('{}')
    call = ['convert-checkpoint', str(tmp_path / 'ours'), str(target), '--to', 'lerobot']
    assert main(call) == 2
    assert (
        "'train_config.json', which is no part of a policy of LeRobot" in capsys.readouterr().err
    )
    assert len(load_file(target / 'model.safetensors')) == 186
