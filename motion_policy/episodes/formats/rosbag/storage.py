# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The storage of rosbag2 recordings (sqlite3 or mcap), without ROS.

Every message that the bag claims to hold is read, or an error says which topic falls short. The
order of a file shows whether the recording clock was set back, which its times alone do not.
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2 import Reader

from motion_policy.documents import read_yaml
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.paths import regular_input
from motion_policy.files import PART_SUFFIX, FileError, is_there
from motion_policy.robot.load import first_error_line
from motion_policy.robot.spec import CLOCK_STEP_NS, NANOSECONDS_PER_S

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORAGE_SUFFIXES = ('.mcap', '.db3')

RECENT = 1000  # messages of all topics that are looked at where a clock was set back

Message = tuple[str, str, int, bytes]  # topic, type, receive time [ns], CDR bytes


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: absolute name, message type and number of messages."""

    topic: str
    type: str
    count: int


@dataclass(frozen=True)
class TimeStep:
    """Where time goes back in a bag: before the message with this index, in the file's order."""

    index: int
    line: str


def is_bag(path: str | Path) -> bool:
    """Return whether a path looks like a rosbag2 folder or storage file."""
    path = Path(path)
    if path.is_dir():
        return (path / 'metadata.yaml').is_file() or bool(_storage_files(path, None))
    return path.is_file() and path.suffix in STORAGE_SUFFIXES


class Bag:
    """An open bag."""

    def __init__(self, path: Path, readers: list[Reader], expected: dict[str, int] | None) -> None:
        self.path = path
        # Files of one recording, which metadata need not name in their order.
        self._readers = sorted(readers, key=lambda reader: reader.start_time)
        self._storages = [storage for reader in self._readers for storage in _storages_of(reader)]
        self._expected = expected

    def topics(self) -> list[BagTopic]:
        """All topics, by name."""
        counts: Counter[str] = Counter()
        types: dict[str, str] = {}
        for reader in self._readers:
            for connection in reader.connections:
                counts[connection.topic] += connection.msgcount
                types[connection.topic] = connection.msgtype
        return [BagTopic(topic, types[topic], counts[topic]) for topic in sorted(types)]

    def definitions(self) -> dict[str, MessageDefinition]:
        """The message types that the bag defines, as text."""
        return {
            connection.msgtype: connection.msgdef
            for reader in self._readers
            for connection in reader.connections
            if connection.msgdef.format != MessageDefinitionFormat.NONE
        }

    def duration_ns(self) -> int:
        """Time from the first to the last message, 0 when there is none."""
        filled = [reader for reader in self._readers if reader.message_count]
        if not filled:
            return 0
        start_ns = min(reader.start_time for reader in filled)
        return int(max(reader.end_time for reader in filled) - start_ns)

    def time_steps(self, topics: set[str]) -> list[TimeStep]:
        """Where the clock was set back while these topics were recorded."""
        return self._order(topics).steps

    def stretches(self, topics: set[str]) -> Iterator[tuple[str, Iterator[Message]]]:
        """Yield stretches in which time goes on, and in each its messages in order of time.

        Each has to be read before the next; with it comes what is between it and the one before.

        Raises:
            EpisodeError: the bag is cut short.
        """
        counts: Counter[str] = Counter()
        order = self._order(topics)
        if not order.steps and all(map(_is_indexed, self._storages)):
            parts = [self._guarded(storage.sorted(topics)) for storage in self._storages]
            yield '', _counted(heapq.merge(*parts, key=_time), counts)
        else:
            begins = [step.index for step in order.steps]
            lines = ['', *(step.line for step in order.steps)]
            numbered = enumerate(self._scan(topics))
            stretches = itertools.groupby(
                numbered, key=lambda each: sum(each[0] >= begin for begin in begins)
            )
            for stretch, messages in stretches:
                in_time = _in_order((message for _, message in messages), order.latest_ns)
                yield lines[stretch], _counted(in_time, counts)
        self._check_counts(topics, counts)

    def _order(self, topics: set[str]) -> _Order:
        order = _Order()
        for index, (topic, _, time_ns, _) in enumerate(self._scan(topics, times_only=True)):
            order.add(index, topic, time_ns)
        return order

    def _scan(self, topics: set[str], *, times_only: bool = False) -> Iterator[Message]:
        for storage in self._storages:
            yield from self._guarded(storage.scan(topics, times_only))

    def _guarded(self, messages: Iterator[Message]) -> Iterator[Message]:
        try:
            yield from messages
        except Exception as error:  # damage shows as errors of rosbags, sqlite, zstd or struct
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise EpisodeError(f'{self.path}: cannot be read to its end: {reason}') from None

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
def opened_bag(path: Path) -> Iterator[Bag]:
    """Open a bag through its storage files.

    rosbags matches the topics of a folder with those of its storage by QoS too, and gives no
    message where these differ; the storage files themselves always give all. Only a bag that is
    compressed as a whole has to be opened as a folder.

    Raises:
        EpisodeError: not a readable bag.
    """
    if not is_bag(path):
        found = 'no such file or folder' if not path.exists() else 'is no rosbag2 recording'
        raise EpisodeError(
            f'{path}: {found}, expected a folder with metadata.yaml or a .mcap or .db3 file'
        )
    information = _information(path)
    compressed = information is not None and information.is_compressed
    stored = _storage_files(path, information) if path.is_dir() else [path]
    for file in stored:
        if not file.exists():
            raise EpisodeError(f'{file}: no such file, expected it as metadata.yaml names it')
        regular_input(file, 'a storage file of a bag')
    files = [path] if compressed else stored
    with ExitStack() as stack:
        try:
            readers = [_opened(file, stack) for file in files]
        except Exception as error:  # damage shows as errors of rosbags, sqlite, zstd or struct
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise EpisodeError(
                f'{path}: cannot be opened: {reason}; expected a whole rosbag2 recording '
                f'({_cure(path, files)})'
            ) from None
        yield Bag(path, readers, None if information is None else information.counts())


