# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint folder gives the same policy back, or says in one line why it cannot."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from policy_examples import FAMILIES, random_observation, small_policy, small_robot, spec
from pretended_gpu import on_gpu
from safetensors.torch import load_file, save_file

from motion_policy.policies import (
    CheckpointError,
    check_robot,
    checkpoint,
    load_policy,
    read_policy_spec,
    save_policy,
)
from motion_policy.policies.checkpoint import read_checkpoint

torch.set_num_threads(1)


def edit(folder: Path, change: Any) -> None:
    """Rewrite policy.yaml after `change` has worked on its content."""
    path = folder / 'policy.yaml'
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def complaint(folder: Path | str) -> str:
    """Return the line that loading raises, which must be one line."""
    with pytest.raises(CheckpointError) as raised:
        load_policy(folder)
    assert '\n' not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_policy(small_policy(), tmp_path / 'models' / 'mine')


def test_a_loaded_policy_acts_as_the_saved_one(folder: Path) -> None:
    policy, loaded = small_policy(), load_policy(folder)
    assert not loaded.training
    assert loaded.spec == policy.spec
    state = again = None
    for step in range(3):
        chunk, state = policy.act(random_observation(seed=step), state)
        same, again = loaded.act(random_observation(seed=step), again)
        assert torch.equal(chunk, same)


def test_the_folder_holds_two_readable_files_and_names_everything(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ['policy.yaml', 'weights.safetensors']
    assert [path.name for path in folder.parent.iterdir()] == ['mine']
    told = yaml.safe_load((folder / 'policy.yaml').read_text())
    assert told['hyper'] == {
        'rec_dim': 12, 'k_dim': 3, 'temperature': 0.1, 'learn_temperature': False,
        'heatmap_size': 0.1, 'leaky_slope': 0.3, 'reference': False, 'channels': 'rgb',
    }  # fmt: skip
    assert told['robot']['joints']['names'][0] == 'joint1'
    assert {'format', 'kind', 'rate', 'cameras', 'image_size', 'target', 'normalisation', 'data',
            'training', 'metrics', 'software'} <= set(told)  # fmt: skip
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())


def test_half_precision_takes_half_the_space_and_computes_in_float32(folder: Path) -> None:
    policy = small_policy()
    half = save_policy(policy, folder.with_name('half'), half=True)
    stored = load_file(half / 'weights.safetensors')
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    loaded = load_policy(half)
    assert loaded.spec == policy.spec
    for key, weight in loaded.state_dict().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, policy.state_dict()[key], atol=1e-7, rtol=1e-3)
    with torch.no_grad():
        next(policy.parameters()).mul_(0).add_(1e5)
    with pytest.raises(CheckpointError, match=r'goes up to 100000, float16 to 65504'):
        save_policy(policy, half, half=True)
    assert load_file(half / 'weights.safetensors').keys() == stored.keys()
    save_policy(policy, half)


@pytest.mark.parametrize(('device', 'allowed'), [('cuda', False), ('cpu', True)])
def test_on_a_gpu_float32_is_float32(
    device: str, allowed: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (torch.backends.cudnn, torch.backends.cuda.matmul):
        monkeypatch.setattr(part, 'allow_tf32', True)
    with on_gpu() if device == 'cuda' else nullcontext():
        load_policy(folder, device=device)
    found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    assert found == (allowed, allowed)


def test_saving_again_replaces_the_whole(folder: Path) -> None:
    save_policy(small_policy(seed=1), folder)
    chunk, _ = load_policy(folder).act(random_observation(), None)
    assert torch.equal(chunk, small_policy(seed=1).act(random_observation(), None)[0])
    assert [path.name for path in folder.parent.iterdir()] == ['mine']


def test_a_failed_save_leaves_the_old_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> bytes:
        raise OSError('No space left on device')

    monkeypatch.setattr(checkpoint, 'save', full)
    with pytest.raises(OSError, match='No space'):
        save_policy(small_policy(seed=1), folder)
    assert [path.name for path in folder.parent.iterdir()] == ['mine']
    load_policy(folder)


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(CheckpointError, match=r"holds 'thesis.tex', .* would be lost"):
        save_policy(small_policy(), tmp_path)
    assert (tmp_path / 'thesis.tex').is_file()


def test_a_bare_name_means_a_shipped_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, 'share_dir', lambda: folder.parent.parent)
    assert load_policy('mine').source == 'mine'
    assert 'no such checkpoint folder' in complaint('yours')


def test_a_missing_or_foreign_file_is_named(folder: Path, tmp_path: Path) -> None:
    assert f'{tmp_path}: not a checkpoint, it has no policy.yaml' in complaint(tmp_path)
    (folder / 'weights.safetensors').unlink()
    assert 'it has no weights.safetensors' in complaint(folder)
    (folder / 'weights.safetensors').write_bytes(b'no weights at all')
    assert f'{folder}/weights.safetensors: cannot be read' in complaint(folder)
    (folder / 'policy.yaml').write_text('just words')
    assert 'policy.yaml: holds str, expected keys and values' in complaint(folder)
    (folder / 'policy.yaml').write_bytes(b'\xff\xfe\x00')
    assert 'policy.yaml: cannot be read' in complaint(folder)
    (folder / 'policy.yaml').write_text('kind: sarnn')
    assert "format is 'None', this version reads 'motion_policy/policy/1'" in complaint(folder)


def test_truncated_weights_are_named(folder: Path) -> None:
    path = folder / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    assert f'{path}: cannot be read' in complaint(folder)


