# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Wilson score interval of a success rate."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion, both ends in [0, 1].

    Wilson, 1927, doi:10.1080/01621459.1927.10502953. Unlike the textbook interval it stays
    sensible at 0 and at all successes.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f'{successes} successes of {trials} trials')
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    scale = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    # Rounding must not put the end beyond the rate that was seen.
    return min(max(0.0, centre - half), rate), max(min(1.0, centre + half), rate)
