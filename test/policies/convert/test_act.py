# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy of the original ACT becomes one of ours: the same numbers, from every kind of file."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import act_models as act
import numpy as np
import pytest
import torch

from motion_policy.cli.main import main
from motion_policy.errors import UserError
from motion_policy.policies import load_policy
from motion_policy.policies.convert.act import ActOptions, convert_act
from motion_policy.policies.convert.act_names import act_names
from motion_policy.policies.convert.act_stats import read_act_stats
from motion_policy.policies.convert.conversion import Conversion

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]
Change = Callable[[act.Weights], act.Weights]
SIZES = act.SMALL
IMAGE = (64, 96)
EYE = 'model.backbones.0.0.body.'


def stats_file(tmp_path: Path, content: Any = None, protocol: int = 4) -> Path:
    path = tmp_path / 'dataset_stats.pkl'
    path.write_bytes(pickle.dumps(content or act.statistics(), protocol=protocol))
    return path


def saved(tmp_path: Path, weights: act.Weights, name: str = 'policy_best.ckpt') -> Path:
    path = tmp_path / name
    torch.save(weights, path)
    return path


def converted(
    tmp_path: Path, weights: act.Weights, stats: Any = None, **options: Any
) -> Conversion:
    given: dict[str, Any] = {'cameras': ('top',), 'heads': 2, 'image_size': IMAGE}
    found = read_act_stats(stats_file(tmp_path, stats))
    return convert_act(saved(tmp_path, weights), ActOptions(stats=found, **{**given, **options}))


