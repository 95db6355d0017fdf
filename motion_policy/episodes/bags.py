# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read rosbag2 recordings (sqlite3 or mcap) without ROS, as samples of a robot's streams.

Every message that the bag claims to hold is read, or an error says which topic falls short.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from motion_policy.episodes.errors import EpisodeError
from motion_policy.robot import RobotSpec, StreamSpec
from motion_policy.robot.spec import COMPRESSED_IMAGE, IMAGE, NANOSECONDS_PER_S
from motion_policy.streams import GridSampler, Row, Sample, stamp_ns

STORAGE_SUFFIXES = ('.mcap', '.db3')

# A pause in a bag is stepped through, so that its rows are never all in memory.
STEP_NS = 10 * NANOSECONDS_PER_S


# rclpy's serialize_message, with which bags are often written, leaves as many bytes behind the end
# of a message with empty lists; rosbags takes up to three.
SURPLUS_BYTES = (0, 4, 8, 12)


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: absolute name, message type and number of messages."""

    topic: str
    type: str
    count: int


def is_bag(path: str | Path) -> bool:
    """Return whether a path looks like a rosbag2 folder or storage file."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or bool(_storage_files(path))
    return path.is_file() and path.suffix in STORAGE_SUFFIXES


def bag_topics(path: str | Path) -> list[BagTopic]:
    """Return the topics of a bag, sorted by name.

    Raises:
        EpisodeError: not a readable bag.
    """
    with _opened(Path(path)) as bag:
        return bag.topics()


def bag_duration_ns(path: str | Path) -> int:
    """Return the time from the first to the last message of a bag, 0 when it is empty.

    Raises:
        EpisodeError: not a readable bag.
    """
    with _opened(Path(path)) as bag:
        return bag.duration_ns()


