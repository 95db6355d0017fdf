# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reader of weights that EIPL's trainers leave: `MODEL.pth`, and `args.json` beside it.

Nothing in either is executed: of a pickle only tensors, numbers and text are taken, any other
content is refused with one line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from motion_policy.documents import read_json
from motion_policy.errors import UserError
from motion_policy.files import is_there
from motion_policy.policies.convert.torch_files import float_weights, read_torch_file

ARGUMENTS_FILE = 'args.json'
FAMILIES = (
    'BasicCAE', 'CAE', 'BasicCAEBN', 'CAEBN', 'BasicLSTM', 'BasicMTRNN', 'CNNRNN', 'CNNRNNLN',
    'SARNN',
)  # fmt: skip

GRID = 'issm.pos_xy'  # (2, H - 6, W - 6): the one place that tells SARNN's image size
POSITIONS = ('pos_encoder.6.pos_x', 'pos_encoder.6.pos_y', GRID)


@dataclass(frozen=True)
class EiplWeights:
    """The weights of one model of EIPL, float32, under its own keys, without position buffers.

    `grid` is (H - 6, W - 6) of a SARNN that says so. `arguments` are those of the training run,
    empty without `args.json`. `metrics` are the epoch and losses that stand in the file.
    """

    path: Path
    family: str
    weights: dict[str, Tensor]
    grid: tuple[int, int] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    arguments_path: Path | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def size(self, key: str, axis: int = 0) -> int:
        """The length of one axis of a weight. Raises UserError when it is not there."""
        weight = self.weights.get(key)
        if weight is None or weight.ndim <= axis:
            found = 'no such key' if weight is None else f'shape {tuple(weight.shape)}'
            raise UserError(f"{self.path}: '{key}' of a {self.family}: found {found}")
        return int(weight.shape[axis])

    def number(self, name: str, default: float, assumed: dict[str, float]) -> float:
        """An argument of the training run, or the default, which `assumed` then tells."""
        value = self.arguments.get(name)
        if value is None:
            assumed[name] = default
            return default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise UserError(f'{self.arguments_path}: {name} is {value!r}, expected a number')
        return float(value)

    def assumption(self, assumed: dict[str, float]) -> str:
        """Say in one line what was assumed, and why."""
        where = f'{self.arguments_path} does not say it'
        if self.arguments_path is None:
            where = f'there is no {ARGUMENTS_FILE} beside it'
        values = ', '.join(f'{name} {value:g}' for name, value in assumed.items())
        return f'{self.path}: assumed {values}, the defaults of EIPL: {where}'


def read_eipl_weights(path: str | Path, arguments: str | Path | None = None) -> EiplWeights:
    """Read a checkpoint of EIPL, or a plain state dict of one of its models.

    Args:
        path: the `.pth` file.
        arguments: its `args.json`; default: the one beside it, if there is one.

    Raises:
        UserError: no such file, not such a file, or it would have to run code to be read.
    """
    source = Path(path)
    content = read_torch_file(source, '.pth file of EIPL')
    state = content.get('model_state_dict', content)
    kept = float_weights(source, state)
    grid = kept.get(GRID)
    for key in POSITIONS:
        kept.pop(key, None)
    file = source.with_name(ARGUMENTS_FILE) if arguments is None else Path(arguments)
    found_file = file if arguments is not None or is_there(file) else None
    return EiplWeights(
        path=source,
        family=_family(source, kept),
        weights=kept,
        grid=None if grid is None or grid.ndim != 3 else (grid.shape[1], grid.shape[2]),
        arguments={} if found_file is None else read_json(found_file),
        arguments_path=found_file,
        metrics=_metrics(content),
    )


def _family(path: Path, weights: dict[str, Tensor]) -> str:
    """Which model has these keys."""
    if 'pos_encoder.0.weight' in weights:
        return 'SARNN'
    if 'encoder_image.0.weight' in weights:
        return 'CNNRNNLN' if 'encoder_image.19.weight' in weights else 'CNNRNN'
    if 'mtrnn.i2f.weight' in weights:
        return 'BasicMTRNN'
    if 'rnn.weight_ih' in weights:
        return 'BasicLSTM'
    first = weights.get('encoder.0.weight')
    if first is not None and first.ndim == 4:
        size = 'Basic' if first.shape[-1] == 3 else ''
        return f'{size}CAE{"BN" if "encoder.1.running_mean" in weights else ""}'
    found = ', '.join(map(str, list(weights)[:4])) or 'nothing'
    raise UserError(f'{path}: has the keys {found}, ...; expected those of {", ".join(FAMILIES)}')


def _metrics(content: dict[str, Any]) -> dict[str, float]:
    """The numbers beside the weights, those that are finite."""
    found: dict[str, float] = {}
    for name in ('epoch', 'train_loss', 'test_loss'):
        value = content.get(name)
        if isinstance(value, int | float | np.number) and math.isfinite(value):
            found[name] = float(value)
    return found
