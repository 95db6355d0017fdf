# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every step of LeRobot's saved processors is carried over, does nothing, or refuses by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import act_models as act
import lerobot_folders as lerobot
import pytest
import torch
import torchvision.transforms.functional as transforms

from motion_policy.errors import UserError
from motion_policy.policies.convert.conversion import Conversion
from motion_policy.policies.convert.lerobot import LeRobotOptions, from_lerobot

pytestmark = pytest.mark.slow

PRE, POST = 'policy_preprocessor', 'policy_postprocessor'
Step = dict[str, Any]


def with_step(folder: Path, side: str, place: int, step: Step) -> Path:
    """A folder with one more step in a processor."""
    lerobot.folder(folder)
    file = folder / f'{side}.json'
    content = json.loads(file.read_text())
    content['steps'].insert(place, step)
    file.write_text(json.dumps(content))
    return folder


def changed(folder: Path, side: str, step: str, **config: Any) -> Path:
    """A folder with another configuration of a step."""
    lerobot.folder(folder)
    file = folder / f'{side}.json'
    content = json.loads(file.read_text())
    for one in content['steps']:
        if one['registry_name'] == step:
            one['config'].update(config)
    file.write_text(json.dumps(content))
    return folder


def converted(folder: Path) -> Conversion:
    return from_lerobot(folder, LeRobotOptions())


def answer(found: Conversion, size: tuple[int, int] = lerobot.IMAGE) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    images = {
        camera: torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, generator=random)
        for camera in lerobot.CAMERAS
    }
    qpos = torch.randn(1, act.SMALL.joints, generator=random)
    return found.model.act({'qpos': qpos, 'images': images}, None)[0]


def named(name: str, **config: Any) -> Step:
    return {'registry_name': name, 'config': config}


NOTHING: dict[str, tuple[str, Step]] = {
    'batch': (PRE, named('to_batch_processor_observation')),
    'device': (PRE, named('device_processor', device='cuda:1', float_dtype='float32')),
    'off': (PRE, named('relative_actions_processor', enabled=False, action_names=None)),
    'absolute off': (POST, named('absolute_actions_processor', enabled=False)),
    'no crop': (PRE, named('image_crop_resize_processor', crop_params_dict=None)),
    'rename nothing': (PRE, named('rename_observations_processor', rename_map={})),
    'own, off': (PRE, {'class': 'lab.steps.Deblur', 'config': {'enabled': False}}),
}


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """Give the answer of the folder that nothing was changed in."""
    return answer(converted(lerobot.folder(tmp_path_factory.mktemp('plain') / 'theirs')))


@pytest.mark.parametrize(('side', 'step'), NOTHING.values(), ids=NOTHING)
def test_a_step_that_does_nothing_changes_nothing(
    tmp_path: Path, side: str, step: Step, plain: torch.Tensor
) -> None:
    assert torch.equal(answer(converted(with_step(tmp_path / 'other', side, 1, step))), plain)


REFUSED: dict[str, tuple[str, Step, str]] = {
    'own class': (PRE, {'class': 'lab.steps.Deblur', 'config': {}}, "step 'lab.steps.Deblur'"),
    'own name': (PRE, named('lab_deblur'), "step 'lab_deblur'"),
    'class of a known name': (PRE, {'class': 'to_batch_processor'}, "step 'to_batch_processor'"),
    'tokenizer': (PRE, named('tokenizer_processor'), "step 'tokenizer_processor'"),
    'relative': (
        PRE,
        named('relative_actions_processor', enabled=True),
        f'{PRE}.json: actions are relative to the state, in',
    ),
    'absolute': (
        POST,
        named('absolute_actions_processor', enabled=True),
        f'{POST}.json: actions are relative to the state, in',
    ),
    'enabled by 1': (
        PRE,
        named('relative_actions_processor', enabled=1),
        'enabled is 1, expected true or false',
    ),
    'delta': (POST, named('map_tensor_to_delta_action_dict'), "'map_tensor_to_delta_action_dict'"),
    'no crop of pixels': (
        PRE,
        named('image_crop_resize_processor', crop_params_dict={'observation.images.top': [0, 0]}),
        'crop of observation.images.top is [0, 0], expected top, left, height, width',
    ),
    'no size': (PRE, named('image_crop_resize_processor', resize_size=[0, 2]), 'resize_size is'),
    'normalise again': (PRE, named('normalizer_processor'), "has 2 steps 'normalizer_processor'"),
    'normaliser behind': (POST, named('normalizer_processor'), "step 'normalizer_processor'"),
    'clamp behind': (POST, named('vla_jepa_clip_actions'), "step 'vla_jepa_clip_actions'"),
    'no name': (PRE, {'config': {}}, 'expected name, config'),
    'a list as configuration': (
        PRE,
        {'registry_name': 'x', 'config': []},
        'expected name, config',
    ),
    'two names of one': (
        PRE,
        named('rename_observations_processor', rename_map={'a': 'c', 'b': 'c'}),
        'two observations get one name',
    ),
}


