# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Saved pre- and postprocessors of LeRobot's policies: what each of their steps does here.

A step is carried over, or does nothing to the numbers; any other that is switched on is refused by
its name, since the policy would give other answers without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motion_policy.documents import read_json
from motion_policy.errors import UserError
from motion_policy.files import is_there, shown

INPUT_STEP, OUTPUT_STEP = 'normalizer_processor', 'unnormalizer_processor'
PROCESSORS = {INPUT_STEP: 'policy_preprocessor', OUTPUT_STEP: 'policy_postprocessor'}

EPSILON = 1e-8  # LeRobot divides by the standard deviation plus this
MOST_EPSILON = 1e-7  # more would change answers, and is not carried over
MOST_PIXELS = 16384

# Numbers stay as they are: batches have one entry, devices are chosen where the policy runs.
NOTHING = frozenset(
    {
        'to_batch_processor',
        'to_batch_processor_action',
        'to_batch_processor_observation',
        'to_batch_processor_complementary_data',
    }
)
_WHOLE_FLOATS = (None, 'float', 'float32', 'double', 'float64')
_HALF_FLOATS = ('half', 'float16', 'bfloat16')


@dataclass
class Pipeline:
    """What the steps of one side do.

    Attributes:
        file: where they are listed.
        state_file: name of the file with the statistics.
        modes: ways of normalising, by type of feature.
        types: type of every feature that is normalised; None: of all that have statistics.
        only: observations that are normalised; None: all.
        epsilon: what is added to a standard deviation.
        renamed: the policy's names of observations, by those that LeRobot's robot has.
        crops: x, y, width and height of the part of a camera's images that counts, by its name.
        resized: height and width that images are brought to after.
        action_names: names of the columns of actions.
        relative: whether actions are less the state, on this side.
        excluded: what the names of actions hold that are not.
        notes: in one line each what was carried over, or is off.
    """

    file: Path
    state_file: str = ''
    modes: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] | None = None
    only: tuple[str, ...] | None = None
    epsilon: float = EPSILON
    renamed: dict[str, str] = field(default_factory=dict)
    crops: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    resized: tuple[int, int] | None = None
    action_names: tuple[str, ...] = ()
    relative: bool = False
    excluded: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def read_pipeline(folder: Path, side: str) -> Pipeline | None:
    """Read the processor of one side, `INPUT_STEP` or `OUTPUT_STEP`; None: there is none.

    Raises:
        UserError: it is damaged, or a step that is switched on cannot be carried over.
    """
    file = folder / f'{PROCESSORS[side]}.json'
    if not is_there(file):
        return None
    steps = read_json(file).get('steps')
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise UserError(f'{file}: steps is no list of steps')
    found = Pipeline(file)
    scalings = [step for step in steps if step.get('registry_name') == side]
    if len(scalings) != 1 or not isinstance(scalings[0].get('state_file'), str):
        raise UserError(f"{file}: has {len(scalings)} steps '{side}' with statistics, expected 1")
    for step in steps:
        _take(step, found, side)
    return found


def _take(step: Mapping[str, Any], found: Pipeline, side: str) -> None:
    name = step.get('registry_name', step.get('class'))
    config = step.get('config', {})
    if not isinstance(name, str) or not isinstance(config, dict):
        raise UserError(f'{found.file}: a step is {str(dict(step))[:80]!r}, expected name, config')
    where = f"{found.file}: step '{_shown(name)}'"
    if 'registry_name' in step and name in NOTHING:
        return
    take = TAKEN[side].get(name) if 'registry_name' in step else None
    if take is not None:
        take(step, found, where)
    elif config.get('enabled') is False:
        found.notes.append(f'{where} is switched off there, and left out')
    else:
        raise UserError(
            f'{where} is none that can be carried over: without it the policy would give other '
            f'actions; expected {", ".join(sorted({*NOTHING, *TAKEN[side]}))}'
        )


