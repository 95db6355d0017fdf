# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A model's file that is damaged, or claims what it does not hold, is one line at little cost."""

from __future__ import annotations

import io
import json
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from policy_examples import small_policy
from safetensors.torch import load_file, save_file

from motion_policy.cli.main import main
from motion_policy.errors import UserError
from motion_policy.policies import CheckpointError, load_policy, save_policy
from motion_policy.policies.convert.act_stats import read_act_stats
from motion_policy.policies.convert.torch_files import float_weights, read_torch_file
from motion_policy.policies.weights_file import usable_weight

KEY = 'cell.weight_ih'
MOST_MEMORY_KB = 200 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_policy(small_policy(), tmp_path / 'mine')


def declare(**changes: Any) -> Callable[[Path], None]:
    """Return what changes keys of policy.yaml; `hyper__k_dim` is a key below `hyper`."""

    def change(folder: Path) -> None:
        path = folder / 'policy.yaml'
        content = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split('__')
            here = content
            for parent in parents:
                here = here[parent]
            here[last] = value
        path.write_text(yaml.safe_dump(content))

    return change


def weigh(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Return what rewrites the weights after `change` has worked on them."""

    def rewrite(folder: Path) -> None:
        path = folder / 'weights.safetensors'
        weights = load_file(path)
        change(weights)
        save_file(weights, path)

    return rewrite


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Return what rewrites the header of the weights and leaves the numbers as they are."""

    def rewrite(folder: Path) -> None:
        path = folder / 'weights.safetensors'
        data = path.read_bytes()
        size = int.from_bytes(data[:8], 'little')
        content = json.loads(data[8 : 8 + size])
        change(content)
        text = json.dumps(content).encode()
        path.write_bytes(len(text).to_bytes(8, 'little') + text + data[8 + size :])

    return rewrite


def cut(folder: Path) -> None:
    path = folder / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[:-7])


def claim_names(folder: Path) -> None:
    path = folder / 'weights.safetensors'
    path.write_bytes((2**40).to_bytes(8, 'little') + path.read_bytes()[8:])


def first_key(weights: dict[str, torch.Tensor]) -> str:
    return next(key for key, value in weights.items() if value.ndim == 2)