def read_raw(path: str | Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield (topic, type, receive time [ns], CDR bytes) of every message, in order of time.

    Raises:
        EpisodeError: not a readable bag, or it is cut short.
    """
    with _opened(Path(path)) as bag:
        yield from bag.messages({topic.topic for topic in bag.topics()})


def read_bag(
    path: str | Path, robot: RobotSpec, *, namespace: str = ''
) -> Iterator[tuple[str, Sample]]:
    """Yield (stream name, sample) of the robot's streams in order of reception.

    A camera whose raw topic is not in the bag is read from `TOPIC/compressed`, if that is.

    Args:
        path: a rosbag2 folder, or one of its storage files.
        robot: whose streams are read.
        namespace: put before the robot's relative topics.

    Raises:
        EpisodeError: not a readable bag, a topic is missing, silent or of another type, or a
            topic holds fewer messages than the bag says.
    """
    with _opened(Path(path)) as bag:
        streams: dict[str, list[str]] = {}
        for stream in robot.streams():
            topic = _find_topic(bag, stream, namespace)
            streams.setdefault(topic, []).append(stream.name)
        for topic, kind, receive_ns, data in bag.messages(set(streams)):
            message = _message(bag, topic, kind, data)
            sample = Sample(stamp_ns(message), receive_ns, message)
            for name in streams[topic]:
                yield name, sample


def read_bag_rows(path: str | Path, robot: RobotSpec, *, namespace: str = '') -> Iterator[Row]:
    """Yield every row of a bag on the robot's grid, complete or not, as the recorder saw them.

    Raises:
        EpisodeError: as `read_bag`.
    """
    sampler: GridSampler | None = None
    now_ns = 0
    for name, sample in read_bag(path, robot, namespace=namespace):
        if sampler is None:
            sampler = GridSampler(robot.streams(), robot.rate, sample.receive_ns)
            now_ns = sample.receive_ns
        while now_ns < sample.receive_ns - 1:
            now_ns = min(now_ns + STEP_NS, sample.receive_ns - 1)
            yield from sampler.advance(now_ns)
        sampler.push(name, sample)
        now_ns = max(now_ns, sample.receive_ns - 1)
    if sampler is not None:
        yield from sampler.advance(now_ns + 1)


@cache
def _types() -> Typestore:
    """Return the message types; those of a robot spec are the same in every distribution since."""
    return get_typestore(Stores.ROS2_HUMBLE)


def _message(bag: _Bag, topic: str, kind: str, data: bytes) -> Any:
    failure = ''
    for surplus in SURPLUS_BYTES:
        try:
            return _types().deserialize_cdr(data[: len(data) - surplus], kind)
        except Exception as error:  # rosbags lets errors of struct and numpy through
            failure = failure or str(error)
    raise EpisodeError(f"{bag.path}: topic '{topic}' holds a message that is no {kind}: {failure}")


def _find_topic(bag: _Bag, stream: StreamSpec, namespace: str) -> str:
    """Return the topic of the bag that carries a stream."""
    topic = _absolute(stream.topic, namespace)
    topics = {entry.topic: entry for entry in bag.topics()}
    expected = stream.type
    compressed = f'{topic}/compressed'
    if topic not in topics and stream.type == IMAGE and compressed in topics:
        topic, expected = compressed, COMPRESSED_IMAGE
    if topic not in topics:
        there = ', '.join(topics) or 'none'
        raise EpisodeError(
            f"{bag.path}: has no topic '{topic}' (stream '{stream.name}'), it has: {there}"
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


class _Bag:
    """An open bag: the readers of its storage, and how many messages each topic should have."""

    def __init__(self, path: Path, readers: list[Reader], expected: dict[str, int] | None) -> None:
        self.path = path
        self._readers = readers
        self._expected = expected

    def topics(self) -> list[BagTopic]:
        counts: Counter[str] = Counter()
        types: dict[str, str] = {}
        for reader in self._readers:
            for connection in reader.connections:
                counts[connection.topic] += connection.msgcount
                types[connection.topic] = connection.msgtype
        return [BagTopic(topic, types[topic], counts[topic]) for topic in sorted(types)]

    def duration_ns(self) -> int:
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0
        start_ns = min(reader.start_time for reader in filled)
        return int(max(reader.end_time for reader in filled) - start_ns)

    def messages(self, topics: set[str]) -> Iterator[tuple[str, str, int, bytes]]:
        counts: Counter[str] = Counter()
        parts = [self._of_reader(reader, topics) for reader in self._readers]
        for topic, kind, receive_ns, data in heapq.merge(*parts, key=lambda message: message[2]):
            counts[topic] += 1
            yield topic, kind, receive_ns, data
        self._check_counts(topics, counts)

    def _of_reader(
        self, reader: Reader, topics: set[str]
    ) -> Iterator[tuple[str, str, int, bytes]]:
        connections = [entry for entry in reader.connections if entry.topic in topics]
        # rosbags takes an empty list for all topics.
        if not connections:
            return
        try:
            for connection, receive_ns, data in reader.messages(connections):
                yield connection.topic, connection.msgtype, receive_ns, data
        except Exception as error:  # damage shows as errors of rosbags, sqlite, zstd or struct
            raise EpisodeError(f'{self.path}: cannot be read to its end: {error}') from None

    def _check_counts(self, topics: Iterable[str], counts: Counter[str]) -> None:
        """Guard against a reader that skips messages silently, and against a bag cut short."""
        expected = self._expected
        if expected is None:
            expected = {entry.topic: entry.count for entry in self.topics()}
        for topic in sorted(topics):
            if counts[topic] != expected.get(topic, counts[topic]):
                raise EpisodeError(
                    f"{self.path}: topic '{topic}' gave {counts[topic]} messages, "
                    f'expected {expected[topic]} as its metadata says'
                )


@contextmanager
def _opened(path: Path) -> Iterator[_Bag]:
    """Open a bag through its storage files.

    rosbags matches the topics of a folder with those of its storage by QoS too, and gives no
    message where these differ; the storage files themselves always give all. Only a bag that is
    compressed as a whole has to be opened as a folder.
    """
    if not is_bag(path):
        found = 'no such file or folder' if not path.exists() else 'is no rosbag2 recording'
        raise EpisodeError(
            f'{path}: {found}, expected a folder with metadata.yaml or a .mcap or .db3 file'
        )
    information = _metadata(path)
    compressed = str(information.get('compression_mode', '')).lower() in ('file', 'message')
    files = _storage_files(path) if path.is_dir() and not compressed else [path]
    with ExitStack() as stack:
        try:
            readers = [stack.enter_context(Reader(file)) for file in files]
        except Exception as error:  # damage shows as errors of rosbags, sqlite, zstd or struct
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise EpisodeError(
                f'{path}: cannot be opened: {reason}; expected a whole rosbag2 recording '
                '(`ros2 bag reindex` may mend it)'
            ) from None
        yield _Bag(path, readers, _expected_counts(information))


def _metadata(path: Path) -> dict[str, Any]:
    file = path / 'metadata.yaml'
    if not file.is_file():
        return {}
    try:
        information = yaml.safe_load(file.read_text(encoding='utf-8'))
        found = information['rosbag2_bagfile_information']
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
        found = None
    if not isinstance(found, dict):
        raise EpisodeError(f'{file}: holds no rosbag2_bagfile_information, expected it there')
    return found


def _expected_counts(information: dict[str, Any]) -> dict[str, int] | None:
    if not information:
        return None
    counts: Counter[str] = Counter()
    for entry in information.get('topics_with_message_count', []):
        counts[entry['topic_metadata']['name']] += int(entry['message_count'])
    return dict(counts)


def _storage_files(folder: Path) -> list[Path]:
    named = _metadata(folder).get('relative_file_paths')
    if named is None:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in STORAGE_SUFFIXES)
    return [folder / Path(name).name for name in named]
