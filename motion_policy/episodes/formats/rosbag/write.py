# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writing of rosbag2 folders (mcap) from serialised messages, and finishing of one that was cut.

A folder is called `NAME.part` until it is whole. What a killed process leaves of it can be read up
to its last chunk, which is at most `CHUNK_NS` of messages before the end.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import (
    McapReader,
    McapWriter,
    write_record,
    write_uint16,
    write_uint32,
    write_uint64,
)
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.paths import part_of_bag
from motion_policy.errors import UserError
from motion_policy.files import (
    PART_SUFFIX,
    is_there,
    move_new,
    naming_errors,
    settle_folder,
    shown,
)

VERSION: Literal[8] = 8  # of the metadata: the newest that Humble reads, too
MOST_CHUNK_BYTES = 4 * 2**20
CHUNK_NS = 500_000_000
DEPTH = 10  # of the queue with which a player offers a topic

# Of records in an mcap (https://mcap.dev/spec): an opcode, and the length of what follows.
MAGIC_BYTES, RECORD_HEAD_BYTES = 8, 9
ENDS = (0x0F, 0x02)  # of the data, and of the file
_FOREVER = QosTime(0, 0)


@dataclass(frozen=True)
class BagChannel:
    """A topic of a bag.

    Attributes:
        topic: its full name.
        type: the message type, `sensor_msgs/msg/Image`.
        definition: of the type and all types in it, as ros2msg.
        latched: whether a player has to say its messages to whoever comes later, too.
    """

    topic: str
    type: str
    definition: str
    latched: bool = False


