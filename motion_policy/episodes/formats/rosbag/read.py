# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read rosbag2 recordings as samples of a robot's streams, and as the rows of the recorder.

A message that cannot be used is left to the sampler, which counts and names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.rosbag.storage import (
    Bag,
    BagTopic,
    Message,
    is_bag,
    opened_bag,
)
from motion_policy.episodes.formats.rosbag.types import BagTypes
from motion_policy.robot import RobotSpec, StreamSpec
from motion_policy.robot.spec import COMPRESSED_IMAGE, IMAGE, NANOSECONDS_PER_S
from motion_policy.robot.vector import TRANSFORMS
from motion_policy.streams import GridSampler, Row, Sample, StreamError, stamp_ns
from motion_policy.streams.message_fields import FieldsOf, with_known_fields
from motion_policy.streams.samples import Unreadable
from motion_policy.streams.transforms import TransformMessage

__all__ = [
    'BagTopic',
    'absent_static_topics',
    'bag_duration_ns',
    'bag_time_steps',
    'bag_topics',
    'fields_in_bag',
    'is_bag',
    'read_bag',
    'read_bag_rows',
    'read_messages',
    'read_raw',
    'robot_of_bag',
]

# A pause in a bag is stepped through, so that its rows are never all in memory; of a longer one
# only the rows at its ends are made.
STEP_NS = 10 * NANOSECONDS_PER_S
LONGEST_PAUSE_NS = 60 * NANOSECONDS_PER_S

# The fault of a row at which time goes back; no stream has this name.
TIME = 'time goes back'


def bag_topics(path: str | Path) -> list[BagTopic]:
    """Return the topics of a bag, sorted by name.

    Raises:
        EpisodeError: not a readable bag.
    """
    with opened_bag(Path(path)) as bag:
        return bag.topics()


def bag_duration_ns(path: str | Path) -> int:
    """Return the time from the first to the last message of a bag, 0 when it is empty.

    Raises:
        EpisodeError: not a readable bag.
    """
    with opened_bag(Path(path)) as bag:
        return bag.duration_ns()


def bag_time_steps(path: str | Path) -> list[str]:
    """Say in one line each where the clock was set back while the bag was recorded.

    Raises:
        EpisodeError: not a readable bag, or it is cut short.
    """
    with opened_bag(Path(path)) as bag:
        steps = bag.time_steps({topic.topic for topic in bag.topics()})
        return [step.line for step in steps]


def read_raw(path: str | Path) -> Iterator[Message]:
    """Yield (topic, type, receive time [ns], CDR bytes) of every message, in order of time.

    Raises:
        EpisodeError: not a readable bag, or it is cut short.
    """
    with opened_bag(Path(path)) as bag:
        for _, messages in bag.stretches({topic.topic for topic in bag.topics()}):
            yield from messages


def read_messages(
    path: str | Path, types: Collection[str], most_images: int
) -> Iterator[tuple[str, str, int, Any]]:
    """Yield (topic, type, receive time [ns], message) of these types, in order of time.

    Messages that cannot be read are left out, and images after the first `most_images` of a topic.

    Raises:
        EpisodeError: not a readable bag, or it is cut short.
    """
    counts: Counter[str] = Counter()
    with opened_bag(Path(path)) as bag:
        topics = {topic.topic for topic in bag.topics() if topic.type in types}
        reader = BagTypes(bag, set(types) - {IMAGE, COMPRESSED_IMAGE})
        for _, messages in bag.stretches(topics) if topics else ():
            for topic, kind, receive_ns, data in messages:
                counts[topic] += 1
                if kind in (IMAGE, COMPRESSED_IMAGE) and counts[topic] > most_images:
                    continue
                message = reader.message(kind, data)
                if not isinstance(message, Unreadable):
                    yield topic, kind, receive_ns, message


