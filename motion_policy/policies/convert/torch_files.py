# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reader of files that `torch.save` of another project wrote.

Nothing in them is executed: only tensors, numbers and text are taken, and anything else in the
pickle is refused with one line.
"""

from __future__ import annotations

import contextlib
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.files import regular_file, shown
from motion_policy.policies.convert.pickles import CostlyPickleError, check_pickle
from motion_policy.policies.weights_file import check_claim, usable_weight

PICKLES_BEFORE_2020 = 5  # in a file that is no archive, one after the other
COMPILED = '_orig_mod.'  # what torch.compile puts before the keys


def read_torch_file(path: Path, what: str) -> dict[str, Any]:
    """The dictionary in a file. `what` says which file was expected, such as '.pth file of EIPL'.

    Raises:
        UserError: no such file, not such a file, damaged, or it would have to run code to be read.
    """
    regular_file(path, f'a {what}')
    _check_members(path)
    _check_pickles(path)
    try:
        with _numpy_scalars_allowed(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the error below says it in one line
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # a foreign file can make the reader raise anything
        raise UserError(f'{path}: {_why_not(error, what)}') from None
    if not isinstance(content, dict):
        raise UserError(
            f'{path}: holds {type(content).__name__}, expected model_state_dict or a state dict'
        )
    _check_keys(path, content)
    return content


def float_weights(path: Path, state: Any) -> dict[str, Tensor]:
    """The state dict of a file, float32 where it is of floating point, without torch.compile's
    prefix. Raises UserError when it holds anything but finite tensors.
    """
    if not isinstance(state, dict) or not state:
        raise UserError(
            f'{path}: holds {type(state).__name__}, expected model_state_dict or a state dict of '
            'tensors'
        )
    _check_keys(path, state)
    wrong = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise UserError(
            f"{path}: holds '{shown(wrong[0])}', expected model_state_dict or a state dict of "
            'tensors'
        )
    check_claim(path, state)
    return {
        key.replace(COMPILED, ''): usable_weight(f"{path}: '{shown(key)}'", value).clone()
        for key, value in state.items()
    }


def _check_members(path: Path) -> None:
    """Refuse an archive that is damaged or packed: torch stores plainly, and checks nothing.

    Raises:
        UserError: naming the member. Files of before 2020 are no archives and have no sums.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise UserError(
                        f"{path}: '{shown(member.filename)}' in it is packed, torch writes none so"
                    )
            damaged = archive.testzip()
    except (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{path}: is damaged: {shown(reason)}') from None
    if damaged is not None:
        raise UserError(f"{path}: is damaged: the CRC-32 of '{shown(damaged)}' in it is wrong")


def _check_pickles(path: Path) -> None:
    """Refuse pickles that would take for ever; what is no pickle, torch says."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith('data.pkl'):
                        with archive.open(name) as member:
                            check_pickle(cast(BinaryIO, member))
        else:
            with path.open('rb') as file:
                for _ in range(PICKLES_BEFORE_2020):
                    check_pickle(file)
    except CostlyPickleError as costly:
        raise UserError(f'{path}: {costly}, expected tensors and numbers only') from None
    except Exception:  # a foreign file can make the reader raise anything
        return


def _check_keys(path: Path, content: dict[Any, Any]) -> None:
    wrong = [key for key in content if not isinstance(key, str)]
    if wrong:
        raise UserError(f'{path}: has a key that is {type(wrong[0]).__name__}, expected names')


def _numpy_scalars_allowed() -> contextlib.AbstractContextManager[Any]:
    """Let torch.load make NumPy numbers, as which some trainers save their losses."""
    allow: Any = getattr(torch.serialization, 'safe_globals', contextlib.nullcontext)  # torch 2.5
    dtypes = {type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i4', 'i8')}
    # NumPy 1 and 2 keep the function in different modules; files of both are around.
    modules = ('numpy.core.multiarray', 'numpy._core.multiarray')
    allowed: contextlib.AbstractContextManager[Any] = allow(
        [*map(_scalar_of, modules), np.dtype, *dtypes]
    )
    return allowed


def _scalar_of(module: str) -> Any:
    """NumPy's function that makes a scalar, under the name that a pickle has for it."""
    make: Any = np.float32(0).__reduce__()[0]

    def scalar(*arguments: Any) -> Any:
        return make(*arguments)

    scalar.__module__, scalar.__qualname__ = module, 'scalar'
    return scalar


def _why_not(error: Exception, what: str) -> str:
    foreign = re.search(r'GLOBAL ([\w.]+)', str(error))
    if foreign:
        return (
            f"wants to call '{foreign[1]}' when it is read; nothing was run, "
            'expected tensors and numbers only'
        )
    return f'is no {what} with tensors and numbers only ({type(error).__name__})'
