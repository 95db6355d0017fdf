# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Attributes that other tools add to an ALOHA file: rate, task, success.

ALOHA's own tools write `sim` and `compress` only. What is not understood is named, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.untimed import FASTEST_HZ
from motion_policy.episodes.hdf5.file import HdfFile
from motion_policy.files import shown

# What our export says, which other tools pass over.
JOINT_NAMES, RATE, TASK = 'joint_names', 'rate', 'task'
SUCCESS, OPERATOR = 'success', 'operator'

RATES = ('fps', RATE, 'hz', 'frequency', 'control_frequency', 'control_freq', 'control_hz')
PERIODS = ('dt',)  # in seconds
TASKS = (TASK, 'task_name', 'language_instruction', 'instruction', 'task_description')
_READ_ELSEWHERE = ('sim', 'compress', JOINT_NAMES)


@dataclass(frozen=True)
class AlohaAttributes:
    """What a file says of its demonstration; None or empty where it says nothing.

    `rate` is in Hz, `rate_said_by` the attribute that has it; `left_out` names each attribute that
    is not understood, and why, if its name is known. `two_rates` says which others contradict it.
    """

    rate: float | None
    rate_said_by: str
    task: str
    operator: str
    success: bool | None
    left_out: tuple[str, ...]
    two_rates: str = ''


def read_attributes(file: HdfFile) -> AlohaAttributes:
    """Read the attributes of a file."""
    left_out: list[str] = []
    unknown: list[str] = []
    found: dict[str, Any] = {}
    for name in file.attribute_names():
        plain = name.lower()
        if name in _READ_ELSEWHERE:
            continue
        kind = _KINDS.get(plain)
        if kind is None:
            unknown.append(shown(name))
            continue
        try:
            value = _number(file, name) if kind == 'number' else file.attribute(name, kind)
        except EpisodeError as error:
            reason = str(error).partition(f"attribute '{name}' ")[2]
            left_out.append(f'attribute {shown(name)} ({reason or "cannot be read"})')
            continue
        if kind == 'number':
            value = 1 / value if plain in PERIODS and value else value
            if not 0 < value <= FASTEST_HZ:
                left_out.append(f'attribute {shown(name)} (it gives {value:g} Hz)')
                continue
        found[name] = value
    rates = {name: value for name, value in found.items() if name.lower() in (*RATES, *PERIODS)}
    by, rate = next(iter(rates.items()), ('', None))
    two_rates = next(
        (
            f"attribute '{by}' gives {rate:g} Hz, '{name}' {value:g} Hz"
            for name, value in rates.items()
            if abs(value - rate) > 1e-3 * value
        ),
        '',
    )
    if unknown:
        left_out.append(f'attribute {", ".join(unknown)}')
    tasks = [found[name] for each in TASKS for name in found if name.lower() == each]
    named = {name.lower(): value for name, value in found.items()}
    return AlohaAttributes(
        rate,
        by,
        next(filter(None, tasks), ''),
        named.get(OPERATOR, ''),
        named.get(SUCCESS),
        tuple(left_out),
        two_rates,
    )


def _number(file: HdfFile, name: str) -> float:
    """A number, which may be told as text. Raises EpisodeError: it is none."""
    try:
        return float(file.attribute(name, 'text'))
    except (EpisodeError, ValueError):
        return float(file.attribute(name, 'number'))


_KINDS = {
    **dict.fromkeys((*RATES, *PERIODS), 'number'),
    **dict.fromkeys((*TASKS, OPERATOR), 'text'),
    SUCCESS: 'judgement',
}