def _opened(file: Path, stack: ExitStack) -> Reader:
    reader = Reader(file)
    reader.open()
    stack.callback(_close, reader)
    return reader


def _close(reader: Reader) -> None:
    """Close what was only read: sqlite says that it is busy where reading ended early."""
    with suppress(Exception):
        reader.close()


def _cure(path: Path, files: list[Path]) -> str:
    """What may save the messages of a damaged file."""
    if path.is_dir() and path.name.endswith(PART_SUFFIX):
        return f'`motion-policy check --repair {path}` finishes what recorder_node left'
    if any(file.suffix == '.mcap' for file in files):
        return '`mcap recover FILE -o NEW` of the mcap command line tool saves what is whole'
    return '`sqlite3 FILE .recover` saves rows, `ros2 bag reindex` makes a lost metadata.yaml'


class _TopicName(BaseModel):
    name: str


class _TopicCount(BaseModel):
    topic_metadata: _TopicName
    message_count: int


class _Information(BaseModel):
    """What of a bag's metadata is used."""

    relative_file_paths: list[str] | None = None
    topics_with_message_count: list[_TopicCount] = []
    compression_mode: str | None = None

    @property
    def is_compressed(self) -> bool:
        return (self.compression_mode or '').lower() in ('file', 'message')

    def counts(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for entry in self.topics_with_message_count:
            counts[entry.topic_metadata.name] += entry.message_count
        return dict(counts)


def _information(path: Path) -> _Information | None:
    file = path / 'metadata.yaml'
    if not is_there(file):
        return None
    try:
        found = read_yaml(file, 'metadata of a bag').get('rosbag2_bagfile_information')
    except FileError as error:
        raise EpisodeError(str(error)) from None
    if not isinstance(found, dict):
        raise EpisodeError(f'{file}: holds no rosbag2_bagfile_information, expected it there')
    try:
        return _Information.model_validate(found)
    except ValidationError as error:
        raise EpisodeError(first_error_line(error, found, file)) from None


def _storage_files(folder: Path, information: _Information | None) -> list[Path]:
    named = None if information is None else information.relative_file_paths
    if named is None:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in STORAGE_SUFFIXES)
    return [folder / Path(name).name for name in named]


