# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of a run's log: lateness of ticks, latency from image to command.

All arrays are in nanoseconds of one clock, all results in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.timing import collector_off

from motion_policy.nodes.realtime import RealTime, prepare_tick_thread

Float64Array = npt.NDArray[np.float64]


def lateness_ms(times_ns: Sequence[int], first_ns: int, period_ns: int) -> Float64Array:
    """How long after each deadline `first_ns + k * period_ns` the next tick came."""
    times = np.array(times_ns, dtype=np.int64)
    deadlines = np.arange(first_ns, times[-1] + 1, period_ns)
    return (times[np.searchsorted(times, deadlines)] - deadlines) / 1e6


def bare_loop(period_ns: int, seconds: float) -> Float64Array:
    """The lateness of a loop that does nothing but sleep until the next deadline.

    It has a process of its own and is scheduled as the tick of a node is, with that priority and
    locked memory where they are permitted.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
        times, first_ns = pool.submit(_sleep_by_deadlines, period_ns, seconds).result()
    return lateness_ms(times, first_ns, period_ns)


def _sleep_by_deadlines(period_ns: int, seconds: float) -> tuple[list[int], int]:
    prepare_tick_thread(RealTime())
    times: list[int] = []
    first_ns = deadline_ns = time.monotonic_ns() + period_ns
    end_ns = first_ns + round(seconds * 1e9)
    with collector_off():
        while deadline_ns < end_ns:
            time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
            times.append(time.monotonic_ns())
            deadline_ns += period_ns
    return times, first_ns


def tick_lateness_ms(
    notes: Mapping[str, Any], period_ns: int, begin_ns: int, end_ns: int
) -> Float64Array:
    """The lateness of the ticks whose deadlines lie between two times."""
    ticks = [tick for tick in notes['ticks'] if begin_ns <= tick[0] < end_ns]
    return lateness_ms([time_ns for _, time_ns in ticks], ticks[0][0], period_ns)


def missed(late_ms: Float64Array, period_ns: int) -> int:
    """How many ticks came a whole period late or never."""
    return int((late_ms > period_ns / 1e6).sum())


@dataclass(frozen=True)
class Latency:
    """From the oldest image of each observation to the first command of its chunk, (n,) each.

    `added` is what the node adds to what cannot be helped: `transport` of the image, `handling`
    from the deadline of the tick that asks until the policy begins, `answer` from its end until
    the controller has the chunk, `sending` from the deadline of the next tick until its command is
    out. `whole` less inference also holds the waits for the next image and the next deadline.
    """

    transport: Float64Array
    handling: Float64Array
    answer: Float64Array
    sending: Float64Array
    whole: Float64Array
    inference: Float64Array

    @property
    def added(self) -> Float64Array:
        """The sum of the four parts."""
        return self.transport + self.handling + self.answer + self.sending


def latency(notes: Mapping[str, Any], begin_ns: int, end_ns: int) -> Latency:
    """Join the notes of the inferences that were asked for between two times."""
    ticks = np.array(notes['ticks'], dtype=np.int64)
    sends = np.array(notes['sends'], dtype=np.int64)
    inferences = {seen: (begin, end) for seen, begin, end in notes['inferences']}
    taken = dict(notes['steps'])
    rows = []
    for seen, asked, header, received in notes['asks']:
        if not begin_ns <= asked < end_ns or seen not in inferences or seen not in taken:
            continue
        asking = ticks[np.searchsorted(ticks[:, 1], asked, side='right') - 1, 0]
        following = np.searchsorted(ticks[:, 1], taken[seen], side='right')
        if following == len(ticks) or sends[-1] < ticks[following, 1]:
            continue
        sent = sends[np.searchsorted(sends, ticks[following, 1])]
        begin, end = inferences[seen]
        rows.append(
            (
                received - header,
                begin - asking,
                taken[seen] - end,
                sent - ticks[following, 0],
                sent - header - (end - begin),
                end - begin,
            )
        )
    return Latency(*(np.array(rows, dtype=np.float64).reshape(-1, 6).T / 1e6))