def fields_in_bag(path: str | Path, types: Collection[str]) -> FieldsOf:
    """Return what tells the fields of these message types, as the bag defines them.

    Raises:
        EpisodeError: not a readable bag, or a definition in it is not to be read.
    """
    with opened_bag(Path(path)) as bag:
        return BagTypes(bag, types).fields_of


def robot_of_bag(path: str | Path, robot: RobotSpec) -> RobotSpec:
    """Return the robot whose vectors name each of their numbers, as the bag's message types do.

    Raises:
        EpisodeError: not a readable bag, or its messages have no such fields.
    """
    if not robot.vectors:
        return robot
    with opened_bag(Path(path)) as bag:
        try:
            return with_known_fields(robot, _types_of(bag, robot).fields_of)
        except StreamError as error:
            raise EpisodeError(f'{bag.path}: {error}') from None


def absent_static_topics(path: str | Path, robot: RobotSpec, *, namespace: str = '') -> list[str]:
    """Say in one line each which topics of transforms that do not move are not in a bag.

    Raises:
        EpisodeError: not a readable bag.
    """
    with opened_bag(Path(path)) as bag:
        there = {each.topic for each in bag.topics() if each.count}
        return [
            f"{bag.path}: has no messages of '{topic}' ({', '.join(names)}): transforms that do "
            'not move are not known'
            for topic, names in _static_topics(robot, namespace).items()
            if topic not in there
        ]


def read_bag(
    path: str | Path, robot: RobotSpec, *, namespace: str = ''
) -> Iterator[tuple[str, Sample]]:
    """Yield (stream name, sample) of the robot's streams in order of reception.

    A camera whose raw topic is not in the bag, or is empty, is read from `TOPIC/compressed`, if
    that is there; depth is from `TOPIC/compressedDepth` before.

    Args:
        path: a rosbag2 folder, or one of its storage files.
        robot: whose streams are read.
        namespace: put before the robot's relative topics.

    Raises:
        EpisodeError: not a readable bag, a topic is missing, silent or of another type, a topic
            holds fewer messages than the bag says, or time goes back in it.
    """
    with opened_bag(Path(path)) as bag:
        streams, types = _streams_by_topic(bag, robot, namespace), _types_of(bag, robot)
        static = _static_topics(robot, namespace)
        for step, messages in bag.stretches(set(streams)):
            if step:
                raise EpisodeError(f'{bag.path}: {step}; expected time to go on')
            yield from _samples(messages, streams, types, static)


def read_bag_rows(
    path: str | Path,
    robot: RobotSpec,
    *,
    namespace: str = '',
    split_at_steps: bool = False,
    started: Callable[[GridSampler], None] = lambda sampler: None,
) -> Iterator[Row]:
    """Yield every row of a bag on the robot's grid, complete or not, as the recorder saw them.

    `started` is given each sampler that rows are about to come from.

    With `split_at_steps`, where time goes back a row without samples says so, and rows go on at
    the time after; without, that is an error before the first row.

    Raises:
        EpisodeError: as `read_bag`.
    """
    with opened_bag(Path(path)) as bag:
        streams, types = _streams_by_topic(bag, robot, namespace), _types_of(bag, robot)
        static = _static_topics(robot, namespace)
        steps = [] if split_at_steps else bag.time_steps(set(streams))
        if steps:
            raise EpisodeError(
                f'{bag.path}: {steps[0].line}; expected time to go on, or --split-at-gaps'
            )
        time_ns = 0
        samplers: list[GridSampler] = []
        for step, messages in bag.stretches(set(streams)):
            if step:
                yield Row(time_ns + robot.period_ns, {}, {TIME: step})
            for row in _rows(_samples(messages, streams, types, static), robot, samplers, started):
                time_ns = row.time_ns
                yield row


