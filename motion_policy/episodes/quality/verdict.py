# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One verdict on an episode, as a table, a file and a log show it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.robot import RobotSpec
from motion_policy.robot.quality import BELOW, Threshold

Level = Literal['pass', 'warn', 'fail']
LEVELS: tuple[Level, ...] = ('pass', 'warn', 'fail')


@dataclass(frozen=True)
class QualityVerdict:
    """What one check found.

    Attributes:
        kind: the key of the robot spec's `quality` that it is of.
        of: the stream, camera or joint that it is of; '' for the episode.
        value: what was measured, in `unit`.
        warn, fail: the thresholds, in `unit` too; None where there is none.
        level: pass, warn or fail.
        sentence: what was measured, in words.
    """

    kind: str
    of: str
    value: float
    unit: str
    warn: float | None
    fail: float | None
    level: Level
    sentence: str

    @property
    def limit(self) -> float | None:
        """The threshold that counts: that of a failure where it failed, else of a warning."""
        if self.level == 'fail' or self.warn is None:
            return self.fail
        return self.warn

    @property
    def excess(self) -> float:
        """How bad it is, for sorting: 0 and less is well, 1 at the threshold of a failure."""
        warn, fail = self.warn, self.fail
        least = warn if warn is not None else fail
        most = fail if fail is not None else warn
        if least is None or most is None:
            return 0.0
        sign = -1.0 if self.kind in BELOW else 1.0
        beyond = sign * (self.value - least)
        width = abs(most - least) or abs(most) or 1.0
        return beyond / width

    def line(self) -> str:
        """The sentence, and the threshold."""
        if self.limit is None:
            return self.sentence
        least = 'at least' if self.kind in BELOW else 'at most'
        unit = f' {self.unit}' if self.unit else ''
        return f'{self.sentence} ({self.kind}: expected {least} {self.limit:.3g}{unit})'


def verdict_on(
    robot: RobotSpec,
    kind: str,
    value: float,
    unit: str,
    sentence: str,
    *,
    of: str = '',
    scale: float = 1.0,
    beyond: float = 0.0,
    can_fail: bool = True,
) -> list[QualityVerdict]:
    """The verdict on a value; none where the robot spec does not want this kind judged.

    Args:
        robot: whose `quality` holds the thresholds.
        kind: its key.
        value: what was measured.
        unit: of the value.
        sentence: what was measured, in words.
        of: the stream, camera or joint.
        scale: what a threshold of 1 is in the unit of the value.
        beyond: what is added to each threshold.
        can_fail: whether it is more than odd.
    """
    threshold: Threshold | None = getattr(robot.quality, kind)
    if threshold is None:
        return []
    warn, fail = (
        None if each is None else beyond + scale * each
        for each in (threshold.warn, threshold.fail)
    )
    fail = fail if can_fail else None
    sign = -1.0 if kind in BELOW else 1.0
    level: Level = 'pass'
    if fail is not None and sign * (value - fail) > 0:
        level = 'fail'
    elif warn is not None and sign * (value - warn) > 0:
        level = 'warn'
    return [QualityVerdict(kind, of, float(value), unit, warn, fail, level, sentence)]


def worst_level(verdicts: Iterable[QualityVerdict]) -> Level:
    """The worst of the levels; pass where there is none."""
    return max((each.level for each in verdicts), key=LEVELS.index, default='pass')


def odd_verdicts(verdicts: Iterable[QualityVerdict]) -> list[QualityVerdict]:
    """Those that are no pass, the worst first."""
    found = [each for each in verdicts if each.level != 'pass']
    return sorted(found, key=lambda each: (-LEVELS.index(each.level), -each.excess))


def worst_first(judged: Mapping[Path, Iterable[QualityVerdict]]) -> list[Path]:
    """The episodes that are judged, the worst first, else in their order."""
    odd = {path: odd_verdicts(verdicts)[:1] for path, verdicts in judged.items()}
    return sorted(
        odd,
        key=lambda path: [(-LEVELS.index(v.level), -v.excess) for v in odd[path]] or [(0, 0.0)],
    )


def verdicts_as_json(verdicts: Iterable[QualityVerdict]) -> str:
    """As they stand in an episode's attribute."""
    return json.dumps([as_values(each) for each in verdicts])


def verdicts_from_json(text: str, source: Path) -> tuple[QualityVerdict, ...]:
    """The verdicts of such an attribute, none of ''.

    Raises:
        EpisodeError: it holds something else; the message names `source`.
    """
    try:
        return TypeAdapter(tuple[QualityVerdict, ...]).validate_json(text or '[]')
    except ValidationError as error:
        reason = error.errors()[0]['msg']
        raise EpisodeError(
            f"{source}: attribute '{layout.VERDICTS}' holds no verdicts: {reason}"
        ) from None


def as_values(verdict: QualityVerdict) -> dict[str, Any]:
    """A verdict for JSON."""
    return asdict(verdict)