def observation(cameras: int = 1, seed: int = 3) -> tuple[torch.Tensor, list[torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    joints = torch.randn(2, SIZES.joints, generator=random)
    shape = (2, *IMAGE, 3)
    images = [
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=random) for _ in range(cameras)
    ]
    return joints, images


def both_chunks(
    model: Any, weights: act.Weights, sizes: act.Sizes, cameras: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ours in robot units, and the original's with its own scaling."""
    joints, images = observation(cameras)
    seen = [image.permute(0, 3, 1, 2).float() / 255 for image in images]
    ours, _ = model.act(
        {'qpos': joints, 'images': dict(zip(model.cameras, images, strict=True))}, None
    )
    known = {name: torch.as_tensor(value) for name, value in act.statistics().items()}
    scaled = (joints - known['qpos_mean']) / known['qpos_std']
    theirs = act.chunk(weights, sizes, scaled, seen)[..., : SIZES.joints]
    return ours, theirs * known['action_std'] + known['action_mean']


@pytest.mark.parametrize('cameras', [('top',), ('left_wrist', 'top')])
def test_a_converted_policy_gives_the_numbers_of_the_original(
    tmp_path: Path, cameras: tuple[str, ...]
) -> None:
    weights = act.weights()
    model = converted(tmp_path, weights, cameras=cameras).model
    ours, theirs = both_chunks(model, weights, SIZES, len(cameras))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert theirs.std() > 0.05, 'the answer hardly varies, which proves little'
    random = torch.Generator().manual_seed(5)
    actions = torch.randn(2, SIZES.chunk, SIZES.actions, generator=random)
    padded = torch.tensor([[False] * 2 + [True] * 3, [False] * 5])
    joints, _ = observation()
    expected = act.distribution(weights, SIZES, joints, actions, padded)
    with torch.inference_mode():
        found = model.network.posterior(joints, actions, ~padded)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_every_weight_of_the_published_size_has_a_place_or_no_use() -> None:
    shapes = act.shapes(act.PUBLISHED)
    count = sum(int(np.prod(shape)) for key, shape in shapes.items() if _is_parameter(key))
    assert (len(shapes), count) == (344, 83_923_087)
    names = act_names(1)
    unused = {'model.is_pad_head.weight', 'model.is_pad_head.bias', 'model.pos_table'}
    assert unused <= set(shapes)
    used = [key for key in shapes if key not in unused]
    ours = {names.ours(key) for key in used}
    assert None not in ours
    assert len(ours) == len(used)
    assert [names.theirs(str(names.ours(key))) for key in used] == used
    # LeRobot has the same 234 tensors, and only 110 were computed in vain.
    assert len(act.lerobot_weights(dict.fromkeys(shapes, torch.zeros(())))) == 234


def _is_parameter(key: str) -> bool:
    return not ('.bn' in key or 'downsample.1' in key or key.endswith('pos_table'))


def test_the_layers_that_the_original_never_reads_change_nothing(tmp_path: Path) -> None:
    weights = act.weights()
    found = converted(tmp_path, weights)
    assert '7 decoder layers, of which the original reads the first' in found.notes[0]
    pruned = {
        key: value
        for key, value in weights.items()
        if 'decoder.layers.' not in key or 'decoder.layers.0.' in key
    }
    again = converted(tmp_path, pruned)
    assert not any('decoder layers' in note for note in again.notes)
    joints, (image,) = observation()
    seen: Any = {'qpos': joints, 'images': {'top': image}}
    assert torch.equal(found.model.act(seen, None)[0], again.model.act(seen, None)[0])
    deeper = converted(tmp_path, weights, decoder_layers=2).model
    assert len(deeper.network.decoder) == 2
    assert not torch.equal(found.model.act(seen, None)[0], deeper.act(seen, None)[0])


def test_a_backbone_for_each_camera_and_base_actions_of_act_plus_plus(tmp_path: Path) -> None:
    sizes = replace(SIZES, backbones=2, actions=5)
    weights = act.weights(sizes)
    stats = {**act.statistics(actions=5), 'action_min': np.full(5, -9.0), 'action_max': np.ones(5)}
    # Their file has more values than joints; those of the joints come first.
    for name in ('action_mean', 'action_std'):
        stats[name] = np.concatenate([act.statistics()[name], np.ones(2, np.float32)])
    found = converted(tmp_path, weights, stats, cameras=('high', 'wrist'))
    assert any('its last 2 actions of 5 move a base' in note for note in found.notes)
    assert len(found.model.network.backbones) == 2
    ours, theirs = both_chunks(found.model, weights, sizes, 2)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert found.model.spec.robot.joints.limits.position[0][0] < -9
    with pytest.raises(UserError, match='has a backbone for each of 2'):
        converted(tmp_path, weights, stats, cameras=('a', 'b', 'c'))


def without(weights: act.Weights, *starts: str) -> act.Weights:
    return {key: value for key, value in weights.items() if not key.startswith(starts)}


def before_april_2023(weights: act.Weights) -> act.Weights:
    both = ('model.encoder_action_proj.', 'model.encoder_joint_proj.')
    older = {
        f'model.encoder_proj.{name}': weights[f'{both[0]}{name}'] for name in ('weight', 'bias')
    }
    table = weights['model.pos_table'][:, :-1]
    return {**without(weights, *both), **older, 'model.pos_table': table}


def with_a_code(weights: act.Weights) -> act.Weights:
    proj = {
        f'model.latent_proj.{k}': weights[f'model.latent_proj.{k}'] for k in ('weight', 'bias')
    }
    return {**weights, **{key: value[: SIZES.latent] for key, value in proj.items()}}


def as_shipped_by_act_plus_plus(weights: act.Weights) -> act.Weights:
    return {key.replace('model.encoder.layers', 'model.encoder.encoder.layers'): value
            for key, value in weights.items()}  # fmt: skip


@pytest.mark.parametrize(
    ('change', 'note'),
    [
        (before_april_2023, 'CVAE encoder (before April 2023) does not see the joints'),
        (with_a_code, 'its latent is a code of 32 digits'),
        (lambda weights: without(weights, 'model.encoder.'), None),
        (as_shipped_by_act_plus_plus, None),
    ],
    ids=['before April 2023', 'VQ', 'no_encoder', 'encoder built wrongly'],
)
def test_files_without_our_posterior_act_alike(
    tmp_path: Path, change: Change, note: str | None
) -> None:
    weights = act.weights()
    found = converted(tmp_path, change(weights))
    assert found.model.network.posterior is None
    assert note is None or any(note in line for line in found.notes)
    ours, theirs = both_chunks(found.model, weights, SIZES)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'change',
    [
        lambda weights: {key.removeprefix('model.'): value for key, value in weights.items()},
        lambda weights: {f'module.{key}': value for key, value in weights.items()},
        lambda weights: {'model_state_dict': weights, 'epoch': 3},
        lambda weights: {key: value.double() for key, value in weights.items()},
        lambda weights: {**weights, f'{EYE}bn1.num_batches_tracked': torch.ones(())},
    ],
    ids=['no prefix', 'parallel', 'wrapped', 'double', 'batches counted'],
)  # fmt: skip
def test_files_of_other_trainers_give_the_same_policy(
    tmp_path: Path, change: Callable[[act.Weights], Any]
) -> None:
    weights = act.weights()
    found = converted(tmp_path, change(weights)).model.network
    assert torch.equal(found.queries, weights['model.query_embed.weight'])
    expected = weights['model.transformer.decoder.layers.0.linear1.weight']
    assert torch.equal(found.decoder[0].feed_forward.linear1.weight, expected)


def test_sizes_come_from_the_shapes(tmp_path: Path) -> None:
    sizes = act.Sizes(hidden=24, inner=40, layers=3, chunk=9, latent=8, decoder_layers=2)
    hyper = converted(tmp_path, act.weights(sizes), heads=4).model.spec.hyper
    expected = {
        'chunk': 9,
        'hidden_dim': 24,
        'heads': 4,
        'feedforward_dim': 40,
        'encoder_layers': 3,
        'posterior_layers': 3,
        'decoder_layers': 1,
        'latent_dim': 8,
        'backbone': 'resnet18',
        'backbone_per_camera': False,
    }
    assert {key: hyper[key] for key in expected} == expected


def changed(key: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda weights: {**weights, f'model.{key}': change(weights[f'model.{key}'])}


def lacking(start: str) -> Change:
    return lambda weights: without(weights, f'model.{start}')


def having(key: str, *shape: int) -> Change:
    return lambda weights: {**weights, f'model.{key}': torch.ones(shape)}


@pytest.mark.parametrize(
    ('change', 'options', 'words'),
    [
        (
            lambda _: {'a': torch.ones(2)},
            {},
            "'model.query_embed.weight' of an ACT policy is missing",
        ),
        (lacking('action_head.'), {}, "'model.action_head.weight' of an ACT policy is missing"),
        (
            changed('action_head.weight', lambda w: torch.cat([w, w])),
            {},
            '6 actions for 3 joints, expected 3, or 5 with those of a mobile base',
        ),
        (changed('input_proj.bias', lambda w: w[:3]), {}, 'has shape (3,), a policy of ACT'),
        (changed('query_embed.weight', lambda w: w * np.inf), {}, 'not finite'),
        (lacking('latent_out_proj.'), {}, 'latent_out_proj.weight'),
        (lacking('input_proj.bias'), {}, "key 'model.input_proj.bias' is missing"),
        (having('more', 1), {}, "key 'model.more' does not belong"),
        (having('more\nlines', 1), {}, r"key 'model.more\nlines' does not belong"),
        (having('transformer.encoder.layers.999999999.x', 1), {}, 'layers.999999999....'),
        (changed('input_proj.bias', torch.Tensor.long), {}, 'is of torch.int64'),
        (changed('input_proj.bias', torch.Tensor.to_sparse), {}, 'expected a plain one'),
        (having('transformer.encoder.norm.weight', 16), {}, 'was trained with pre_norm'),
        (having('input_proj_env_state.weight', 16, 7), {}, 'instead of cameras'),
        (lacking('backbones.0.0.body.layer3.1'), {}, 'its backbone has 1 blocks in layer3'),
        (dict, {'heads': 3}, 'expected a multiple of 4 and of heads=3'),
        (dict, {'decoder_layers': 8}, '--decoder-layers is 8'),
        (dict, {'rate': -1.0}, 'rate'),
    ],
    ids=lambda value: None,
)
def test_what_does_not_fit_is_said_in_one_line(
    tmp_path: Path, change: Change, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as error:
        converted(tmp_path, change(act.weights()), **options)
    assert words in str(error.value)
    assert '\n' not in str(error.value)


class MakesFolder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('inside_an_array', [False, True])
def test_statistics_that_would_run_code_are_refused(
    tmp_path: Path, capsys: Capture, inside_an_array: bool
) -> None:
    mark = tmp_path / 'mark'
    value: Any = MakesFolder(mark)
    if inside_an_array:
        value = np.array([value], dtype=object)
    path = stats_file(tmp_path, {**act.statistics(), 'qpos_std': value})
    pickle.loads(path.read_bytes())
    assert mark.exists(), 'the file is harmless, which proves nothing'
    mark.rmdir()
    weights = saved(tmp_path, act.weights())
    assert main(call(weights, tmp_path / 'ours', path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'dataset_stats.pkl: wants' in line
    assert 'nothing was run, expected NumPy arrays only' in line
    assert not mark.exists()
    assert not (tmp_path / 'ours').exists()


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, capsys: Capture) -> None:
    mark = tmp_path / 'mark'
    path = saved(tmp_path, {**act.weights(), 'model.more': MakesFolder(mark)})  # type: ignore[dict-item]
    assert main(call(path, tmp_path / 'ours', stats_file(tmp_path))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "wants to call 'posix.mkdir' when it is read; nothing was run" in line
    assert not mark.exists()


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ([1, 2], 'holds list, expected qpos_mean'),
        ({'qpos_mean': np.zeros(3)}, "'qpos_std' is missing, found qpos_mean"),
        ({**act.statistics(), 'qpos_std': np.zeros(3)}, 'std 0.0, expected more than 0'),
        ({**act.statistics(), 'qpos_std': np.ones(4)}, '3 means but 4 standard deviations'),
        ({**act.statistics(), 'qpos_mean': np.full(3, np.nan)}, 'not finite'),
        ({**act.statistics(), 'qpos_mean': 'x'}, "'qpos_mean' is str, expected an array"),
        (act.statistics(joints=4), "'qpos_mean' has 4 values"),
        (act.statistics(actions=7), "'action_mean' has 7 values"),
    ],
    ids=lambda value: None,
)
def test_statistics_of_something_else_are_refused(
    tmp_path: Path, content: Any, words: str
) -> None:
    with pytest.raises(UserError) as error:
        converted(tmp_path, act.weights(), content)
    assert words in str(error.value)
    assert 'dataset_stats.pkl' in str(error.value)


def call(source: Path, target: Path, stats: Path, *more: str) -> list[str]:
    command = ['convert-checkpoint', str(source), str(target), '--from', 'act']
    return [*command, '--stats', str(stats), '--cameras', 'left_wrist,top', '--heads', '2', *more]


def test_the_call_makes_a_policy_and_says_what_it_assumed(tmp_path: Path, capsys: Capture) -> None:
    source, stats = saved(tmp_path, act.weights()), stats_file(tmp_path)
    assert main(call(source, tmp_path / 'ours', stats)) == 0
    printed = capsys.readouterr().out
    assert 'ours: act, ' in printed
    assert '640x480, from the ACT in' in printed
    assert 'assumed images of 480x640, height by width (--image-size)' in printed
    assert 'attention heads' not in printed
    policy = load_policy(tmp_path / 'ours')
    assert policy.cameras == ('left_wrist', 'top')
    assert (policy.spec.rate, policy.spec.image_size) == (50.0, (480, 640))
    assert policy.spec.data['converted_from']['project'] == 'act'
    assert main(call(source, tmp_path / 'ours', stats, '--image-size', '64x96')) == 0
    assert load_policy(tmp_path / 'ours').spec.image_size == (64, 96)
    assert main(['inspect', str(tmp_path / 'ours')]) == 0


@pytest.mark.parametrize(
    ('leave_out', 'more', 'words'),
    [
        ('--stats', (), '--stats is missing'),
        ('--cameras', (), '--cameras is missing'),
        ('', ('--image-size', '640'), 'found 640, expected HEIGHTxWIDTH'),
        ('', ('--joint-bounds', 'x.npy'), '--joint-bounds: means something only with --from eipl'),
        ('', ('--to', 'lerobot'), 'expected one'),
        ('', ('--robot', 'tabletop_sim'), "robot 'tabletop_sim' has 5 joints"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: Capture, leave_out: str, more: tuple[str, ...], words: str
) -> None:
    arguments = call(saved(tmp_path, act.weights()), tmp_path / 'ours', stats_file(tmp_path))
    if leave_out:
        place = arguments.index(leave_out)
        del arguments[place : place + 2]
    assert main([*arguments, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / 'ours').exists()


def test_a_slim_half_copy_acts_alike_and_is_small(tmp_path: Path, capsys: Capture) -> None:
    source, stats = saved(tmp_path, act.weights()), stats_file(tmp_path)
    assert main(call(source, tmp_path / 'ours', stats, '--image-size', '64x96')) == 0
    whole = load_policy(tmp_path / 'ours')
    joints, images = observation(2)
    seen: Any = {'qpos': joints, 'images': dict(zip(whole.cameras, images, strict=True))}
    expected = whole.act(seen, None)[0]
    copy = ['convert-checkpoint', str(tmp_path / 'ours')]
    assert main([*copy, str(tmp_path / 'slim'), '--slim']) == 0
    slim = load_policy(tmp_path / 'slim')
    assert slim.network.posterior is None
    assert torch.equal(slim.act(seen, None)[0], expected)
    assert main([*copy, str(tmp_path / 'half'), '--slim', '--half']) == 0
    half = load_policy(tmp_path / 'half')
    assert {value.dtype for value in half.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(half.act(seen, None)[0], expected, atol=2e-2, rtol=0)
    assert not torch.equal(half.act(seen, None)[0], expected)
    files = {name: tmp_path / name / 'weights.safetensors' for name in ('ours', 'slim', 'half')}
    size = {name: file.stat().st_size for name, file in files.items()}
    assert size['half'] < 0.51 * size['slim'] < 0.51 * size['ours']
    capsys.readouterr()
    assert main([*copy, str(tmp_path / 'same')]) == 2
    assert '--slim, --half' in capsys.readouterr().err
