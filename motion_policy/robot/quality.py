# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What an episode is judged by: two thresholds for each kind of check.

The defaults hold for arms of a metre at most, taught by hand, with cameras of 5 to 60 Hz; why each
is what it is stands in docs/reference/quality.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from motion_policy.declared import Declared
from motion_policy.robot.values import Finite

# Of these a value is judged that is less than its threshold; of the others one that is more.
BELOW = ('duration', 'rate', 'coverage', 'usual_coverage', 'still')


class Threshold(Declared):
    """Where a value is odd (`warn`) and where it is taken for wrong (`fail`); None: nowhere."""

    warn: Finite | None
    fail: Finite | None


class QualitySpec(Declared):
    """The thresholds of each kind; one that is None is not judged.

    What a spec says of a kind adds to the default: `dropped: {fail: 0.1}` keeps its `warn`.
    """

    duration: Threshold | None = Threshold(warn=1.0, fail=0.3)  # s
    length: Threshold | None = Threshold(warn=3.0, fail=None)  # times the set's, or its share
    rate: Threshold | None = Threshold(warn=0.9, fail=0.5)  # share of what is expected
    gap: Threshold | None = Threshold(warn=0.5, fail=1.0)  # share of max_age, beyond a period
    age: Threshold | None = Threshold(warn=0.75, fail=1.0)  # share of max_age
    dropped: Threshold | None = Threshold(warn=0.005, fail=0.05)  # share of the messages
    lead: Threshold | None = Threshold(warn=0.002, fail=0.02)  # s
    frozen: Threshold | None = Threshold(warn=0.4, fail=1.0)  # s of motion
    exposure: Threshold | None = Threshold(warn=0.0, fail=0.2)  # share of the rows
    coverage: Threshold | None = Threshold(warn=0.3, fail=0.05)  # share of the pixels
    usual_coverage: Threshold | None = Threshold(warn=0.7, fail=None)  # share of the set's
    damaged: Threshold | None = Threshold(warn=None, fail=0.0)  # rows
    moved: Threshold | None = Threshold(warn=0.015, fail=0.05)  # share of the width
    still: Threshold | None = Threshold(warn=0.2, fail=0.05)  # share of what is expected
    clipped: Threshold | None = Threshold(warn=0.05, fail=0.25)  # share of the rows
    speed: Threshold | None = Threshold(warn=1.05, fail=2.0)  # times the limit
    jerk: Threshold | None = Threshold(warn=0.3, fail=1.0)  # times acceleration limit in 0.1 s
    offset: Threshold | None = Threshold(warn=0.04, fail=0.1)  # s at full speed
    lag: Threshold | None = Threshold(warn=0.25, fail=0.5)  # s, beyond a period
    action: Threshold | None = Threshold(warn=0.15, fail=0.3)  # s at full speed, beyond a period
    idle_head: Threshold | None = Threshold(warn=3.0, fail=10.0)  # s beyond the set's
    idle_tail: Threshold | None = Threshold(warn=3.0, fail=10.0)  # s beyond the set's
    start_pose: Threshold | None = Threshold(warn=5.0, fail=10.0)  # deviations
    end_pose: Threshold | None = Threshold(warn=5.0, fail=10.0)  # deviations

    @model_validator(mode='before')
    @classmethod
    def _what_is_left_out_is_the_default(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {kind: _filled(cls, kind, given) for kind, given in data.items()}

    @model_validator(mode='after')
    def _warns_before_it_fails(self) -> QualitySpec:
        for kind in type(self).model_fields:
            threshold = getattr(self, kind)
            if threshold is None or threshold.warn is None or threshold.fail is None:
                continue
            below = kind in BELOW
            if (threshold.fail > threshold.warn) if below else (threshold.fail < threshold.warn):
                raise ValueError(
                    f'{kind} has warn {threshold.warn:g} and fail {threshold.fail:g}, expected '
                    f'fail {"<=" if below else ">="} warn'
                )
        return self

    def options(self) -> dict[str, Any]:
        """What differs from the defaults, for YAML."""
        return self.model_dump(mode='json', exclude_defaults=True)


def _filled(spec: type[QualitySpec], kind: str, given: Any) -> Any:
    field = spec.model_fields.get(kind)
    if field is None or not isinstance(given, dict):
        return given
    return {'warn': field.default.warn, 'fail': field.default.fail, **given}