class BagWriter:
    """Writes one bag; nothing has its final name before `close`.

    Raises:
        EpisodeError: the name is taken.
        OSError: it cannot be written.
    """

    def __init__(
        self, path: Path, channels: Sequence[BagChannel], part: Path | None = None
    ) -> None:
        self.path = path
        self.part = part or part_of_bag(path)
        for taken in (path, self.part):
            if is_there(taken):
                raise EpisodeError(f'{shown(taken)}: is there already, expected a new name')
        self._writer = _RosbagWriter(self.part, version=VERSION, storage_plugin=StoragePlugin.MCAP)
        try:
            self._writer.open()
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(self._mcap.bio, fcntl.LOCK_EX)  # so that nobody finishes it meanwhile
            self._connections = {
                channel.topic: self._writer.add_connection(
                    channel.topic,
                    channel.type,
                    typestore=_types_in(channel),
                    offered_qos_profiles=[_qos(channel.latched)],
                )
                for channel in channels
            }
        except BaseException:
            self.discard()
            raise

    @property
    def _mcap(self) -> _ChunkedMcap:
        assert isinstance(self._writer.storage, _ChunkedMcap)
        return self._writer.storage

    def write(self, topic: str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a message that was received at `log_ns` and published at `publish_ns`."""
        self._mcap.publish_ns = publish_ns
        self._writer.write(self._connections[topic], log_ns, data)

    def flush(self) -> None:
        """Bring what was written so far to where a killed process leaves it."""
        self._mcap.end_chunk()

    def pending(self) -> Counter[str]:
        """How many messages of each topic a killed process would lose, or a failed write has."""
        topics = {each.id: topic for topic, each in self._connections.items()}
        return Counter({topics[number]: count for number, count in self._mcap.pending().items()})

    def close(self, facts: Mapping[str, str]) -> None:
        """Finish the bag under its final name; `facts` stand in its metadata."""
        for key, value in facts.items():
            self._writer.set_custom_data(key, value)
        file = self._mcap.path
        self._mcap.path = file.with_name(f'{self.path.name}.mcap')
        move_new(file, self._mcap.path)
        self._writer.close()
        settle_folder(self.part, self.path)

    def abort(self) -> None:
        """Leave what is there as a killed process would."""
        with suppress(OSError):
            self._writer.abort()

    def discard(self) -> None:
        """Remove it all."""
        self.abort()
        shutil.rmtree(self.part, ignore_errors=True)


class _ChunkedMcap(McapWriter):
    """Ends a chunk also when its messages are of `CHUNK_NS`, and knows when each was published."""

    publish_ns = 0
    chunk_time_ns: int | None = None  # of the first message in the chunk

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        self._unsure: dict[int, int] = {}  # in the chunk that is being handed over
        super().__init__(path, compression)

    def write(self, connection: Connection, timestamp: int, data: bytes | memoryview) -> None:
        """Add a message, as the base does, but for the time of its publication."""
        if self.chunk_time_ns is None:
            self.chunk_time_ns = timestamp
        self.message_start_time = min(timestamp, self.message_start_time)
        self.message_end_time = max(timestamp, self.message_end_time)
        self.channel_stats[connection.id] += 1
        self.chunk.message_start_time = min(timestamp, self.chunk.message_start_time)
        self.chunk.message_end_time = max(timestamp, self.chunk.message_end_time)
        self.chunk.msgs[connection.id].append((timestamp, self.chunk.bio.tell()))
        record = BytesIO()
        write_uint16(record, connection.id)
        write_uint32(record, 0)
        write_uint64(record, timestamp)
        write_uint64(record, self.publish_ns)
        record.write(data)
        write_record(self.chunk.bio, 0x05, record)
        if self.chunk.bio.tell() > MOST_CHUNK_BYTES or timestamp - self.chunk_time_ns >= CHUNK_NS:
            self.end_chunk()

    def end_chunk(self) -> None:
        """Hand the chunk to the system, which keeps it also if this process is killed."""
        if self.chunk.msgs:
            self._unsure = self.pending()
            self.close_chunk()
            self.bio.flush()
            self._unsure = {}
        self.chunk_time_ns = None

    def pending(self) -> dict[int, int]:
        """How many messages of each connection are in no chunk that the system has."""
        return self._unsure or {key: len(found) for key, found in self.chunk.msgs.items()}


class _RosbagWriter(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _ChunkedMcap}  # noqa: RUF012


def _qos(latched: bool) -> Qos:
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST, DEPTH, QosReliability.RELIABLE, durability, _FOREVER, _FOREVER,
        QosLiveliness.AUTOMATIC, _FOREVER, False,
    )  # fmt: skip


def repair_bag(part: Path) -> tuple[Path, int]:
    """Finish a bag that was left as `NAME.part`; return its path and how many messages it has.

    Raises:
        EpisodeError: not such a folder, its final name is taken, or no message in it is whole.
    """
    path = part.with_name(part.name.removesuffix(PART_SUFFIX))
    files = sorted(part.glob('*.mcap')) if part.is_dir() else []
    if path == part or len(files) != 1:
        raise EpisodeError(f'{shown(part)}: expected a folder *{PART_SUFFIX} with one .mcap file')
    if is_there(path):
        raise EpisodeError(f'{shown(part)}: cannot be finished, {shown(path)} exists already')
    copy = part.with_name(f'.{path.name}.repair{PART_SUFFIX}')
    shutil.rmtree(copy, ignore_errors=True)
    count = 0
    with naming_errors(path, copy), files[0].open('rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EpisodeError(f'{shown(part)}: is still being written') from None
        except OSError:
            pass  # some network file systems have no locks
        try:
            channels, messages = _whole_messages(files[0], file)
            writer = BagWriter(path, channels, copy)
            try:
                for topic, time_ns, data in messages:
                    writer.write(topic, time_ns, time_ns, data)
                    count += 1
                if not count:
                    raise EpisodeError(f'{shown(part)}: no message in it is whole')
                writer.close({'finished': 'what a recorder left that did not finish it'})
            except BaseException:
                writer.discard()
                raise
        except (OSError, UserError):
            raise
        except Exception as error:  # damage shows as errors of rosbags or struct
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise EpisodeError(f'{shown(part)}: cannot be read: {reason}') from None
    shutil.rmtree(part)
    return path, count


def _whole_messages(
    path: Path, file: BinaryIO
) -> tuple[list[BagChannel], Iterator[tuple[str, int, bytes]]]:
    """The channels and the messages (topic, time, data) of an mcap without an end."""
    reader = McapReader(path)
    reader.bio = file
    reader.data_start, reader.data_end = MAGIC_BYTES, _end_of_whole_records(file)
    reader.meta_scan()
    channels = [
        BagChannel(
            each.topic, each.msgtype, each.msgdef.data,
            any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in _offers(each)),
        )
        for each in reader.connections
    ]  # fmt: skip
    messages = (
        (connection.topic, time_ns, data)
        for connection, time_ns, data in reader.messages_scan(reader.connections)
    )
    return channels, messages


def _offers(connection: Connection) -> list[Qos]:
    return list(getattr(connection.ext, 'offered_qos_profiles', ()))


def _end_of_whole_records(file: BinaryIO) -> int:
    """Where the last record ends that is whole."""
    size, place = file.seek(0, os.SEEK_END), MAGIC_BYTES
    while True:
        file.seek(place)
        head = file.read(RECORD_HEAD_BYTES)
        if len(head) < RECORD_HEAD_BYTES:
            return place
        end = place + RECORD_HEAD_BYTES + int.from_bytes(head[1:], 'little')
        if end > size or head[0] in ENDS:
            return place
        place = end


def _types_in(channel: BagChannel) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(channel.definition, channel.type))
    return store
