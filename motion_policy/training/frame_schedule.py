# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Schedules of a frame predictor: weight of the KL divergence, scheduled sampling.

Pure functions of the epoch, so a resumed run needs no counters.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from motion_policy.declared import Declared

Annealing = Literal['constant', 'monotonic', 'cyclical']


class KLConfig(Declared):
    """The weight (beta) of the KL divergence, and how it rises (Fu et al., arXiv:1903.10145).

    The image error is a mean over pixels and the divergence a sum over latents: 1e-4 leaves the
    latents much to say, 1.0 next to nothing.
    """

    weight: float = Field(default=1e-4, ge=0, description='beta, once it has risen')
    annealing: Annealing = Field(
        default='constant', description='or rising once, or anew in every cycle'
    )
    start: float = Field(default=0.0, ge=0, le=1, description='share of it at which a rise begins')
    ratio: float = Field(default=0.5, gt=0, le=1, description='share of a cycle in which it rises')
    cycles: int = Field(default=3, ge=1, description='of cyclical annealing in the whole run')

    def share(self, epoch: int, epochs: int) -> float:
        """The share of the weight in an epoch of a run of so many."""
        if self.annealing == 'constant':
            return 1.0
        period = epochs / (self.cycles if self.annealing == 'cyclical' else 1)
        risen = min(1.0, (epoch % period) / (self.ratio * period))
        return self.start + (1.0 - self.start) * risen


class TeacherForcingConfig(Declared):
    """The share of batches in which every step sees the recorded frame before it.

    Scheduled sampling (Bengio et al., arXiv:1506.03099), drawn once for a whole batch.
    """

    ratio: float = Field(default=1.0, ge=0, le=1, description='at first')
    decay_from: int | None = Field(
        default=None, ge=0, description='epoch from which it falls; unset: never'
    )
    lowest: float = Field(default=0.0, ge=0, le=1, description='in the last epoch')

    def share(self, epoch: int, epochs: int) -> float:
        """The ratio in an epoch of a run of so many; it falls along a line."""
        if self.decay_from is None or epoch <= self.decay_from:
            return self.ratio
        fallen = (epoch - self.decay_from) / max(1, epochs - 1 - self.decay_from)
        return max(self.lowest, self.ratio + (self.lowest - self.ratio) * fallen)


class PredictionConfig(Declared):
    """How a frame predictor is trained."""

    kl: KLConfig = KLConfig()
    teacher_forcing: TeacherForcingConfig = TeacherForcingConfig()
    clips_per_epoch: int | None = Field(
        default=None, ge=1, description='drawn anew for each epoch; unset: from every start'
    )
    validation_clips: int = Field(
        default=64, ge=1, description='of all that may be judged on, evenly spread'
    )
