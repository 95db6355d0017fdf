# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A pickle that would take for ever is refused by its opcodes; those of real files are read."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from motion_policy.errors import UserError
from motion_policy.policies.convert.act_stats import read_act_stats
from motion_policy.policies.convert.pickles import CostlyPickleError, check_pickle
from motion_policy.policies.convert.torch_files import read_torch_file


def key_of(levels: int, width: int = 2) -> bytes:
    """A dictionary whose key is a tuple of one tuple, many times, and so on."""
    step = b'q\x00' + b'0(' + b'h\x00' * width + b't'
    return b'\x80\x02}(' + b')' + step * levels + b'K\x01u.'


def in_archive(path: Path, data: bytes) -> None:
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, data if name.endswith('data.pkl') else content)


def as_before_2020(path: Path, data: bytes) -> None:
    torch.save({}, path, _use_new_zipfile_serialization=False)
    begin = path.read_bytes()
    parts = io.BytesIO(begin)
    for _ in range(3):
        pickle.load(parts)
    path.write_bytes(begin[: parts.tell()] + data)


BOMBS = {'forty levels': key_of(40), 'wide': key_of(5, 200), 'deep': key_of(100_000, 1)}


@pytest.mark.parametrize('data', BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize(
    ('write', 'read'),
    [
        (Path.write_bytes, read_act_stats),
        (in_archive, lambda path: read_torch_file(path, '.pth file of EIPL')),
        (as_before_2020, lambda path: read_torch_file(path, '.pth file of EIPL')),
    ],
)
def test_a_key_that_is_for_ever_hashed_is_refused(
    tmp_path: Path, data: bytes, write: Callable[..., Any], read: Callable[[Path], Any]
) -> None:
    path = tmp_path / 'file'
    write(path, data)
    with pytest.raises(UserError, match=r'objects within objects .* for ever, expected'):
        read(path)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_trainers_write_is_looked_at_whole(protocol: int) -> None:
    state = {f'layer.{number}': (number, [1.0] * 40, {'a': (1, 2)}) for number in range(300)}
    check_pickle(io.BytesIO(pickle.dumps({'state': state, 'again': [state] * 10_000}, protocol)))
    twice: Any = ()
    for _ in range(60):
        twice = (twice, twice)
    with pytest.raises(CostlyPickleError):
        check_pickle(io.BytesIO(pickle.dumps(twice, protocol)))


def test_an_optimiser_is_read(tmp_path: Path) -> None:
    model = torch.nn.LSTM(8, 16, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 8))[0].sum().backward()
    optimiser.step()
    for archive in (True, False):
        path = tmp_path / f'{archive}.pth'
        content = {'model_state_dict': model.state_dict(), 'optimizer': optimiser.state_dict()}
        torch.save(content, path, _use_new_zipfile_serialization=archive)
        assert read_torch_file(path, '.pth file of EIPL').keys() == content.keys()