def widen(weights: dict[str, torch.Tensor], value: float, dtype: torch.dtype) -> None:
    key = first_key(weights)
    wide = weights[key].to(dtype)
    wide[0, 0] = value
    weights[key] = wide


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    'a million points': (declare(hyper__k_dim=1_000_000), 'hyper: k_dim: found 1000000'),
    'many points': (declare(hyper__k_dim=60_000), 'policy.yaml asks for'),
    '1.3 TB': (declare(hyper__rec_dim=65_536, hyper__k_dim=65_536), 'policy.yaml asks for'),
    '10^9 layers': (
        declare(kind='act', hyper={'encoder_layers': 10**9}),
        'encoder_layers: found 1000000000',
    ),
    'width in words': (declare(hyper__rec_dim='{:>1000000000}'), 'rec_dim: found'),
    'true as width': (declare(hyper__rec_dim=True), 'found true or false, expected a number'),
    'image too small': (declare(image_size=[2, 2]), 'sarnn needs at least 8x8 pixels'),
    'image too large': (declare(image_size=[10**9, 10**9]), 'image_size'),
    'no image': (declare(image_size=[0, -5]), 'image_size'),
    'infinite rate': (declare(rate=float('inf')), 'rate: found inf'),
    'no rate': (declare(rate=1e-300), 'rate: found 1e-300'),
    'infinite in float32': (
        declare(normalisation__qpos__max=[1e300] * 5),
        'expected what float32 can hold',
    ),
    'cut off': (cut, 'weights.safetensors: cannot be read'),
    'names of 1 TB': (claim_names, 'weights.safetensors: cannot be read'),
    'huge shape': (
        header(lambda head: head[next(k for k in head if k[0] != '_')].update(shape=[10**12])),
        'weights.safetensors: cannot be read',
    ),
    'missing': (weigh(lambda weights: weights.pop(first_key(weights))), 'is missing'),
    'one too many': (
        weigh(lambda weights: weights.update({'a\nb': torch.zeros(1)})),
        'does not belong',
    ),
    'another shape': (
        weigh(lambda weights: weights.update({first_key(weights): torch.zeros(1)})),
        'has shape (1,), policy.yaml asks for',
    ),
    'not a number': (
        weigh(lambda weights: widen(weights, float('nan'), torch.float32)),
        'not finite',
    ),
    'too large for float32': (
        weigh(lambda weights: widen(weights, 1e300, torch.float64)),
        'goes up to 1e+300, float32',
    ),
    'whole numbers': (
        weigh(lambda weights: widen(weights, 1, torch.int32)),
        'is of torch.int32, expected',
    ),
}


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(('spoil', 'words'), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_one_line_and_takes_no_memory(
    folder: Path,
    spoil: Callable[[Path], None],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load_policy(folder)
    assert main(['inspect', str(folder)]) == 0
    capsys.readouterr()
    before = peak_kb()
    spoil(folder)
    with pytest.raises(CheckpointError) as caught:
        load_policy(folder)
    line = str(caught.value)
    assert line.startswith(str(folder)) and words in line and '\n' not in line
    assert main(['inspect', str(folder)]) == 2
    assert capsys.readouterr().err == f'error: {line}\n'
    assert peak_kb() - before < MOST_MEMORY_KB


def test_float64_weights_that_float32_holds_are_read(folder: Path) -> None:
    weigh(lambda weights: widen(weights, 0.5, torch.float64))(folder)
    policy = load_policy(folder)
    assert {value.dtype for value in policy.parameters()} == {torch.float32}


@pytest.fixture
def torch_file(tmp_path: Path) -> Path:
    path = tmp_path / 'x.pth'
    torch.save({'a.weight': torch.arange(1000.0), 'b': torch.ones(3)}, path)
    return path


def read(path: Path) -> Any:
    return float_weights(path, read_torch_file(path, '.pth file'))


def refused(path: Path) -> str:
    before = peak_kb()
    with pytest.raises(UserError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f'{path}: ') and '\n' not in line
    assert peak_kb() - before < MOST_MEMORY_KB
    return line


def test_one_wrong_bit_in_a_torch_file_is_found_by_its_sum(torch_file: Path) -> None:
    assert read(torch_file)['a.weight'][999] == 999
    data = bytearray(torch_file.read_bytes())
    place = data.index(np.float32(999).tobytes())
    data[place] ^= 1
    torch_file.write_bytes(data)
    assert "is damaged: the CRC-32 of 'x/data/0' in it is wrong" in refused(torch_file)


def test_a_packed_member_is_refused_before_it_is_unpacked(torch_file: Path) -> None:
    with zipfile.ZipFile(torch_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(torch_file, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr('x/data/9', bytes(2**20))
    assert 'is packed, torch writes none so' in refused(torch_file)


def test_a_value_that_claims_to_be_a_million_million_is_refused(torch_file: Path) -> None:
    torch.save({'a': torch.ones(1).expand(10**12)}, torch_file)
    assert "'a' of shape (1000000000000,) is larger than the file" in refused(torch_file)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ({'a': torch.full((2,), 1e300, dtype=torch.float64)}, 'goes up to 1e+300, float32'),
        ({'a': torch.tensor([1, float('nan')])}, 'not finite'),
        ({'a': 3}, "holds 'a', expected"),
        ({('a', 'b'): torch.ones(1)}, 'has a key that is tuple'),
        ({}, 'holds dict, expected'),
        ([1], 'holds list, expected'),
        ({'layer.running_var': -torch.ones(2)}, 'variances below 0'),
    ],
)
def test_what_is_no_weight_in_a_torch_file_is_named(
    torch_file: Path, content: Any, words: str
) -> None:
    torch.save(content, torch_file)
    assert words in refused(torch_file)


def test_a_torch_file_that_is_cut_off_or_foreign_is_refused(torch_file: Path) -> None:
    data = torch_file.read_bytes()
    for content in (data[:-10], data[:100], b'', b'PK\x03\x04', b'\x80\x02}.' * 100):
        torch_file.write_bytes(content)
        refused(torch_file)
    torch_file.unlink()
    assert 'no such file, expected a .pth file' in refused(torch_file)


def nested() -> Any:
    """Return a tuple of 40 levels that is 10 ** 12 values in words."""
    value: Any = 'x'
    for _ in range(40):
        value = (value, value)
    return value


class _Persistent(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return nested() if value == 'p' else None


def test_statistics_with_boundless_names_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / 'dataset_stats.pkl'
    persistent = io.BytesIO()
    _Persistent(persistent).dump({'qpos_mean': 'p'})
    for content in (
        pickle.dumps({1: 1}),
        persistent.getvalue(),
        b'\x80\x04\x8e' + (2**40).to_bytes(8, 'little') + b'x',
        pickle.dumps({'qpos_mean': np.zeros(2)})[:-4],
    ):
        path.write_bytes(content)
        before = peak_kb()
        with pytest.raises(UserError) as caught:
            read_act_stats(path)
        assert str(caught.value).startswith(f'{path}: ') and len(str(caught.value)) < 500
        assert peak_kb() - before < MOST_MEMORY_KB


@pytest.mark.parametrize('name', ['policy.yaml', 'weights.safetensors'])
def test_inspect_names_the_file_that_a_checkpoint_lacks(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    assert main(['inspect', str(folder)]) == 2
    assert capsys.readouterr().err == f'error: {folder}: not a checkpoint, it has no {name}\n'


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(dtype: torch.dtype) -> None:
    for sound in (torch.zeros(0), torch.full((3, 67), torch.finfo(torch.float16).max)):
        assert torch.equal(usable_weight('w', sound.to(dtype)), sound.to(dtype).float())
    for wrong in (float('nan'), float('inf'), -float('inf')):
        for place in range(67):
            values = torch.linspace(-2, 2, 67, dtype=dtype)
            values[place] = wrong
            with pytest.raises(UserError, match='w holds values that are not finite'):
                usable_weight('w', values)
