# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Judges clean demonstrations and defects, each beside the clean ones of its set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from motion_policy.episodes import EpisodeReader, examine_episode
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.quality.sets import FIRST, EpisodeProfile, EpisodeSet, profile_of
from motion_policy.episodes.quality.verdict import QualityVerdict, odd_verdicts, worst_level
from quality_campaign.defects import DEFECTS, Defect


@dataclass(frozen=True)
class Told:
    """What was said of one defect: its level in the check that is for it, and other checks."""

    defect: str
    kind: str
    strength: float
    unit: str
    level: str
    sentence: str
    others: tuple[str, ...]


def judge_clean(folder: Path) -> dict[str, list[QualityVerdict]]:
    """The verdicts on each episode of a set that are no pass."""
    known = EpisodeSet()
    found = {path: examine_episode(path, known) for path in sorted(folder.glob('*.hdf5'))}
    return {
        f'{folder.name}/{path.name}': odd_verdicts([*each.verdicts, *known.verdicts(path)])
        for path, each in found.items()
    }


def judge_defects(
    folder: Path, work: Path, seed: int, defects: Sequence[Defect] = DEFECTS
) -> list[Told]:
    """Give defects to episodes of a set that are not its first ones, and judge these."""
    paths = sorted(folder.glob('*.hdf5'))
    profiles = [_profile(path, work, place < FIRST) for place, path in enumerate(paths)]
    told = []
    for number, defect in enumerate(defects):
        for place, strength in enumerate(defect.strengths):
            source = paths[FIRST + (number + 5 * place + seed) % (len(paths) - FIRST)]
            target = work / source.name
            target.unlink(missing_ok=True)
            defect.make(source, target, strength, seed + place)
            others = [each for each in profiles if each.path.name != source.name]
            told.append(_told(defect, strength, _judge(target, others)))
            target.unlink()
    return told


def _profile(path: Path, folder: Path, first: bool) -> EpisodeProfile:
    """The profile of a clean episode as if it lay in the folder of the damaged ones."""
    with EpisodeReader(path) as episode:
        profile = profile_of(episode, EpisodeNumbers.of(episode), cameras=first)
    return replace(profile, path=folder / path.name)


def _judge(path: Path, others: list[EpisodeProfile]) -> list[QualityVerdict]:
    known = EpisodeSet()
    for profile in others:
        known.add(profile)
    verdicts = examine_episode(path, known).verdicts
    return [*verdicts, *known.verdicts(path)]


def _told(defect: Defect, strength: float, verdicts: list[QualityVerdict]) -> Told:
    own = [each for each in verdicts if each.kind == defect.kind]
    worst = (odd_verdicts(own) or own[:1] or [None])[0]
    others = {each.kind for each in odd_verdicts(verdicts)} - {defect.kind}
    return Told(
        defect.name, defect.kind, strength, defect.unit, worst_level(own),
        '' if worst is None else worst.sentence, tuple(sorted(others)),
    )  # fmt: skip


def defect_rows(told: Sequence[Told]) -> list[tuple[str, str, str, int, int]]:
    """For each defect its check, the strengths with levels, and how many were told, and failed."""
    rows = []
    for name in dict.fromkeys(each.defect for each in told):
        own = [each for each in told if each.defect == name]
        levels = ', '.join(f'{each.strength:g} {each.level}' for each in own)
        counts = Counter(each.level for each in own)
        words = f'{levels} ({own[0].unit})'
        rows.append((name, own[0].kind, words, counts['warn'] + counts['fail'], counts['fail']))
    return rows


def false_alarms(clean: Mapping[str, list[QualityVerdict]]) -> dict[str, dict[str, int]]:
    """For each check how many clean episodes it warns of, and fails."""
    counts: dict[str, dict[str, int]] = {}
    for verdicts in clean.values():
        worst = {each.kind: each.level for each in reversed(verdicts)}
        for kind, level in worst.items():
            counts.setdefault(kind, {'warn': 0, 'fail': 0})[level] += 1
    return counts