@pytest.mark.parametrize(('side', 'step', 'words'), REFUSED.values(), ids=REFUSED)
def test_a_step_that_is_not_carried_over_refuses_by_name(
    tmp_path: Path, side: str, step: Step, words: str
) -> None:
    source = with_step(tmp_path / 'theirs', side, 1, step)
    with pytest.raises(UserError) as error:
        converted(source)
    assert words in str(error.value)
    assert f'{side}.json' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'step',
    [
        named('image_crop_resize_processor', resize_size=[32, 32]),
        named('image_crop_resize_processor', crop_params_dict={'a': [0, 0, 2, 2]}),
        named('rename_observations_processor', rename_map={'a': 'observation.state'}),
    ],
    ids=['resize', 'crop', 'rename'],
)
def test_what_stands_behind_the_normaliser_is_refused(tmp_path: Path, step: Step) -> None:
    with pytest.raises(UserError, match='stands behind another or the normaliser'):
        converted(with_step(tmp_path / 'theirs', PRE, 4, step))


def test_images_are_resized_as_lerobot_resizes_them(tmp_path: Path) -> None:
    """The features say what comes from the camera; the network sees what the step makes of it."""
    step = named('image_crop_resize_processor', crop_params_dict=None, resize_size=[32, 48])
    found = converted(with_step(tmp_path / 'theirs', PRE, 2, step))
    assert found.model.spec.image_size == (32, 48)
    assert any('images are resized to 32x48 (height x width)' in note for note in found.notes)
    random = torch.Generator().manual_seed(3)
    image = torch.randint(0, 256, (1, *lerobot.IMAGE, 3), dtype=torch.uint8, generator=random)
    qpos = torch.zeros(1, act.SMALL.joints)
    seen = dict.fromkeys(lerobot.CAMERAS, image)
    ours = found.model.act({'qpos': qpos, 'images': seen}, None)[0]
    unit = transforms.resize(image.permute(0, 3, 1, 2) / 255, [32, 48])
    resized = (unit * 255).round().byte().permute(0, 2, 3, 1)
    again = found.model.act(
        {'qpos': qpos, 'images': dict.fromkeys(lerobot.CAMERAS, resized)}, None
    )[0]
    torch.testing.assert_close(ours, again, atol=1e-2, rtol=0)


def test_images_are_cropped_as_lerobot_crops_them(tmp_path: Path) -> None:
    """Top and left come first there; another name of a camera is one of the crop, too."""
    first, *others = lerobot.CAMERAS
    crops = {f'observation.images.{first}': [3, 5, 24, 40]}
    step = named('image_crop_resize_processor', crop_params_dict=crops, resize_size=[32, 48])
    source = with_step(tmp_path / 'theirs', PRE, 2, step)
    found = converted(source)
    spec = found.model.spec
    assert spec.fit[first].crop == (5, 3, 40, 24) and spec.sizes == ((32, 48),) * len(spec.cameras)
    assert any(f'crop [5, 3, 40, 24] of observation.images.{first}' in n for n in found.notes)
    random = torch.Generator().manual_seed(3)
    image = torch.randint(0, 256, (1, *lerobot.IMAGE, 3), dtype=torch.uint8, generator=random)
    planes = image.permute(0, 3, 1, 2) / 255
    theirs = transforms.resize(
        transforms.crop(planes, *crops[f'observation.images.{first}']), [32, 48]
    )
    ours = found.model.views[first](image)
    torch.testing.assert_close(ours.permute(0, 3, 1, 2) / 255, theirs, atol=1.01 / 255, rtol=0)
    for other in others:
        assert spec.view(other).options.is_plain

    large = found.model.spec.robot.model_copy(update={'name': 'mine'})
    again = from_lerobot(source, LeRobotOptions(robot=large)).model.spec
    assert again.fit == spec.fit
    step = named(
        'image_crop_resize_processor', crop_params_dict={'observation.images.top': [0, 0, 999, 9]}
    )
    with pytest.raises(UserError, match=r'crop \[0, 0, 9, 999\] ends at'):
        converted(with_step(tmp_path / 'too large', PRE, 2, step))
    step['config']['crop_params_dict'] = {'observation.images.none': [0, 0, 9, 9]}
    with pytest.raises(UserError, match=r'crops observation\.images\.none, expected one of'):
        converted(with_step(tmp_path / 'no camera', PRE, 2, step))


def test_only_what_lerobot_normalises_is_normalised(tmp_path: Path) -> None:
    images = {f'observation.images.{camera}': [3, *lerobot.IMAGE] for camera in lerobot.CAMERAS}
    features = {key: {'type': 'VISUAL', 'shape': shape} for key, shape in images.items()}
    source = changed(tmp_path / 'features', PRE, 'normalizer_processor', features=features)
    state = torch.ones(1, act.SMALL.joints)
    torch.testing.assert_close(converted(source).model.normalise_qpos(state), state)
    only = list(images)
    every = {**features, 'observation.state': {'type': 'STATE', 'shape': [3]}}
    options = {'features': every, 'normalize_observation_keys': only}
    source = changed(tmp_path / 'keys', PRE, 'normalizer_processor', **options)
    torch.testing.assert_close(converted(source).model.normalise_qpos(state), state)
    source = changed(tmp_path / 'all', PRE, 'normalizer_processor', features=every)
    assert not torch.allclose(converted(source).model.normalise_qpos(state), state)


