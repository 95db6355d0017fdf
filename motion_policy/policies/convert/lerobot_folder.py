# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reader and writer of the folder in which LeRobot keeps a policy.

`config.json`, `model.safetensors`, and the statistics: since 0.4 in the files of a pre- and a
postprocessor, before that among the weights. All of it is JSON and tensors; nothing is executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import Tensor

from motion_policy.documents import read_json
from motion_policy.errors import UserError
from motion_policy.files import is_there, new_folder, shown
from motion_policy.policies.convert.lerobot_processors import (
    EPSILON,
    INPUT_STEP,
    OUTPUT_STEP,
    PROCESSORS,
    Pipeline,
    read_pipeline,
)
from motion_policy.policies.weights_file import read_tensors, usable_weight

CONFIG_FILE = 'config.json'
WEIGHTS_FILE = 'model.safetensors'
TRAIN_CONFIG_FILE = 'train_config.json'
STATE, ACTION = 'observation.state', 'action'
IMAGE = 'observation.images.'

# Below this deviation the epsilon changes what a network sees by more than 1e-5 of it.
SMALL = 1e-3

# Two statistics for each way of normalising; but for the first they become -1 and 1.
MODES = {
    'MEAN_STD': ('mean', 'std'),
    'MIN_MAX': ('min', 'max'),
    'QUANTILES': ('q01', 'q99'),
    'QUANTILE10': ('q10', 'q90'),
}
# Of a configuration that does not say how it normalises.
MEAN_STD = dict.fromkeys(('VISUAL', 'STATE', 'ACTION'), 'MEAN_STD')
_OLD_PREFIXES = ('normalize_inputs.', 'unnormalize_outputs.', 'normalize_targets.')


