# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Clips for the evaluation of a frame predictor: consecutive frames, actions and positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.evaluation.recordings import RecordedRow, RecordedRun
from motion_policy.policies import Model


@dataclass(frozen=True)
class Clip:
    """T rows of one recording.

    Attributes:
        name, row: the recording, and its row at which the clip begins.
        frames: (T, H, W, 3) uint8.
        actions, positions: (T, J) float32 in robot units.
    """

    name: str
    row: int
    frames: Tensor
    actions: Tensor
    positions: Tensor

    @property
    def ways(self) -> Tensor:
        """What was commanded, as a way from where the joints were, (T, J)."""
        return self.actions - self.positions


def clips_of(
    recordings: Sequence[RecordedRun], model: Model, length: int, every: int = 0
) -> Iterator[Clip]:
    """The clips of `length` frames, in the order of the recordings.

    Args:
        recordings: of the model's robot.
        model: whose rate and camera it is.
        length: frames.
        every: frames from one clip to the next of a recording; 0: only its first.

    Raises:
        UserError: a rate of which the model's is no whole part, no actions, or a recording that
            is too short for a clip.
    """
    for recording in recordings:
        rows = _rows(recording, model, length if every == 0 else None)
        if len(rows) < length:
            raise UserError(
                f'{recording.name}: has {len(rows)} frames at {model.spec.rate:g} Hz, expected '
                f'{length} or more: those that are seen and those that are predicted'
            )
        stride = _stride(recording, model)
        for start in range(0, len(rows) - length + 1, every) if every else (0,):
            yield _clip(recording, start * stride, rows[start : start + length])


def whole_clips(recordings: Sequence[RecordedRun], model: Model) -> Iterator[Clip]:
    """One clip of every recording, as long as it is. Raises as `clips_of`."""
    for recording in recordings:
        yield _clip(recording, 0, _rows(recording, model, None))


def _clip(recording: RecordedRun, row: int, rows: list[tuple[Any, Any, Any]]) -> Clip:
    columns = zip(*rows, strict=True)
    frames, actions, positions = (torch.from_numpy(np.stack(one)) for one in columns)
    return Clip(recording.name, row, frames, actions, positions)


def _rows(recording: RecordedRun, model: Model, limit: int | None) -> list[tuple[Any, Any, Any]]:
    """Frame, action and position of each row at the model's rate."""
    stride = _stride(recording, model)
    rows: list[tuple[Any, Any, Any]] = []
    for index, row in enumerate(recording.rows()):
        if index % stride:
            continue
        if limit is not None and len(rows) == limit:
            break
        frame = row.observe().images[model.cameras[0]]
        rows.append((np.asarray(frame), _action(recording, row), row.qpos))
    return rows


def _action(recording: RecordedRun, row: RecordedRow) -> Any:
    if row.action is None:
        raise UserError(f'{recording.name}: holds no actions, which a frame predictor is told')
    return row.action


def _stride(recording: RecordedRun, model: Model) -> int:
    ratio = recording.rate_hz / model.spec.rate
    stride = round(ratio)
    if stride < 1 or abs(ratio - stride) > 1e-6:
        raise UserError(
            f'{recording.name}: has {recording.rate_hz:g} Hz, expected a multiple of the '
            f'{model.spec.rate:g} Hz of {model.source}'
        )
    return stride
