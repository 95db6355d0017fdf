# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""All verdicts on an episode: of its numbers, of its images as they were seen, against its set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from motion_policy.episodes import layout
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.hdf5.output import changed_hdf5
from motion_policy.episodes.paths import list_episodes
from motion_policy.episodes.quality.following import following_verdicts
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.joints import joint_verdicts
from motion_policy.episodes.quality.numbers import EpisodeNumbers
from motion_policy.episodes.quality.sets import FIRST, EpisodeSet, profile_of
from motion_policy.episodes.quality.streams import stream_verdicts
from motion_policy.episodes.quality.verdict import QualityVerdict, verdicts_as_json, worst_level
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.files import shown, unnamed

LATEST = 30  # episodes of a set that the recorder holds a new one against, beside the first


def own_verdicts(numbers: EpisodeNumbers, images: ImageWatch) -> list[QualityVerdict]:
    """What an episode says by itself; `images` has seen all of its images."""
    return [
        *stream_verdicts(numbers),
        *images.verdicts(numbers),
        *joint_verdicts(numbers),
        *following_verdicts(numbers),
    ]


def set_before(path: Path) -> EpisodeSet:
    """The set that a new episode belongs to: the first and the latest ones in its folder.

    What cannot be read of them is passed over; `check` tells of it.
    """
    known = EpisodeSet()
    try:
        before = [each for each in list_episodes(path.parent) if each.name < path.name]
    except EpisodeError:  # the first one
        return known
    chosen = [*before[:FIRST], *before[FIRST:][-LATEST:]]
    for place, each in enumerate(chosen):
        try:
            with EpisodeReader(each) as episode:
                numbers = EpisodeNumbers.of(episode)
                known.add(profile_of(episode, numbers, cameras=place < FIRST))
        except EpisodeError:
            continue
    return known


def judge_recorded(
    path: Path, images: ImageWatch, known: EpisodeSet
) -> tuple[QualityVerdict, ...]:
    """Judge a new episode, of which `images` has seen all images, and note that in its file.

    `known` are those of its set before, to which it is added.

    Raises:
        EpisodeError: it cannot be read, or not be changed.
    """
    with EpisodeReader(path) as episode:
        numbers = EpisodeNumbers.of(episode)
        known.add(profile_of(episode, numbers))
    verdicts = [*own_verdicts(numbers, images), *known.verdicts(path)]
    note_verdicts(path, verdicts)
    return tuple(verdicts)


def note_verdicts(path: Path, verdicts: Iterable[QualityVerdict]) -> None:
    """Write the attributes `quality`, the worst level, and `verdicts`, all of them as JSON.

    Raises:
        EpisodeError: no such episode, or the file cannot be changed.
    """
    found = list(verdicts)
    try:
        with unnamed(path, layout.part_path(path)), changed_hdf5(layout.part_path(path)) as file:
            file.attrs[layout.QUALITY] = worst_level(found)
            file.attrs[layout.VERDICTS] = verdicts_as_json(found)
    except OSError as error:
        reason = error.strerror or error
        raise EpisodeError(f'{shown(path)}: verdicts cannot be noted: {reason}') from None