def test_names_of_actions_are_held_against_the_robot(tmp_path: Path) -> None:
    robot = converted(lerobot.folder(tmp_path / 'plain')).model.spec.robot
    for number, names in enumerate((['a.pos', 'b.pos', 'c.pos'], list(robot.joints.names)[::-1])):
        step = named('relative_actions_processor', enabled=False, action_names=names)
        source = with_step(tmp_path / str(number), PRE, 1, step)
        with pytest.raises(UserError) as error:
            from_lerobot(source, LeRobotOptions(robot=robot))
        assert ', '.join(names) in str(error.value)
        assert ', '.join(robot.joints.names) in str(error.value)
    step['config']['action_names'] = [f'{name}.pos' for name in robot.joints.names]
    source = with_step(tmp_path / 'right', PRE, 1, step)
    assert from_lerobot(source, LeRobotOptions(robot=robot)).model.spec.robot == robot


def relative(path: Path, **config: Any) -> Path:
    """A folder whose actions are less the state, as LeRobot's two steps say it."""
    with_step(path, PRE, 1, named('relative_actions_processor', enabled=True, **config))
    file = path / f'{POST}.json'
    content = json.loads(file.read_text())
    content['steps'].insert(1, named('absolute_actions_processor', enabled=True))
    file.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ('config', 'kept'),
    [
        ({}, []),
        ({'exclude_joints': ['gripper']}, []),  # no names, so nothing is left out
        ({'exclude_joints': ['GRIP'], 'action_names': ['a.pos', 'b.pos', 'gripper.pos']}, [2]),
    ],
)
def test_actions_that_count_from_the_state_are_joints_all_the_same(
    tmp_path: Path, plain: torch.Tensor, config: dict[str, Any], kept: list[int]
) -> None:
    found = converted(relative(tmp_path / 'theirs', **config))
    assert found.model.spec.action_space == 'joints_relative'
    names = found.model.joint_names
    assert found.model.spec.absolute_joints == tuple(names[at] for at in kept)
    random = torch.Generator().manual_seed(3)
    for _ in lerobot.CAMERAS:  # as `answer` draws
        torch.randint(0, 256, (1, *lerobot.IMAGE, 3), dtype=torch.uint8, generator=random)
    qpos = torch.randn(1, act.SMALL.joints, generator=random)
    counted = torch.ones(act.SMALL.joints)
    counted[kept] = 0
    torch.testing.assert_close(answer(found), plain + qpos[:, None] * counted)
    assert any('count from the joints at the observation' in note for note in found.notes)


def test_differences_are_converted_without_the_zero_of_the_joints(tmp_path: Path) -> None:
    source = relative(tmp_path / 'theirs')
    plain = converted(source).model
    robot = plain.spec.robot.model_copy(update={'name': 'ours'})
    degrees = from_lerobot(source, LeRobotOptions(robot=robot, units='degrees')).model
    scale = torch.deg2rad(torch.tensor(1.0))
    torch.testing.assert_close(
        degrees.normalise_target.offset, plain.normalise_target.offset * scale
    )
    torch.testing.assert_close(
        degrees.normalise_target.scale, plain.normalise_target.scale * scale
    )


WRONG = {
    'steps': ('{"steps": {}}', 'steps is no list'),
    'a step': ('{"steps": [3]}', 'steps is no list'),
    'twice': ('{"steps": [], "steps": []}', 'stands twice'),
    'brackets': ('{"a":' + '[' * 100_000, 'nested too deep'),
    'infinity': ('{"steps": [Infinity]}', 'holds Infinity'),
}


@pytest.mark.parametrize(('text', 'words'), WRONG.values(), ids=WRONG)
def test_a_damaged_processor_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    source = lerobot.folder(tmp_path / 'theirs')
    (source / f'{PRE}.json').write_text(text)
    with pytest.raises(UserError, match=words) as error:
        converted(source)
    assert f'{PRE}.json' in str(error.value)


@pytest.mark.parametrize(
    'config',
    [
        {'eps': 'tiny'}, {'eps': -1}, {'eps': 0.5}, {'eps': None}, {'norm_map': 3},
        {'norm_map': {'STATE': 'LOG'}},
        {'features': [1]}, {'features': {'observation.state': 3}},
        {'normalize_observation_keys': 'observation.state'},
    ],
    ids=str,
)  # fmt: skip
def test_a_normaliser_that_says_nonsense_is_one_line(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as error:
        converted(changed(tmp_path / 'theirs', PRE, 'normalizer_processor', **config))
    assert '\n' not in str(error.value)
