# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`bench quality`: defects are made in files, judged beside the others, and counted."""

from __future__ import annotations

import sys
from pathlib import Path

import judged_episodes

from motion_policy.robot.quality import QualitySpec
from motion_policy.share import share_dir

sys.path.insert(0, str(share_dir() / 'benchmarks'))

from quality_campaign.campaign import defect_rows, judge_clean, judge_defects
from quality_campaign.defects import DEFECTS


def test_every_check_has_a_defect_and_they_grow() -> None:
    assert {defect.kind for defect in DEFECTS} == {*QualitySpec.model_fields}
    assert len(DEFECTS) * 5 >= 60
    for defect in DEFECTS:
        assert list(defect.strengths) in (
            sorted(defect.strengths), sorted(defect.strengths, reverse=True),
        )  # fmt: skip


def test_a_defect_is_told_in_the_copy_and_the_episodes_stay(tmp_path: Path) -> None:
    folder = tmp_path / 'clean'
    for number in range(6):
        judged_episodes.write(folder / f'episode_{number:06d}.hdf5', 60)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    chosen = [each for each in DEFECTS if each.name in ('black images', 'an arm behind')]
    told = judge_defects(folder, tmp_path / 'work', 0, chosen)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path: found for path, found in judge_clean(folder).items() if found} == {}
    rows = {name: (told, failed) for name, _, _, told, failed in defect_rows(told)}
    assert rows == {'black images': (5, 2), 'an arm behind': (5, 2)}
