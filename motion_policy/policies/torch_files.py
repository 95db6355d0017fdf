# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read the files that `torch.save` of another project wrote.

Nothing in them is executed: only tensors, numbers and text are taken, and anything else in the
pickle is refused with one line.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_policy.errors import UserError

COMPILED = '_orig_mod.'  # what torch.compile puts before the keys


def read_torch_file(path: Path, what: str) -> dict[Any, Any]:
    """The dictionary in a file. `what` says which file was expected, such as '.pth file of EIPL'.

    Raises:
        UserError: no such file, not such a file, or it would have to run code to be read.
    """
    if not path.is_file():
        raise UserError(f'{path}: no such file, expected a {what}')
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
    return content


def float_weights(path: Path, state: Any) -> dict[str, Tensor]:
    """The state dict of a file, float32 where it is of floating point, without torch.compile's
    prefix. Raises UserError when it holds anything but finite tensors.
    """
    wrong = [key for key, value in _items(state) if not isinstance(value, Tensor)]
    if not isinstance(state, dict) or not state or wrong:
        found = f"'{wrong[0]}'" if wrong else type(state).__name__
        raise UserError(
            f'{path}: holds {found}, expected model_state_dict or a state dict of tensors'
        )
    return {
        str(key).replace(COMPILED, ''): float_weight(path, key, value)
        for key, value in state.items()
    }


def float_weight(path: Path, key: Any, value: Tensor) -> Tensor:
    """A copy of one weight, float32 if it is of floating point. UserError if it is not finite."""
    if not value.is_floating_point():
        return value.clone()
    if not torch.isfinite(value).all():
        raise UserError(f"{path}: '{key}' holds values that are not finite")
    return value.float().clone()


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


def _items(state: Any) -> list[tuple[Any, Any]]:
    return list(state.items()) if isinstance(state, dict) else []
