# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Row weights of corrections: what each row counts of rollouts in which a person took over.

Corrections count more than demonstrations, as in Intervention Weighted Regression (Mandlekar et
al., arXiv:2012.06733); what the policy did just before counts nothing, as in Sirius (Liu et al.,
arXiv:2211.08416); with `only` nothing that the policy did counts, as in HG-DAgger (Kelly et al.,
arXiv:1810.02890).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from motion_policy.episodes.rollouts import starts_of
from motion_policy.training.config_sections import InterventionsConfig


def row_weights(
    intervention: Tensor | None,
    length: int,
    rate_hz: float,
    config: InterventionsConfig,
    by_policy: Tensor | None = None,
) -> Tensor:
    """What each row counts (T,) float32.

    Args:
        intervention: (T,) bool, where a person drove; None for a demonstration.
        length: rows T of the episode.
        rate_hz: rows per second.
        config: what a correction counts, and what the rows before it.
        by_policy: (T,) bool, where the policy did; None: in all other rows. Rows of nobody (a
            ramp or a hold before the policy had anything) count nothing.
    """
    if intervention is None:
        return torch.ones(length)
    own = torch.full((length,), 0.0 if config.only else 1.0)
    if by_policy is not None:
        own[~by_policy] = 0.0
    for begin in starts_of(intervention.numpy()).tolist():
        own[max(0, begin - round(config.before * rate_hz)) : begin] = 0.0
    return torch.where(intervention, torch.tensor(config.weight), own)


def learnt_until(weights: Tensor, ends: Tensor) -> Tensor:
    """For each row (N,) the next one that counts nothing, or the end of its episode.

    Args:
        weights: (N,) of the rows of all episodes.
        ends: (N,) where the episode of each row ends.
    """
    rows = torch.arange(len(weights))
    stops = torch.where(weights > 0, torch.tensor(len(weights)), rows)
    nearest = stops.flip(0).cummin(0).values.flip(0)
    return torch.minimum(nearest, ends)


def pass_length(weights: Tensor) -> int:
    """Rows that one pass through all of them draws, by their weights (N,)."""
    return max(1, round(float(weights.double().sum())))


def spread_by_weight(weights: Tensor, count: int, offset: float = 0.5) -> Tensor:
    """Rows (count,) in order, each as often as its share of all weights (N,), to within one.

    Systematic resampling (Kitagawa, doi:10.2307/1390750): evenly spaced places on the line of all
    weights; `offset` in [0, 1) is the first of them.
    """
    ends = weights.double().cumsum(0)
    places = (torch.arange(count, dtype=torch.float64) + offset) * (ends[-1] / count)
    # Rounding must not lead past the last row that counts.
    places = places.clamp(max=float(torch.nextafter(ends[-1], ends.new_zeros(()))))
    return torch.searchsorted(ends, places, right=True)


@dataclass(frozen=True)
class Corrections:
    """What the training episodes hold of corrections.

    Attributes:
        episodes, rollouts: how many there are, and how many of them a policy drove.
        corrected: rollouts in which a person took over.
        interventions: how often a person took over.
        rows: that a person drove in rollouts.
        policy_rows: others of rollouts, which the policy drove.
        policy_rows_learnt: those of them that count.
        share: of the corrections in all that is learnt from, by weight.
    """

    episodes: int
    rollouts: int
    corrected: int
    interventions: int
    rows: int
    policy_rows: int
    policy_rows_learnt: int
    share: float

    def to_json(self) -> dict[str, Any]:
        """Every number as a plain value."""
        return {**asdict(self), 'share': float(f'{self.share:.6g}')}

    def line(self, config: InterventionsConfig) -> str:
        """In words, for who trains."""
        if not self.rollouts:
            return f'corrections: none, all {self.episodes} episodes are demonstrations'
        return (
            f'corrections: {self.interventions} in {self.corrected} of {self.episodes} episodes '
            f'({self.rollouts} rollouts), {self.rows} rows that count {config.weight:g} each: '
            f'{100 * self.share:.0f} % of what is learnt from; of {self.policy_rows} rows that '
            f'the policy drove {self.policy_rows_learnt} count'
        )


def count_corrections(
    interventions: Sequence[Tensor | None], weights: Sequence[Tensor]
) -> Corrections:
    """Counts of the training episodes, each (T,); the weights are those of `row_weights`."""
    pairs = [(i, w) for i, w in zip(interventions, weights, strict=True) if i is not None]
    total = sum(float(w.sum()) for w in weights)
    corrected = sum(float(w[i].sum()) for i, w in pairs)
    return Corrections(
        episodes=len(weights),
        rollouts=len(pairs),
        corrected=sum(bool(i.any()) for i, _ in pairs),
        interventions=sum(len(starts_of(i.numpy())) for i, _ in pairs),
        rows=sum(int(i.sum()) for i, _ in pairs),
        policy_rows=sum(int((~i).sum()) for i, _ in pairs),
        policy_rows_learnt=sum(int((w[~i] > 0).sum()) for i, w in pairs),
        share=corrected / total if total else 0.0,
    )