def _normalise(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    config = step.get('config', {})
    # Only a name: a path would lead out of the folder.
    found.state_file = Path(step['state_file']).name
    found.modes = _mapping(config.get('norm_map'), f'{where}: norm_map')
    epsilon = config.get('eps', EPSILON)
    if not _is_number(epsilon) or not 0 <= epsilon <= MOST_EPSILON:
        raise UserError(
            f'{where}: eps is {epsilon!r:.40}, expected a number from 0 to {MOST_EPSILON:g}'
        )
    found.epsilon = float(epsilon)
    if config.get('features') is not None:
        features = _mapping(config['features'], f'{where}: features')
        found.types = {
            key: str(_mapping(value, f'{where}: features: {key}').get('type'))
            for key, value in features.items()
        }
    only = config.get('normalize_observation_keys')
    if only is not None:
        found.only = _texts(only, f'{where}: normalize_observation_keys')


def _rename(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    renamed = _mapping(step.get('config', {}).get('rename_map'), f'{where}: rename_map')
    _texts(list(renamed.values()), f'{where}: rename_map')
    if renamed and (found.renamed or found.state_file):
        raise UserError(f'{where} stands behind another or the normaliser, expected it before')
    if len(set(renamed.values())) != len(renamed):
        raise UserError(f'{where}: two observations get one name: {renamed}')
    found.crops = {str(renamed.get(name, name)): crop for name, crop in found.crops.items()}
    found.renamed = {str(theirs): str(ours) for theirs, ours in renamed.items()} or found.renamed


def _device(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    kind = step.get('config', {}).get('float_dtype')
    if kind in _HALF_FLOATS:
        found.notes.append(f'{where} rounds to {kind} there, numbers here are float32')
    elif kind not in _WHOLE_FLOATS:
        raise UserError(f'{where}: float_dtype is {kind!r:.40}')


def _crop_and_resize(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    config = step.get('config', {})
    crops = _mapping(config.get('crop_params_dict'), f'{where}: crop_params_dict')
    size = config.get('resize_size')
    if not crops and size is None:
        return
    if found.crops or found.resized or found.state_file:
        raise UserError(f'{where} stands behind another or the normaliser, expected it before')
    for name, crop in crops.items():
        if not _are_pixels(crop, 4) or min(crop[2:]) < 1:
            raise UserError(
                f'{where}: crop of {_shown(name)} is {crop!r:.60}, expected '
                'top, left, height, width'
            )
        top, left, height, width = crop
        found.crops[name] = left, top, width, height
        found.notes.append(f'{where}: crop {list(found.crops[name])} of {_shown(name)}')
    if size is None:
        return
    if not _are_pixels(size, 2) or min(size) < 1:
        raise UserError(f'{where}: resize_size is {size!r:.40}, expected height and width')
    found.resized = (size[0], size[1])
    found.notes.append(f'{where}: images are resized to {size[0]}x{size[1]} (height x width)')


def _relative(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    """Actions that are taught less the state, as it is before it is normalised."""
    config = step.get('config', {})
    found.relative = _is_on(config, where)
    if found.relative and found.state_file:
        raise UserError(f'{where} stands behind the normaliser, expected it before')
    if config.get('exclude_joints'):
        found.excluded = _texts(config['exclude_joints'], f'{where}: exclude_joints')
    if config.get('action_names') is not None:
        found.action_names = _texts(config['action_names'], f'{where}: action_names')


def _absolute(step: Mapping[str, Any], found: Pipeline, where: str) -> None:
    """The state is added to what the policy answers, after that is normalised no more."""
    found.relative = _is_on(step.get('config', {}), where)
    if found.relative and not found.state_file:
        raise UserError(f'{where} stands before the unnormaliser, expected it behind')
    if found.relative:
        found.notes.append(
            f'{where}: actions count from the joints at the observation of their chunk; LeRobot '
            'counts those that wait in its queue from the newest'
        )


def _is_on(config: Mapping[str, Any], where: str) -> bool:
    enabled = config.get('enabled', False)
    if not isinstance(enabled, bool):
        raise UserError(f'{where}: enabled is {enabled!r:.40}, expected true or false')
    return enabled


Take = Callable[[Mapping[str, Any], Pipeline, str], None]
TAKEN: dict[str, dict[str, Take]] = {
    INPUT_STEP: {
        'rename_observations_processor': _rename,
        'device_processor': _device,
        'image_crop_resize_processor': _crop_and_resize,
        'relative_actions_processor': _relative,
        INPUT_STEP: _normalise,
    },
    OUTPUT_STEP: {
        'device_processor': _device,
        'absolute_actions_processor': _absolute,
        OUTPUT_STEP: _normalise,
    },
}


def _mapping(content: Any, what: str) -> dict[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f'{what} is {str(content)[:40]!r}, expected names and values')
    return content


def _are_pixels(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) is int and 0 <= value <= MOST_PIXELS for value in values)
    )


def _texts(content: Any, what: str) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(text, str) for text in content):
        raise UserError(f'{what} is {str(content)[:40]!r}, expected names')
    return tuple(content)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(name: object) -> str:
    return shown(name)[:100]