def _rows(
    samples: Iterator[tuple[str, Sample]],
    robot: RobotSpec,
    samplers: list[GridSampler],
    started: Callable[[GridSampler], None],
) -> Iterator[Row]:
    """Yield the rows of a stretch; its sampler is put to those of the stretches before."""
    sampler: GridSampler | None = None
    now_ns = 0
    for name, sample in samples:
        if sampler is None:
            sampler = GridSampler(robot.streams(), robot.rate, sample.receive_ns)
            if samplers:
                sampler.keep_from(samplers[-1])
            samplers.append(sampler)
            started(sampler)
            now_ns = sample.receive_ns
        if sample.receive_ns - now_ns > LONGEST_PAUSE_NS:
            yield from sampler.advance(now_ns + STEP_NS)
            now_ns = sample.receive_ns - STEP_NS
            sampler.skip_to(now_ns)
        while now_ns < sample.receive_ns - 1:
            now_ns = min(now_ns + STEP_NS, sample.receive_ns - 1)
            yield from sampler.advance(now_ns)
        sampler.push(name, sample)
        now_ns = max(now_ns, sample.receive_ns - 1)
    if sampler is not None:
        yield from sampler.advance(now_ns + 1)


def _types_of(bag: Bag, robot: RobotSpec) -> BagTypes:
    return BagTypes(bag, {vector.type for vector in robot.vectors.values()})


def _streams_by_topic(bag: Bag, robot: RobotSpec, namespace: str) -> dict[str, list[str]]:
    """Names of streams by the topics that they are read from, those of static transforms too."""
    streams: dict[str, list[str]] = {}
    for stream in robot.streams():
        streams.setdefault(_find_topic(bag, stream, namespace), []).append(stream.name)
    for topic, names in _static_topics(robot, namespace).items():
        if topic in {each.topic for each in bag.topics()}:  # nothing may stand still
            streams.setdefault(topic, []).extend(names)
    return streams


def _static_topics(robot: RobotSpec, namespace: str) -> dict[str, list[str]]:
    topics: dict[str, list[str]] = {}
    for name, vector in robot.vectors.items():
        if vector.static_topic is not None:
            topics.setdefault(_absolute(vector.static_topic, namespace), []).append(name)
    return topics


def _samples(
    messages: Iterator[Message],
    streams: dict[str, list[str]],
    types: BagTypes,
    static: Collection[str],
) -> Iterator[tuple[str, Sample]]:
    for topic, kind, receive_ns, data in messages:
        if kind == TRANSFORMS:
            sample = Sample(0, receive_ns, TransformMessage(data, topic in static))
        else:
            message = types.message(kind, data)
            sample = Sample(stamp_ns(message), receive_ns, message)
        for name in streams[topic]:
            yield name, sample


def _find_topic(bag: Bag, stream: StreamSpec, namespace: str) -> str:
    """Return the topic of the bag that carries a stream."""
    topic = _absolute(stream.topic, namespace)
    topics = {entry.topic: entry for entry in bag.topics()}
    expected = stream.type
    kinds = ('compressedDepth', 'compressed') if stream.role == 'depth' else ('compressed',)
    there = [f'{topic}/{kind}' for kind in kinds if f'{topic}/{kind}' in topics]
    silent = topic not in topics or topics[topic].count == 0
    if silent and stream.type == IMAGE and there:
        topic, expected = there[0], COMPRESSED_IMAGE
    if topic not in topics:
        names = ', '.join(topics) or 'none'
        raise EpisodeError(
            f"{bag.path}: has no topic '{topic}' (stream '{stream.name}'), it has: {names}"
        )
    if topics[topic].type != expected:
        raise EpisodeError(
            f"{bag.path}: topic '{topic}' (stream '{stream.name}') is of type "
            f'{topics[topic].type}, expected {expected}'
        )
    if topics[topic].count == 0:
        raise EpisodeError(
            f"{bag.path}: topic '{topic}' (stream '{stream.name}') holds no message, "
            'expected at least one'
        )
    return topic


def _absolute(topic: str, namespace: str) -> str:
    if topic.startswith('/'):
        return topic
    return '/' + '/'.join(part for part in (namespace.strip('/'), topic) if part)
