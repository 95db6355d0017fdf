# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads weights from files, checked against names, shapes and types of the model first.

A weight has the name and shape that its model says, is of floating point where that is expected,
and is finite also as float32; whatever else a file holds is one line that names the key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.files import FileError, regular_file, shown

Shape = tuple[int, ...]

MOST_HEADER_BYTES = 16 * 2**20  # of names and shapes
VARIANCE = 'running_var'  # how the keys of what must not be negative end

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def read_shapes(path: Path) -> dict[str, Shape]:
    """The shapes of the weights in a .safetensors file; no weight is read.

    Raises:
        FileError: no such file, or it is not whole.
    """
    regular_file(path, 'a .safetensors file')
    try:
        with path.open('rb') as file:
            header = int.from_bytes(file.read(8), 'little')
        if header > MOST_HEADER_BYTES:
            raise FileError(f'{shown(path)}: cannot be read: claims {header} bytes of names')
        with safe_open(path, 'pt') as opened:
            keys = opened.keys()
            return {key: tuple(opened.get_slice(key).get_shape()) for key in keys}
    except (OSError, SafetensorError) as error:
        raise FileError(f'{shown(path)}: cannot be read: {_one_line(error)}') from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a .safetensors file, as they are. Raises FileError."""
    return dict(each_tensor(path))


def each_tensor(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield key and weight, one after the other, of a .safetensors file. Raises FileError."""
    read_shapes(path)
    try:
        with safe_open(path, 'pt') as opened:
            for key in opened.keys():  # noqa: SIM118
                yield key, opened.get_tensor(key)
    except (OSError, SafetensorError) as error:
        raise FileError(f'{shown(path)}: cannot be read: {_one_line(error)}') from None


def check_shapes(
    expected: Mapping[str, Tensor], shapes: Mapping[str, Shape], path: Path, kind: str
) -> None:
    """Hold names and shapes against those of a model. Raises FileError."""
    for key, value in expected.items():
        if key not in shapes:
            raise FileError(f"{shown(path)}: key '{key}' is missing")
        if shapes[key] != tuple(value.shape):
            raise FileError(
                f"{shown(path)}: key '{key}' has shape {shapes[key]}, policy.yaml asks for "
                f'{tuple(value.shape)}'
            )
    for key in shapes:
        if key not in expected:
            raise FileError(f"{shown(path)}: key '{shown(key)}' does not belong to a {kind}")


def usable_weight(where: str, weight: Tensor, like: Tensor | None = None) -> Tensor:
    """A weight as its model computes with it: float32, or whole numbers as they are.

    Args:
        where: what begins the line of an error: "FILE: key 'KEY'".
        weight: as it is in the file.
        like: what the model has there, if that is known.

    Raises:
        UserError: it is of another kind of numbers, not finite, or float32 cannot hold it.
    """
    if weight.layout is not torch.strided:
        raise UserError(f'{where} is a {weight.layout} tensor, expected a plain one')
    floats = weight.dtype in _FLOATS
    if not floats and weight.dtype not in _WHOLE:
        raise UserError(f'{where} is of {weight.dtype}, expected numbers')
    if like is not None and like.is_floating_point() != floats:
        raise UserError(f'{where} is of {weight.dtype}, expected {like.dtype}')
    if not floats:
        return weight if like is None else weight.to(like.dtype)
    if not _all_finite(weight):
        raise UserError(f'{where} holds values that are not finite')
    single = weight.float()
    if weight.dtype == torch.float64 and not _all_finite(single):
        greatest = float(weight.abs().max())
        raise UserError(f'{where} goes up to {greatest:g}, float32 to {torch.finfo().max:g}')
    if where.rstrip("'").endswith(VARIANCE) and bool((single < 0).any()):
        raise UserError(f'{where} holds variances below 0')
    return single


def check_claim(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are larger than their file: one value can claim to be a million.

    Raises:
        UserError: naming the key.
    """
    room = 4 * path.stat().st_size  # a weight may stand under several names
    for key, tensor in tensors.items():
        room -= math.prod(tensor.shape) * tensor.element_size()
        if room < 0:
            raise UserError(
                f"{shown(path)}: '{shown(key)}' of shape {tuple(tensor.shape)} is larger than the "
                'file that holds it'
            )


def _one_line(error: Any) -> str:
    return shown(' '.join(str(error).split()))[:200]


def _all_finite(values: Tensor) -> bool:
    """Whether none of some floating-point values (any shape) is infinite or NaN."""
    if values.dtype != torch.float32 or not values.numel():
        return bool(torch.isfinite(values).all())
    # A NaN is the least and the greatest of all, and this makes no mask as large as the values.
    return all(math.isfinite(end) for end in values.aminmax())