class _Storage:
    """One storage file, opened by rosbags; `compressed` where each message is."""

    def __init__(self, reader: Any, compressed: bool) -> None:
        self.reader = reader
        self._compressed = compressed

    def sorted(self, topics: set[str]) -> Iterator[Message]:
        """All messages of these topics in the order of their times."""
        connections = self._connections(topics)
        # rosbags takes an empty list for all topics.
        if connections:
            yield from map(self._message, self.reader.messages(connections))

    def scan(self, topics: set[str], times_only: bool) -> Iterator[Message]:
        """All messages of these topics in the order in which they were written."""
        connections = self._connections(topics)
        if not connections:
            return
        if hasattr(self.reader, 'messages_scan'):
            found = self.reader.messages_scan(connections)
        else:
            found = self._rows(connections, "x''" if times_only else 'data')
        if times_only:
            for connection, time_ns, _ in found:
                yield connection.topic, connection.msgtype, int(time_ns), b''
        else:
            yield from map(self._message, found)

    def _connections(self, topics: set[str]) -> list[Any]:
        return [entry for entry in self.reader.connections if entry.topic in topics]

    def _rows(self, connections: list[Any], data: str) -> Iterator[tuple[Any, int, bytes]]:
        by_id = {connection.id: connection for connection in connections}
        marks = ', '.join('?' * len(by_id))
        query = f'SELECT topic_id, timestamp, {data} FROM messages WHERE topic_id IN ({marks}) '
        for topic_id, time_ns, found in self.reader.dbconn.execute(
            query + 'ORDER BY id', tuple(by_id)
        ):
            yield by_id[topic_id], time_ns, found

    def _message(self, found: tuple[Any, int, bytes]) -> Message:
        connection, time_ns, data = found
        data = zstd.decompress(data) if self._compressed else data
        return connection.topic, connection.msgtype, int(time_ns), data


def _storages_of(reader: Reader) -> list[_Storage]:
    storage: Any = reader.storage
    if hasattr(storage, 'storages'):
        by_message = reader.compression_mode == 'message'
        return [_Storage(each, by_message) for each in storage.storages]
    return [_Storage(storage, compressed=False)]


def _is_indexed(storage: _Storage) -> bool:
    """Whether rosbags finds all messages without reading the whole file."""
    chunks = getattr(storage.reader, 'chunks', None)
    return chunks is None or (bool(chunks) and all(chunk.channel_count for chunk in chunks))


class _Order:
    """Finds where times go back in the order of a file: by topic, on which they never do."""

    def __init__(self) -> None:
        self.steps: list[TimeStep] = []
        self.latest_ns = 0  # by which a message is behind one that was written before
        self._counts: Counter[str] = Counter()
        self._last: dict[str, int] = {}
        self._period: dict[str, int] = {}  # from the last but one
        self._recent: deque[tuple[int, str, int]] = deque(maxlen=RECENT)
        self._first_ns: int | None = None
        self._newest_ns = 0

    def add(self, index: int, topic: str, time_ns: int) -> None:
        """Take in the next message."""
        self._counts[topic] += 1
        if self._first_ns is None:
            self._first_ns = self._newest_ns = time_ns
        before_ns = self._last.get(topic, time_ns)
        self._recent.append((index, topic, time_ns))
        if time_ns < before_ns - CLOCK_STEP_NS:
            self._step(topic, before_ns, time_ns)
        elif time_ns > before_ns:
            # One wrong time ahead of the others is no period.
            period_ns = time_ns - before_ns
            self._period[topic] = min(period_ns, 2 * self._period.get(topic, period_ns))
        self._last[topic] = time_ns
        self._newest_ns = max(self._newest_ns, time_ns)
        self.latest_ns = max(self.latest_ns, self._newest_ns - time_ns)

    def _step(self, topic: str, before_ns: int, time_ns: int) -> None:
        """Find which messages before belong to the new time already, and begin anew with them."""
        assert self._first_ns is not None
        middle_ns = (before_ns + time_ns) // 2
        begun = list(itertools.takewhile(lambda each: each[2] < middle_ns, reversed(self._recent)))
        due_ns = before_ns + self._period.get(topic, 0)
        by_s = (due_ns - time_ns) / NANOSECONDS_PER_S
        after_s = (due_ns - self._first_ns) / NANOSECONDS_PER_S
        self.steps.append(
            TimeStep(
                begun[-1][0],
                f'time goes back by {by_s:.2f} s at message {self._counts[topic]} of {topic}, '
                f'after {after_s:.2f} s',
            )
        )
        self._last = {name: each_ns for _, name, each_ns in reversed(begun)}
        self._newest_ns = max(each_ns for _, _, each_ns in begun)
        self._recent.clear()


def _time(message: Message) -> int:
    return message[2]


def _counted(messages: Iterable[Message], counts: Counter[str]) -> Iterator[Message]:
    for message in messages:
        counts[message[0]] += 1
        yield message


def _in_order(messages: Iterable[Message], latest_ns: int) -> Iterator[Message]:
    """Bring messages that are at most so late into the order of time."""
    waiting: list[tuple[int, int, Message]] = []
    newest_ns: int | None = None
    for number, message in enumerate(messages):
        heapq.heappush(waiting, (message[2], number, message))
        newest_ns = message[2] if newest_ns is None else max(newest_ns, message[2])
        while waiting and waiting[0][0] < newest_ns - latest_ns:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
