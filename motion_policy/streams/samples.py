# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Samples of streams and a sampler's counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.streams.errors import StreamError


@dataclass(frozen=True)
class Sample:
    """One message: the stamp its sender gave it (0: none), when it arrived, and itself.

    In a row, the value of a joint stream is what was read of its messages, a `JointReading`; that
    of a vector is its numbers, (n,) float64; that of a camera is the message, or its RGB image
    or depth [mm] where images are decoded. A value of None is never looked at. Of a vector that
    keeps the last k messages the value is (k, n), `messages` says how many of them were there.
    Where a camera's JPEG was decoded, `jpeg` is that JPEG, (n,) uint8, as it came. `missing` is
    how many messages of its sender were lost since the one before, None where nobody numbers them.
    """

    header_ns: int
    receive_ns: int
    value: Any
    messages: int = 0
    jpeg: npt.NDArray[np.uint8] | None = None
    missing: int | None = None


@dataclass(frozen=True)
class StreamCounters:
    """What came in on one stream so far.

    `received` counts every message; `duplicates` repeat a stamp and are ignored; `dropped` ones
    were sent and did not come, an estimate by gaps where nobody numbers them; `max_gap_ns` is the
    widest gap between stamps;
    `unusable` messages were not taken, `reason` is what was wrong with the newest of them;
    `foreign` ones hold none of the joints; of `partial` ones a field could not be taken,
    `left_out` says which and, of the newest, why; `dropped_of` says of which joints how many were
    dropped, where those of a stream come apart.
    """

    received: int = 0
    dropped: int = 0
    duplicates: int = 0
    max_gap_ns: int = 0
    unusable: int = 0
    foreign: int = 0
    reason: str = ''
    partial: int = 0
    left_out: str = ''
    dropped_of: str = ''

    def __add__(self, later: StreamCounters) -> StreamCounters:
        """Both together; reasons are the later ones."""
        return StreamCounters(
            self.received + later.received,
            self.dropped + later.dropped,
            self.duplicates + later.duplicates,
            max(self.max_gap_ns, later.max_gap_ns),
            self.unusable + later.unusable,
            self.foreign + later.foreign,
            later.reason or self.reason,
            self.partial + later.partial,
            later.left_out or self.left_out,
            later.dropped_of or self.dropped_of,
        )


class Unreadable:
    """What came instead of a message: bytes that are none. Whoever looks at it is told so."""

    header = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        raise StreamError(self._reason)
