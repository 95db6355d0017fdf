# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: ensembling is the weighted mean of every prediction for a time, however they come."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motion_policy.control.ensemble import TemporalEnsemble

P = 20_000_000  # policy period in ns
ROWS = 12
START_NS = 1_700_000_000_000_000_123


def chunks(starts: list[int], rows: int = ROWS) -> list[np.ndarray]:
    """Return one chunk (rows, 3) per start, from a seed; column 1 is exactly zero at times."""
    rng = np.random.default_rng(7)
    values = [rng.uniform(-1, 1, (rows, 3)) for _ in starts]
    for index, chunk in enumerate(values):
        chunk[index % rows :: 3, 1] = 0.0
        if index % 4 == 2:
            chunk[: rows // 2] = 0.0
    return values


def direct(
    starts: list[int], values: list[np.ndarray], newest: int, coefficient: float
) -> np.ndarray:
    """The definition, over all times and chunks: the means for the rows of chunk `newest`."""
    means = np.zeros_like(values[newest])
    for row in range(len(means)):
        time_ns = starts[newest] + row * P
        predictions = []
        for start_ns, chunk in zip(starts[: newest + 1], values, strict=False):
            index = (time_ns - start_ns) // P
            if 0 <= index < len(chunk):
                predictions.append(chunk[index])
        weights = np.exp(-coefficient * np.arange(len(predictions)))
        means[row] = (weights[:, None] * predictions).sum(0) / weights.sum()
    return means


def merged(
    starts: list[int], values: list[np.ndarray], coefficient: float, dtype: torch.dtype
) -> list[np.ndarray]:
    ensemble = TemporalEnsemble(coefficient, P)
    return [
        ensemble.merge(torch.tensor(chunk, dtype=dtype), start_ns).numpy()
        for start_ns, chunk in zip(starts, values, strict=True)
    ]


@pytest.mark.parametrize('coefficient', [0.01, 0.1, -0.1, 1.0, -1.0, 1e-6])
@pytest.mark.parametrize('steps', [(1,), (3,), (1, 2, 5, 1, 11), (4, 13, 1, 40)])
def test_every_mean_is_that_of_the_direct_sum_at_any_rate(
    coefficient: float, steps: tuple[int, ...]
) -> None:
    gaps = [steps[i % len(steps)] for i in range(30)]
    starts = [START_NS + P * sum(gaps[:i]) for i in range(len(gaps))]
    values = chunks(starts)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-7)):
        results = merged(starts, values, coefficient, dtype)
        for index, result in enumerate(results):
            expected = direct(starts, values, index, coefficient)
            np.testing.assert_allclose(result, expected, atol=tolerance, rtol=0)


def test_exact_zeros_are_predictions_like_any_other() -> None:
    ensemble = TemporalEnsemble(0.01, P)
    ensemble.merge(torch.ones(4, 2), 0)
    result = ensemble.merge(torch.zeros(4, 2), P)
    expected = 1 / (1 + np.exp(-0.01))
    assert result[:3].numpy() == pytest.approx(np.full((3, 2), expected), abs=1e-7)
    assert (result[3] == 0).all()


def test_the_first_chunk_comes_back_as_it_is() -> None:
    chunk = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(TemporalEnsemble(0.01, P).merge(chunk, 123), chunk)


def test_hundreds_of_predictions_with_the_steepest_weights_stay_finite() -> None:
    for coefficient in (1.0, -1.0):
        starts = [START_NS + P * i for i in range(1500)]
        ensemble = TemporalEnsemble(coefficient, P)
        for index, start_ns in enumerate(starts):
            result = ensemble.merge(torch.full((1000, 1), float(index)), start_ns)
        assert torch.isfinite(result).all()
        oldest, newest = 500.0, 1499.0  # of those that reach as far as the first row
        limit = oldest if coefficient > 0 else newest
        assert abs(result[0].item() - limit) < 2


def test_a_straight_line_stays_one_between_the_points_of_the_grid() -> None:
    """Late ticks: chunks from any time agree on a line, so their mean is that line."""
    rng = np.random.default_rng(3)
    ensemble, first_ns, now_ns = TemporalEnsemble(0.1, P), 5 * P, 5 * P
    for _ in range(60):
        times = (now_ns - first_ns + P * np.arange(ROWS)) * 1e-9
        result = ensemble.merge(torch.tensor(times)[:, None], now_ns)[:, 0].numpy()
        np.testing.assert_allclose(result, times, atol=1e-9)
        now_ns += int(rng.integers(1, 3 * P))


def test_a_tick_that_is_a_little_late_changes_the_mean_a_little() -> None:
    values = chunks(list(range(20)))
    on_time = merged([START_NS + P * i for i in range(20)], values, 0.01, torch.float64)
    late = [START_NS + P * i + (P // 1000) * (i % 3) for i in range(20)]
    for exact, shifted in zip(on_time, merged(late, values, 0.01, torch.float64), strict=True):
        np.testing.assert_allclose(shifted, exact, atol=0.02)


def test_predictions_from_before_a_hold_are_forgotten() -> None:
    ensemble, fresh = TemporalEnsemble(0.01, P), TemporalEnsemble(0.01, P)
    old, new = torch.ones(6, 1), torch.zeros(6, 1)
    ensemble.merge(old, 0)
    assert ensemble.merge(old, P, since_ns=0).mean() == 1
    assert (ensemble.merge(new, 2 * P, since_ns=2 * P) == 0).all()
    fresh.merge(new, 2 * P)
    again = torch.full((6, 1), 0.5)
    same = fresh.merge(again, 3 * P)
    assert torch.equal(ensemble.merge(again, 3 * P, since_ns=2 * P), same)


def test_a_clock_that_goes_back_begins_anew() -> None:
    ensemble = TemporalEnsemble(0.01, P)
    ensemble.merge(torch.ones(6, 1), 10 * P)
    assert (ensemble.merge(torch.zeros(6, 1), 3 * P) == 0).all()


def test_a_prediction_that_is_not_finite_shows() -> None:
    for bad in (float('nan'), float('inf')):
        ensemble = TemporalEnsemble(0.01, P)
        ensemble.merge(torch.ones(6, 2), 0)
        chunk = torch.ones(6, 2)
        chunk[3, 1] = bad
        assert not torch.isfinite(ensemble.merge(chunk, P)).all()


def test_merging_reads_nothing_back_from_the_device() -> None:
    """On `meta` there are no numbers: whoever asks for one, and so waits for a GPU, fails."""
    ensemble = TemporalEnsemble(0.01, P)
    for start_ns in (0, P, 2 * P + 1000, 5 * P):
        result = ensemble.merge(torch.zeros(6, 3, device='meta'), start_ns)
        assert result.shape == (6, 3) and result.device.type == 'meta'
