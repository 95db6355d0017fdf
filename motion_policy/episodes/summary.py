# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Summary of an episode or a bag in numbers that JSON can hold; every key carries its unit."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from motion_policy.episodes.check import joint_verdict
from motion_policy.episodes.colours import ColourCount
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.rosbag.read import bag_time_steps, bag_topics, read_raw
from motion_policy.episodes.layout import STAMPS
from motion_policy.episodes.measured import EmptyDepthCount
from motion_policy.episodes.quality.verdict import odd_verdicts, verdicts_from_json
from motion_policy.episodes.reader import EpisodeReader
from motion_policy.episodes.row_checks import colour_notes, depth_notes
from motion_policy.robot import StreamSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Sample, Sampler, StreamCounters

NANOSECONDS_PER_MS = 1_000_000


def episode_summary(path: str | Path) -> dict[str, Any]:
    """Return what an episode holds; `streams` has rates, gaps, drops and ages of each stream.

    Raises:
        EpisodeError: not a finished episode.
    """
    with EpisodeReader(path) as episode:
        robot = episode.robot
        return {
            'kind': 'episode',
            'path': str(path),
            'robot': robot.name,
            'task': episode.task,
            'success': episode.success,
            'operator': episode.operator,
            'created': episode.created,
            'ended': episode.ended,
            'edits': list(episode.edits),
            'quality': episode.quality,
            'doubts': _doubts(episode),
            'sim': episode.sim,
            'rows': episode.length,
            'rate_hz': episode.rate,
            'duration_s': episode.length / episode.rate,
            'joints': list(episode.joint_names),
            'cameras': {name: [c.width, c.height] for name, c in robot.cameras.items()},
            'seen': {
                name: str(camera.image_fit)
                for name, camera in robot.cameras.items()
                if not camera.image_fit.is_plain
            },
            'vectors': {name: list(v.columns) for name, v in robot.vectors.items()},
            **_last_messages(episode),
            **_transforms(episode),
            'depth': {name: [d.width, d.height] for name, d in robot.depth.items()},
            'compress': episode.compress,
            'storage': {camera: episode.storage(camera) for camera in episode.cameras},
            'effort': episode.effort is not None,
            'rollout': None if (i := episode.interventions) is None else i.to_json(),
            'file_bytes': Path(path).stat().st_size,
            'streams': {s.name: _stream_summary(episode, s) for s in robot.streams()},
            'odd': _odd(episode),
        }


def bag_summary(path: str | Path) -> dict[str, Any]:
    """Return what a bag holds; gaps and drops are those of the reception, per topic.

    `time_steps` has a line for each time at which the recording clock was set back.

    Raises:
        EpisodeError: not a readable bag, or it is cut short.
    """
    topics = {entry.topic: entry for entry in bag_topics(path)}
    # A topic of the bag is a stream here; nothing is sampled, only counted.
    sampler = Sampler(
        StreamSpec(entry.topic, 'state', entry.topic, entry.type, 1.0, 'receive')
        for entry in topics.values()
    )
    times: dict[str, list[int]] = defaultdict(list)
    for topic, _, receive_ns, _ in read_raw(path):
        times[topic].append(receive_ns)
        sampler.push(topic, Sample(0, receive_ns, None))
    ends = [stamps[0] for stamps in times.values()] + [stamps[-1] for stamps in times.values()]
    return {
        'kind': 'bag',
        'path': str(path),
        'duration_s': (max(ends) - min(ends)) / NANOSECONDS_PER_S if ends else 0.0,
        'time_steps': bag_time_steps(path),
        'messages': sum(len(stamps) for stamps in times.values()),
        'topics': {
            topic: {
                'type': entry.type,
                'rate_hz': _rate_hz(times[topic]),
                **_counted(sampler.counters[topic]),
            }
            for topic, entry in topics.items()
        },
    }


def _doubts(episode: EpisodeReader) -> list[str]:
    """A line for each verdict of the recorder that is no pass, the worst first."""
    try:
        verdicts = verdicts_from_json(episode.verdicts, episode.path)
    except EpisodeError as error:  # of another tool; the episode itself is none the worse
        return [str(error)]
    return [f'{each.level}: {each.line()}' for each in odd_verdicts(verdicts)]


def _odd(episode: EpisodeReader) -> list[str]:
    """What is odd: messages, joints, and the first, middle and last image of each camera."""
    lines: list[str] = []
    colours, depth = ColourCount(), EmptyDepthCount()
    for stream in episode.robot.streams():
        counted = episode.stamps(stream.name).counters
        if counted.unusable:
            lines.append(
                f"'/{STAMPS}/{stream.name}': {counted.unusable} of {counted.received} messages "
                'were not taken'
            )
    try:
        found = joint_verdict(episode)
        lines += [each.in_dataset() for each in found.failures]
        lines += [f"'/{each.dataset}': {each.line}" for each in found.notes]
        for row in sorted({0, episode.length // 2, episode.length - 1}):
            for camera in episode.cameras:
                colours.add(camera, row, episode.image(camera, row))
            for name in episode.robot.depth:
                depth.add(name, row, episode.depth(name, row))
    except EpisodeError as error:
        lines.append(str(error).removeprefix(f'{episode.path}: '))
    notes = [*colour_notes(colours), *depth_notes(depth)]
    return [*lines, *(f"'/{each.dataset}': {each.line}" for each in notes)]


def _last_messages(episode: EpisodeReader) -> dict[str, Any]:
    """Of vectors that keep the last messages: how many, and in how many rows there were fewer."""
    counts = {name: v.count for name, v in episode.robot.vectors.items() if v.count is not None}
    told = {}
    for name, count in counts.items():
        there = episode.messages(name)
        short = (there > 0) & (there < count)
        told[name] = {'count': count, 'short_rows': int(short.sum())}
    return {'last_messages': told} if told else {}


def _transforms(episode: EpisodeReader) -> dict[str, Any]:
    """Of vectors that are transforms: in which frame, and that of which."""
    frames = {n: list(v.transform) for n, v in episode.robot.vectors.items() if v.transform}
    return {'transforms': frames} if frames else {}


def _stream_summary(episode: EpisodeReader, stream: StreamSpec) -> dict[str, Any]:
    stamps = episode.stamps(stream.name)
    there = stamps.receive_ns != 0
    ages_ms = stamps.age_ns[there] / NANOSECONDS_PER_MS
    return {
        'topic': stream.topic,
        'rate_hz': stamps.counters.received * episode.rate / max(1, episode.length),
        **_counted(stamps.counters),
        'unusable': stamps.counters.unusable,
        'age_median_ms': float(np.median(ages_ms)) if there.any() else None,
        'age_max_ms': float(ages_ms.max()) if there.any() else None,
        'age_limit_ms': stream.max_age_ns / NANOSECONDS_PER_MS,
    }


def _counted(counters: StreamCounters) -> dict[str, Any]:
    return {
        'received': counters.received,
        'dropped': counters.dropped,
        'duplicates': counters.duplicates,
        'max_gap_ms': counters.max_gap_ns / NANOSECONDS_PER_MS,
    }


def _rate_hz(times_ns: list[int]) -> float:
    """Return the rate by the median period, which a pause does not spoil."""
    if len(times_ns) < 2:
        return 0.0
    period_ns = median(np.diff(times_ns).tolist())
    return NANOSECONDS_PER_S / period_ns if period_ns else 0.0