@dataclass(frozen=True)
class Affine:
    """Per value, what becomes 0 and how much becomes 1 more; in robot units, or of [0, 1]."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class SideNormalisation:
    """How one side of a policy normalises: modes by type of feature, numbers by feature.

    `types` has the features that are normalised, `only` observations that are; None: all. The
    numbers are tensors (...) of any shape, with as many values as the feature has.
    """

    where: str
    modes: Mapping[str, str]
    values: Mapping[str, Mapping[str, Tensor]]
    epsilon: float = EPSILON
    types: Mapping[str, str] | None = None
    only: tuple[str, ...] | None = None

    def of(self, feature: str, kind: str, size: int) -> Affine:
        """The normalisation of a feature of `size` values (the colours of an image are 3).

        Raises:
            UserError: the statistics are missing, or are of another size.
        """
        mode = self._mode(feature, kind)
        if mode == 'IDENTITY':
            return Affine((0.0,) * size, (1.0,) * size)
        if mode not in MODES:
            expected = ', '.join((*MODES, 'IDENTITY'))
            raise UserError(
                f"{self.where}: {feature} is normalised by '{shown(mode)}', expected {expected}"
            )
        first, second = (self._numbers(feature, name, size) for name in MODES[mode])
        if mode == 'MEAN_STD':
            pairs = zip(first.tolist(), second.tolist(), strict=True)
            both = [(_short(mean), self._scale(std)) for mean, std in pairs]
            return Affine(tuple(mean for mean, _ in both), tuple(std for _, std in both))
        span = second - first
        half = torch.where(span == 0, span + self.epsilon, span) / 2
        return Affine(tuple((first + half).tolist()), tuple(half.tolist()))

    def ends(self, feature: str, size: int) -> npt.NDArray[np.float64] | None:
        """Least and greatest values of the data, (2, size), where the file says them."""
        found = [self.values.get(feature, {}).get(name) for name in ('min', 'max')]
        kept = [value for value in found if value is not None and value.numel() == size]
        if len(kept) != 2:
            return None
        return torch.stack([value.reshape(-1).double() for value in kept]).numpy()

    def _mode(self, feature: str, kind: str) -> str:
        if feature != ACTION:
            if self.types is not None:
                kind = self.types.get(feature, '')
            if not kind or (self.only is not None and feature not in self.only):
                return 'IDENTITY'
        return str(self.modes.get(feature, self.modes.get(kind, 'IDENTITY'))).upper()

    def _scale(self, std: float) -> float:
        return _short(std) if std >= SMALL else std + self.epsilon

    def _numbers(self, feature: str, name: str, size: int) -> Tensor:
        value = self.values.get(feature, {}).get(name)
        if value is None:
            raise UserError(f"{self.where}: '{feature}.{name}' is missing")
        if value.numel() != size:
            raise UserError(
                f"{self.where}: '{feature}.{name}' has {value.numel()} values, expected {size}"
            )
        return value.reshape(-1).double()


@dataclass(frozen=True)
class LeRobotFolder:
    """What a folder holds. `weights` are float32, without the statistics; `inputs` and `outputs`
    say how observations and actions are normalised. `renamed` are observations that the policy
    knows by another name, `crops` are parts of images that count (x, y, width, height), `resized`
    is what they are brought to (height, width), `action_names`
    are those of the columns of actions, `rate` [Hz] is that of the environment it was trained
    for, each if any. With `relative` actions are less the state, but for columns whose names hold
    one of `excluded`. `notes` say what its processors do.
    """

    path: Path
    config: dict[str, Any]
    weights: dict[str, Tensor]
    inputs: SideNormalisation
    outputs: SideNormalisation
    renamed: dict[str, str]
    rate: float | None
    crops: Mapping[str, tuple[int, int, int, int]]
    resized: tuple[int, int] | None
    action_names: tuple[str, ...]
    relative: bool
    excluded: tuple[str, ...]
    notes: tuple[str, ...]


def read_lerobot_folder(path: str | Path) -> LeRobotFolder:
    """Read a policy that LeRobot saved, of any version.

    Raises:
        UserError: no such folder, or it holds something else.
    """
    folder = Path(path)
    if folder.is_dir() and (folder / 'pretrained_model' / CONFIG_FILE).is_file():
        folder = folder / 'pretrained_model'  # as a training run of LeRobot leaves it
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise UserError(f'{folder}: not a policy of LeRobot, it has no {name}')
    config = read_json(folder / CONFIG_FILE)
    weights, old = _split(folder / WEIGHTS_FILE)
    before, after = (read_pipeline(folder, side) for side in (INPUT_STEP, OUTPUT_STEP))
    sides = [side is not None and side.relative for side in (before, after)]
    if sides[0] != sides[1]:
        named = [f'{folder / PROCESSORS[side]}.json' for side in (INPUT_STEP, OUTPUT_STEP)]
        on, off = named if sides[0] else named[::-1]
        raise UserError(
            f'{on}: actions are relative to the state, in {off} they are not; expected '
            'relative_actions_processor and absolute_actions_processor both on, or both off'
        )
    return LeRobotFolder(
        folder,
        config,
        weights,
        inputs=_statistics(folder, config, INPUT_STEP, before, old),
        outputs=_statistics(folder, config, OUTPUT_STEP, after, old),
        renamed=before.renamed if before else {},
        rate=_rate(folder),
        crops=before.crops if before else {},
        resized=before.resized if before else None,
        action_names=before.action_names if before else (),
        relative=sides[0],
        excluded=before.excluded if before else (),
        notes=tuple(note for side in (before, after) if side for note in side.notes),
    )


def write_lerobot_folder(
    path: Path,
    config: dict[str, Any],
    weights: dict[str, Tensor],
    statistics: Mapping[str, Affine],
    also: Mapping[str, str],
) -> None:
    """Write a folder as LeRobot 0.4 and later read it.

    Args:
        statistics: mean and standard deviation by feature.
        also: further files, name to text.

    Raises:
        UserError: a folder of that name holds anything else.
    """
    features = {**config['input_features'], **config['output_features']}
    common = {'eps': EPSILON, 'norm_map': config['normalization_mapping']}
    place = {'device': 'cpu', 'float_dtype': None}
    device = {'registry_name': 'device_processor', 'config': place}
    names = [f'{PROCESSORS[INPUT_STEP]}_step_3_{INPUT_STEP}.safetensors']
    names += [f'{PROCESSORS[OUTPUT_STEP]}_step_0_{OUTPUT_STEP}.safetensors']
    before = [
        {'registry_name': 'rename_observations_processor', 'config': {'rename_map': {}}},
        {'registry_name': 'to_batch_processor', 'config': {}},
        device,
        {
            'registry_name': INPUT_STEP,
            'config': {**common, 'features': features},
            'state_file': names[0],
        },
    ]
    after = [
        {
            'registry_name': OUTPUT_STEP,
            'config': {**common, 'features': config['output_features']},
            'state_file': names[1],
        },
        device,
    ]
    texts = {
        CONFIG_FILE: _json(config),
        **{
            f'{name}.json': _json({'name': name, 'steps': steps})
            for name, steps in zip(PROCESSORS.values(), (before, after), strict=True)
        },
        **also,
    }
    numbers = save(_tensors(config, statistics), metadata={'format': 'pt'})
    held = (*texts, *names, WEIGHTS_FILE)
    with new_folder(path, may_hold=held, what='a policy of LeRobot') as part:
        (part / WEIGHTS_FILE).write_bytes(save(weights, metadata={'format': 'pt'}))
        for name in names:
            (part / name).write_bytes(numbers)
        for name, text in texts.items():
            (part / name).write_text(text, encoding='utf-8')


def _tensors(config: dict[str, Any], statistics: Mapping[str, Affine]) -> dict[str, Tensor]:
    """The statistics as LeRobot names and shapes them."""
    found = {}
    for feature, values in statistics.items():
        shape = (3, 1, 1) if feature.startswith(IMAGE) else (-1,)
        scale = torch.tensor(values.scale, dtype=torch.float64)
        std = torch.where(scale >= SMALL, scale, (scale - EPSILON).clamp(min=0))
        mean = torch.tensor(values.offset, dtype=torch.float64)
        found[f'{feature}.mean'] = mean.float().reshape(shape)
        found[f'{feature}.std'] = std.float().reshape(shape)
    return found


def _split(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights, and the statistics that versions before 0.4 kept among them."""
    tensors = _read_tensors(path)
    old = {key: value for key, value in tensors.items() if key.startswith(_OLD_PREFIXES)}
    return {key: value for key, value in tensors.items() if key not in old}, old


