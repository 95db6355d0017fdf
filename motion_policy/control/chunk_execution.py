# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Execution of action chunks: how many rows are played, when the next inference is due.

The next chunk is asked for so early that its answer comes while there is still a plan to follow.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass

from motion_policy.errors import UserError
from motion_policy.robot.spec import NANOSECONDS_PER_S

LATENCIES = 20  # inferences; the slowest of them is what the next one may take
LATENCY_MARGIN = 1.5  # times that
SPARE_PERIODS = 2  # control periods between the end of the cross-fade and of the old plan
# What is allowed where; beyond it a number is a slip.
MAX_ROWS, MAX_CROSSFADE_S, MAX_ENSEMBLE, MAX_TIMEOUT_S = 10_000, 2.0, 1.0, 60.0
MIN_TIMEOUT_S = 0.1


@dataclass(frozen=True)
class ChunkExecution:
    """What becomes of chunks with more than one row. UserError for values out of range.

    Attributes:
        execute: rows of each chunk that are played before the next takes over; the others are
            there for an answer that is late. 0: half of them, or with `ensemble` one.
        crossfade_s: for so long a new chunk is blended with the one before; with `ensemble` the
            weights do that.
        ensemble: coefficient m of temporal ensembling: every target is the mean of all that was
            ever predicted for its time, prediction i weighing exp(-m i), the oldest being 0.
            0: no ensembling.
        timeout_s: without a plan the arm waits so long for one before that is a fault.
    """

    execute: int = 0
    crossfade_s: float = 0.1
    ensemble: float = 0.0
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        ranges = {
            'execute': (0, MAX_ROWS),
            'crossfade_s': (0.0, MAX_CROSSFADE_S),
            'ensemble': (-MAX_ENSEMBLE, MAX_ENSEMBLE),
            'timeout_s': (MIN_TIMEOUT_S, MAX_TIMEOUT_S),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                words = f'chunk.{name.removesuffix("_s")} is {value:g}'
                raise UserError(f'{words}, expected a number from {low:g} to {high:g}')

    def check_rows(self, rows: int) -> None:
        """UserError if more rows are to be played than a chunk has."""
        if self.execute > rows:
            raise UserError(
                f'chunk.execute is {self.execute}, but the chunks of this policy have {rows} '
                f'rows, expected at most {rows}'
            )

    def rows_played(self, rows: int) -> int:
        """How many of a chunk's rows are played before the next takes over."""
        return self.execute or (1 if self.ensemble else max(1, rows // 2))

    @property
    def fade_ns(self) -> int:
        """How long an old and a new chunk are blended."""
        return 0 if self.ensemble else round(self.crossfade_s * NANOSECONDS_PER_S)

    @property
    def timeout_ns(self) -> int:
        """How long the arm waits for a plan."""
        return round(self.timeout_s * NANOSECONDS_PER_S)

    def to_json(self) -> dict[str, float]:
        """Every setting."""
        return asdict(self)

    def __str__(self) -> str:
        if self.ensemble:
            how = f'temporal ensembling with coefficient {self.ensemble:g}'
            return how + (f', asked every {self.execute} rows' if self.execute > 1 else '')
        rows = f'{self.execute} rows' if self.execute else 'half'
        return f'{rows} of each chunk, cross-fade {self.crossfade_s:g} s'


class ChunkSchedule:
    """When the next chunk is asked for; one request is out at a time."""

    def __init__(self, execution: ChunkExecution, control_period_ns: int) -> None:
        self.execution = execution
        self._control_period_ns = control_period_ns
        self._latencies_ns: deque[int] = deque(maxlen=LATENCIES)
        self._asked_index = 0
        self._rows = 1

    @property
    def latency_ns(self) -> int:
        """The slowest of the last inferences; 0 before the first."""
        return max(self._latencies_ns, default=0)

    @property
    def lead_ns(self) -> int:
        """How long before the end of a plan its successor is asked for at the latest."""
        spare_ns = SPARE_PERIODS * self._control_period_ns
        return round(LATENCY_MARGIN * self.latency_ns) + spare_ns + self.execution.fade_ns

    def asked(self, index: int) -> None:
        """Note that the observation of policy period `index` was sent to the policy."""
        self._asked_index = index

    def answered(self, rows: int, latency_ns: int) -> None:
        """Note that a chunk came, and how long it took at most."""
        self._rows = rows
        self._latencies_ns.append(latency_ns)

    def next_index(self) -> int:
        """The policy period in which enough rows of the present chunk are played."""
        return self._asked_index + self.execution.rows_played(self._rows)

    def runs_out(self, now_ns: int, plan_end_ns: int) -> bool:
        """Whether the plan may be over before an answer to a request of now is there."""
        return now_ns >= plan_end_ns - self.lead_ns

    def fade_ns(self, late_ns: int, *, planned: bool) -> int:
        """How long a chunk that came so late is blended with what is `planned`, or with rest."""
        fade_ns = self.execution.fade_ns
        # From rest, the way that the lost rows would have gone is made up in as much time.
        return fade_ns if planned else max(fade_ns, late_ns)

    def silence(self, *, planned: bool, late: bool) -> str:
        """Say how an arm was kept waiting that has a plan, or got only rows that came `late`."""
        latency = f'inference takes up to {self.latency_ns * 1e-9:.2f} s'
        if late:
            return f'policy: the last chunk was over when it came, {latency}'
        if planned:
            return f'policy: the plan ended before the next chunk came, {latency}'
        return f'policy: no chunk for {self.execution.timeout_s:g} s'