def test_code_in_a_policy_file_is_not_run(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / 'ran'
    text = (folder / 'policy.yaml').read_text()
    (folder / 'policy.yaml').write_text(f'{text}\nx: !!python/object/apply:os.mkdir [{victim}]\n')
    assert 'not YAML: could not determine a constructor' in complaint(folder)
    assert not victim.exists()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda c: c.update(colour='red'), "colour: unknown key, found 'red'"),
        (lambda c: c.pop('rate'), 'rate: missing'),
        (lambda c: c.update(kind='other'), "unknown policy kind 'other'"),
        (lambda c: c['hyper'].update(rec_dims=3), 'hyper: rec_dims: unknown key'),
        (lambda c: c['hyper'].update(rec_dim='x'), "hyper: rec_dim: found 'x'"),
        (lambda c: c['robot']['joints'].pop('state'), 'robot: joints.state: missing'),
        (lambda c: c.update(cameras=['front']), "camera 'front' is not one of the robot's"),
        (lambda c: c.update(cameras=['top', 'top']), "camera 'top' stands twice in cameras"),
        (lambda c: c['hyper'].update(rec_dim=13), "key 'network.rec.weight_ih_l0' has shape"),
        (lambda c: c.update(cameras=['top', 'side']), "key 'network.eyes.1."),
    ],
)
def test_a_key_that_is_wrong_is_named_with_its_file(folder: Path, change: Any, words: str) -> None:
    edit(folder, change)
    line = complaint(folder)
    assert str(folder) in line
    assert words in line


def test_a_wrong_key_among_the_weights_is_named(folder: Path) -> None:
    path = folder / 'weights.safetensors'
    weights = load_file(path)
    key = 'network.decoder_joint.0.bias'
    bias = weights.pop(key)
    save_file(weights, path)
    assert f"{path}: key '{key}' is missing" in complaint(folder)
    save_file({**weights, key: bias, 'extra': bias.clone()}, path)
    assert "key 'extra' does not belong to a sarnn" in complaint(folder)
    save_file({**weights, key: bias * float('nan')}, path)
    assert f"key '{key}' holds values that are not finite" in complaint(folder)


def test_a_robot_that_does_not_fit_is_told_apart() -> None:
    policy = small_policy()
    check_robot(policy, small_robot())
    check_robot(policy, small_robot(height=48, width=64, name='same_shape', rate=100.0))
    names = yaml.safe_load(small_robot().to_yaml())['joints']
    for key in ('state', 'leader', 'command'):
        for topic in names[key]:
            topic.pop('joints')
            topic.pop('message_names')
    names['names'] = ['joint1', 'joint2', 'joint3', 'wrist', 'gripper']
    with pytest.raises(
        CheckpointError, match=r"trained for joints \[joint1, .*'other' has .*wrist"
    ):
        check_robot(policy, small_robot(name='other', joints=names))
    with pytest.raises(CheckpointError, match="needs camera 'top', but 'blind' has: none"):
        check_robot(policy, small_robot(name='blind', cameras={}))
    with pytest.raises(CheckpointError, match=r"was 32x24 in training, 'tabletop_sim' has 24x24"):
        check_robot(policy, small_robot(height=24, width=24))


def test_a_mean_over_rows_is_of_their_rate() -> None:
    wrench = {
        'topic': 'wrench', 'type': 'geometry_msgs/msg/WrenchStamped', 'window': 'mean',
        'fields': ['wrench.force.x'],
    }  # fmt: skip
    ranges = {**spec().normalisation.model_dump(), 'inputs': {'min': [-1.0], 'max': [1.0]}}
    for window in ('mean', 'newest'):
        vectors = {'wrench': {**wrench, 'window': window}}
        trained, faster = (small_robot(vectors=vectors, rate=rate) for rate in (50.0, 100.0))
        policy = small_policy(robot=trained, inputs=('wrench',), normalisation=ranges)
        check_robot(policy, trained)
        if window == 'newest':
            check_robot(policy, faster)
            continue
        with pytest.raises(
            CheckpointError, match=r"'wrench' was the mean of 20 ms .* 10 ms: expected rate 50$"
        ):
            check_robot(policy, faster)


def test_the_spec_can_be_read_without_building_the_policy(folder: Path) -> None:
    assert read_policy_spec(folder).kind == 'sarnn'


def test_what_was_read_once_is_what_is_loaded(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    (folder / 'policy.yaml').write_text('kind: another one by now')
    policy = load_policy(checkpoint)
    assert policy.spec == checkpoint.spec == small_policy().spec
    assert policy.source == checkpoint.name == str(folder)


@pytest.mark.slow
def test_shapes_and_operators_are_tried_without_the_compiler_of_pytorch(tmp_path: Path) -> None:
    # A ResNet is torchvision's, which imports it whatever for.
    small_act = {'hidden_dim': 16, 'heads': 2, 'backbone': 'small'}
    hyper = {**FAMILIES, 'act': small_act, 'frame_predictor': {}}
    for kind, values in hyper.items():
        paper = spec(kind=kind, hyper=values, image_size=(64, 64))
        (tmp_path / kind).mkdir()
        (tmp_path / kind / 'policy.yaml').write_text(checkpoint.spec_to_yaml(paper))
    code = (
        'import sys\n'
        'from pathlib import Path\n'
        'from motion_policy.policies.checkpoint import model_on_paper_in\n'
        'from motion_policy.policies.cpu.onednn import works\n'
        'works()\n'
        'for folder in Path(sys.argv[1]).iterdir():\n'
        '    model_on_paper_in(folder)\n'
        "    found = {'sympy', 'triton', 'torch._dynamo'} & set(sys.modules)\n"
        "    assert not found, f'{folder}: {found}'\n"
    )
    done = subprocess.run([sys.executable, '-c', code, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
