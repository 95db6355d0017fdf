# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of verdicts has a row for each kind, with its default thresholds and its direction."""

from __future__ import annotations

from reference_tables import codes, page, section, tables

from motion_policy.robot.quality import BELOW, QualitySpec


def test_every_kind_of_verdict_has_a_row_with_its_thresholds() -> None:
    [table] = tables(section(page('quality.md'), 'Thresholds'))
    told = {codes(key)[0]: (unit, warn, fail) for key, _, unit, warn, fail in table.rows}
    assert [*told] == [*QualitySpec.model_fields]
    for kind, (unit, *cells) in told.items():
        threshold = getattr(QualitySpec(), kind)
        values = [None if cell == '' else float(cell) for cell in cells]
        assert values == [threshold.warn, threshold.fail], kind
        assert ('at least' in unit) == (kind in BELOW), kind
