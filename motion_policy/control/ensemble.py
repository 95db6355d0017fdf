# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Temporal ensembling (Zhao et al., arXiv:2304.13705): the mean of all predictions for a time.

The n-th prediction for a time weighs exp(-m n), the oldest being 0. It is found by when it is due,
never by its value, and kept as a running mean, so that a chunk costs as much as it has rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class TemporalEnsemble:
    """The running means of one plan, on the device of the chunks.

    They stand on a grid of one period that begins with the first chunk. A chunk from beside the
    grid, as a late control tick gives it, is interpolated to it and back.

    Args:
        coefficient: m; above 0 older predictions weigh more.
        period_ns: time between two rows.
    """

    def __init__(self, coefficient: float, period_ns: int) -> None:
        self._growth = math.exp(coefficient)
        self._period_ns = period_ns
        self.clear()

    def clear(self) -> None:
        """Forget every prediction."""
        self._first_ns: int | None = None  # observation of the oldest prediction
        self._last_ns = 0
        self._index = 0  # of the first mean on the grid
        self._mean = torch.empty(0)  # (n, A)
        # W / w (n, 1): the weights of all predictions over that of the newest. With one more it
        # is 1 + exp(m) W / w, which cannot overflow where the weights themselves would.
        self._ratio = torch.empty(0)

    def merge(self, chunk: Tensor, start_ns: int, since_ns: int = 0) -> Tensor:
        """Take a chunk (k, A) whose row i is for `start_ns` + i periods; return the means there.

        Predictions from before `since_ns` are forgotten, and all of them when time goes back.
        The result (k, A) has the type of the chunk.
        """
        if self._first_ns is None or self._first_ns < since_ns or start_ns <= self._last_ns:
            self.clear()
            self._first_ns = start_ns
        self._last_ns = start_ns
        # Rows lie `share` of a period, -0.5 to 0.5, after the points index, index + 1, ...
        half_ns = self._period_ns // 2
        index, rest_ns = divmod(start_ns - self._first_ns + half_ns, self._period_ns)
        share = (rest_ns - half_ns) / self._period_ns
        # Adding up in float32 would show after a hundred chunks; one kind of device has no more.
        exact = chunk if chunk.device.type == 'mps' else chunk.double()
        self._take(_shifted(exact, -share), index)
        return _shifted(self._mean, share).to(chunk.dtype)

    def _take(self, rows: Tensor, index: int) -> None:
        """Count in the rows (n, A) for the points of the grid from `index` on."""
        past = index - self._index
        mean, ratio = self._mean[past:], self._ratio[past:]
        fresh = len(rows) - len(mean)
        if len(mean):
            ratio = torch.cat((1 + self._growth * ratio, ratio.new_ones(fresh, 1)))
            mean = torch.cat((mean, rows[len(mean) :]))
        else:
            ratio, mean = rows.new_ones(len(rows), 1), rows
        self._mean = mean + (rows - mean) / ratio
        self._ratio = ratio
        self._index = index


def _shifted(rows: Tensor, share: float) -> Tensor:
    """The rows (n, A) a share of a period later, on the straight lines between and beyond them."""
    if not share or len(rows) < 2:
        return rows
    slopes = rows.diff(dim=0)
    ends = (slopes, slopes[-1:]) if share > 0 else (slopes[:1], slopes)
    return rows + share * torch.cat(ends)
