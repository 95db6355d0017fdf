# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Calibrated limits of prediction errors, as they stand in a checkpoint.

The limits come from episodes that the checkpoint did not learn from, and that went well.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from motion_policy.declared import Declared


class ForesightLimits(Declared):
    """Limits of the errors of a prediction, by channel and by how far ahead it is."""

    floor: float = Field(gt=0, description='added to what errors are divided by')
    scales: dict[str, tuple[float, ...]] = Field(
        description='usual errors of each channel, one for each step ahead'
    )
    threshold: float = Field(gt=0, description='so many times the scale is the limit')
    alpha: float = Field(gt=0, lt=1, description='share of good episodes that may alarm')
    episodes: int = Field(ge=1, description='on which scales and threshold rest')
    source: str = Field(description='what these episodes were')

    @model_validator(mode='after')
    def _usable(self) -> ForesightLimits:
        if not self.scales:
            raise ValueError('scales: empty, expected at least one channel')
        for name, scales in self.scales.items():
            if not scales or not all(scale > 0 for scale in scales):
                raise ValueError(f"scales of '{name}': {list(scales)}, expected more than 0 each")
        return self

    def limit(self, channel: str, step: int) -> float:
        """Of the error `step` >= 1 frames after the prediction; the last known one beyond it."""
        scales = self.scales[channel]
        return self.threshold * scales[min(step, len(scales)) - 1]
