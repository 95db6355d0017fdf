# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reader of `dataset_stats.pkl`: means and standard deviations of ACT training data.

It is a pickle, which could call anything: here it may make NumPy arrays of numbers and nothing
else, and a file that asks for more is refused before any of it is done.
"""

from __future__ import annotations

import io
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from motion_policy.errors import UserError
from motion_policy.files import read_bytes, shown
from motion_policy.policies.convert.pickles import CostlyPickleError, check_pickle
from motion_policy.policies.normalisation import MeanStd
from motion_policy.robot.load import first_error_line

Float64Array = npt.NDArray[np.float64]

STATS_FILE = 'dataset_stats.pkl'
MOST_BYTES = 64 * 2**20  # ACT keeps an episode as an example in it
EXPECTED = ('qpos_mean', 'qpos_std', 'action_mean', 'action_std')
_NUMBERS = re.compile(r'[<>|=]?[fiub]\d{0,2}')  # dtypes that hold no objects


@dataclass(frozen=True)
class ActStats:
    """Means and standard deviations of joints (J,) and actions (A,), and how far the actions
    went, (2, A), where the file says it.
    """

    path: Path
    qpos: MeanStd
    action: MeanStd
    action_bounds: Float64Array | None = None


def read_act_stats(path: str | Path) -> ActStats:
    """Read the statistics of ACT or act-plus-plus.

    Raises:
        UserError: no such file, one that would have to run code, or other contents.
    """
    source = Path(path)
    content = _load(source)
    values = {name: _numbers(source, content, name) for name in EXPECTED}
    bounds = None
    if 'action_min' in content and 'action_max' in content:
        ends = [_numbers(source, content, name) for name in ('action_min', 'action_max')]
        if ends[0].shape == ends[1].shape == values['action_mean'].shape:
            bounds = np.stack(ends)
    qpos = _mean_std(source, 'qpos', values['qpos_mean'], values['qpos_std'])
    action = _mean_std(source, 'action', values['action_mean'], values['action_std'])
    return ActStats(source, qpos, action, bounds)


class _RefusedError(Exception):
    """The pickle asked for something that is not NumPy's."""


class _Array:
    """Stands for `numpy.ndarray`, which a pickle names and only `_empty` may use."""


def _empty(kind: Any, *_: Any) -> npt.NDArray[Any]:
    if kind is not _Array:
        raise _RefusedError(f'an array of {type(kind).__name__}')
    return np.empty(0, np.int8)  # its contents and type follow


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
        found = code[:20] if isinstance(code, str) else type(code).__name__
        raise _RefusedError(f'numpy.dtype({found})')
    return np.dtype(code, align=False, copy=True)


def _scalar(dtype: Any, data: bytes) -> Any:
    return np.frombuffer(data, dtype)[0]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


# NumPy 1 calls it numpy.core, NumPy 2 numpy._core; files of both are around.
_ALLOWED: dict[tuple[str, str], Any] = {
    ('numpy', 'ndarray'): _Array,
    ('numpy', 'dtype'): _dtype,
    ('numpy.core.multiarray', '_reconstruct'): _empty,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy.core.numeric', '_frombuffer'): _from_buffer,
}


class _OnlyArrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _ALLOWED.get((module.replace('numpy._core', 'numpy.core'), name))
        if known is None:
            raise _RefusedError(f'{module}.{name}')
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f'a persistent object of {type(pid).__name__}')


def _load(path: Path) -> dict[Any, Any]:
    data = read_bytes(path, MOST_BYTES, f'the {STATS_FILE} of ACT')
    try:
        check_pickle(io.BytesIO(data))
        content = _OnlyArrays(io.BytesIO(data)).load()
    except _RefusedError as refused:
        raise UserError(
            f"{path}: wants '{' '.join(str(refused).split())[:100]}' when it is read; nothing was "
            'run, expected NumPy arrays only'
        ) from None
    except CostlyPickleError as costly:
        raise UserError(f'{path}: {costly}, expected NumPy arrays only') from None
    except Exception as error:  # a foreign file can make the reader raise anything
        raise UserError(
            f'{path}: is no {STATS_FILE} with NumPy arrays only ({type(error).__name__})'
        ) from None
    if not isinstance(content, dict):
        raise UserError(f'{path}: holds {type(content).__name__}, expected {", ".join(EXPECTED)}')
    return content


def _numbers(path: Path, content: dict[Any, Any], name: str) -> Float64Array:
    if name not in content:
        names = [key for key in content if isinstance(key, str)]
        found = shown(', '.join(names[:6]))[:200] or 'nothing'
        raise UserError(f"{path}: '{name}' is missing, found {found}")
    value = content[name]
    if not isinstance(value, np.ndarray) or not value.size:
        raise UserError(f"{path}: '{name}' is {type(value).__name__}, expected an array")
    if value.dtype.kind not in 'iuf':
        raise UserError(f"{path}: '{name}' holds {value.dtype}, expected numbers")
    numbers = value.astype(np.float64).reshape(-1)
    if not np.isfinite(numbers).all():
        raise UserError(f"{path}: '{name}' holds values that are not finite")
    return numbers


def _mean_std(path: Path, name: str, mean: Float64Array, std: Float64Array) -> MeanStd:
    content = {'mean': tuple(mean.tolist()), 'std': tuple(std.tolist())}
    try:
        return MeanStd(**content)
    except ValidationError as error:
        raise UserError(first_error_line(error, content, f'{path}: {name}')) from None