def _read_tensors(path: Path) -> dict[str, Tensor]:
    return {
        key: usable_weight(f"{path}: '{shown(key)}'", value).clone()
        for key, value in read_tensors(path).items()
    }


def _statistics(
    folder: Path,
    config: dict[str, Any],
    step: str,
    pipeline: Pipeline | None,
    old: dict[str, Tensor],
) -> SideNormalisation:
    """The statistics of one side."""
    if pipeline is None:
        if not old:
            raise UserError(
                f'{folder}: no statistics: it has no {PROCESSORS[step]}.json, and {WEIGHTS_FILE} '
                'holds none'
            )
        return _old_statistics(folder, config, old)
    state = folder / pipeline.state_file
    values: dict[str, dict[str, Tensor]] = {}
    for key, value in _read_tensors(state).items():
        feature, _, name = key.rpartition('.')
        values.setdefault(feature, {})[name] = value
    modes = pipeline.modes or _names(config.get('normalization_mapping', MEAN_STD))
    return SideNormalisation(
        str(state), modes, values, pipeline.epsilon, pipeline.types, pipeline.only
    )


def _old_statistics(
    folder: Path, config: dict[str, Any], old: dict[str, Tensor]
) -> SideNormalisation:
    """Buffers such as `normalize_inputs.buffer_observation_state.mean`, dots as underscores."""
    features = [STATE, ACTION]
    for key in ('input_features', 'input_shapes'):
        features += list(_names(config.get(key)))
    values: dict[str, dict[str, Tensor]] = {}
    for key, value in old.items():
        place, _, name = key.rpartition('.')
        buffer = place.partition('.buffer_')[2]
        for feature in features:
            if feature.replace('.', '_') == buffer:
                values.setdefault(feature, {})[name] = value
    earlier = ('input_normalization_modes', 'output_normalization_modes')
    default = {} if any(key in config for key in earlier) else MEAN_STD
    modes = dict(_names(config.get('normalization_mapping', default)))
    for key in earlier:
        modes |= _names(config.get(key))
    return SideNormalisation(str(folder / WEIGHTS_FILE), modes, values)


def _rate(folder: Path) -> float | None:
    """Steps per second of the environment that it was trained in, if it says so."""
    file = folder / TRAIN_CONFIG_FILE
    environment = _names(read_json(file).get('env')) if is_there(file) else {}
    rate = environment.get('fps')
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        return None
    return float(rate) if math.isfinite(rate) and rate > 0 else None


def _short(number: float) -> float:
    """A float32 as the shortest decimal that means the same float32: 0.485, not 0.48500001."""
    short = float(str(np.float32(number)))
    return short if np.float32(short) == np.float32(number) else number


def _names(content: Any) -> dict[str, Any]:
    """A JSON value as names and values; none where it is something else."""
    return content if isinstance(content, dict) else {}


def _json(content: Any) -> str:
    return json.dumps(content, indent=2) + '\n'
