# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of an episode themselves, as they came, in a bag beside it.

Two rules: an episode never suffers from its bag, which ends first where memory, disk or processor
do not suffice. And a bag has no hole: of every message since its beginning it holds all up to its
end, and how many came after that is counted.
"""

from __future__ import annotations

import queue
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from motion_policy import __version__
from motion_policy.episodes.disk_room import free_bytes
from motion_policy.episodes.formats.rosbag.write import CHUNK_NS, BagChannel, BagWriter
from motion_policy.episodes.paths import bag_beside, move_bag_along
from motion_policy.errors import UserError
from motion_policy.robot import CameraSpec, DepthSpec, RobotSpec, VectorSpec
from motion_policy.robot.spec import CLOCK_STEP_NS

MOST_WAITING_BYTES = 128 * 2**20
LEAST_FREE_BYTES = 2**30  # that the bag leaves on the disk for episodes
IDLE_S = 0.5  # without messages, until what came is brought to the file
IMAGES_NS = 500_000_000  # of each camera, kept while none is recorded; the newest one will do
MOST_STATIC = 1000  # transforms that do not move, of which each is kept once


@dataclass(frozen=True)
class BagMessage:
    """One message as it came: its full topic, both of its times [ns], its serialised bytes."""

    topic: str
    receive_ns: int
    publish_ns: int
    data: bytes


@dataclass(frozen=True)
class KeptBag:
    """What became of the bag of one recording.

    `ended` says why it holds not all; empty while it goes on and when it is whole. `left_out` are
    the messages by topic that came after its end.
    """

    path: Path
    messages: int = 0
    ended: str = ''
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        kept = f'{self.messages} messages in {self.path}'
        if not self.ended:
            return kept
        return f'{kept}, which ended early: {self.ended}; {sum(self.left_out.values())} came after'


class PreRoll:
    """The newest messages, of which the first rows of a recording will be made.

    Of each topic those are kept that a row of now may be made of: as long as a sample of a stream
    counts (of images no more than `IMAGES_NS`), and as many as it keeps. Of transforms that do not
    move all different ones.
    """

    def __init__(self, robot: RobotSpec, topics: Mapping[str, str], static: Sequence[str]) -> None:
        """Keep those of `topics`, full names by the topics of the robot spec."""
        self._span_ns: dict[str, int] = {}
        self._count: dict[str, int] = {}
        for stream in robot.streams():
            topic, source = topics[stream.topic], stream.source
            images = isinstance(source, (CameraSpec, DepthSpec))
            span_ns = min(stream.max_age_ns, IMAGES_NS) if images else stream.max_age_ns
            span_ns += 2 * robot.period_ns
            count = source.count or 1 if isinstance(source, VectorSpec) else 1
            self._span_ns[topic] = max(span_ns, self._span_ns.get(topic, 0))
            self._count[topic] = max(count + 1, self._count.get(topic, 0))
        self._newest: dict[str, deque[BagMessage]] = {topic: deque() for topic in self._span_ns}
        self._static: dict[str, dict[bytes, BagMessage]] = {topic: {} for topic in static}

    def add(self, message: BagMessage, *, moving: bool) -> None:
        """Take in a message; only those that do not move unless `moving`."""
        if message.topic in self._static:
            kept = self._static[message.topic]
            kept.pop(message.data, None)
            kept[message.data] = message
            if len(kept) > MOST_STATIC:
                del kept[next(iter(kept))]
        elif moving:
            newest = self._newest[message.topic]
            if newest and message.receive_ns < newest[-1].receive_ns - CLOCK_STEP_NS:
                newest.clear()  # they are of another time
            newest.append(message)
            oldest_ns = message.receive_ns - self._span_ns[message.topic]
            while newest[0].receive_ns < oldest_ns and len(newest) > self._count[message.topic]:
                newest.popleft()

    def clear(self) -> None:
        """Forget what moves."""
        for newest in self._newest.values():
            newest.clear()

    def messages(self) -> list[BagMessage]:
        """All of them in order of reception; what does not move comes first, at the same time."""
        moving = sorted(
            (each for newest in self._newest.values() for each in newest),
            key=lambda each: each.receive_ns,
        )
        if not moving:
            return []
        begin_ns = moving[0].receive_ns
        static = [
            BagMessage(each.topic, begin_ns, begin_ns, each.data)
            for kept in self._static.values()
            for each in kept.values()
        ]
        return [*static, *moving]


class MessageRecorder:
    """Keeps messages while `enabled`, and writes a bag beside each episode.

    All but the writing belongs to one thread, which never waits for the disk. `channels` are asked
    for when a bag begins; what they raise costs no more than the bag.
    """

    def __init__(
        self, pre_roll: PreRoll, channels: Callable[[], Sequence[BagChannel]],
        *, least_free_bytes: int = LEAST_FREE_BYTES,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:  # fmt: skip
        self._pre_roll = pre_roll
        self._channels = channels
        self._least_free_bytes = least_free_bytes
        self._most_waiting_bytes = most_waiting_bytes
        self._enabled = False
        self._writing: _BagWriting | None = None
        self.last: KeptBag | None = None
        self._episode: Path | None = None  # that the last bag is beside

    @property
    def enabled(self) -> bool:
        """Whether the next recording gets a bag."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not value:
            self._pre_roll.clear()
        self._enabled = value

    @property
    def current(self) -> KeptBag | None:
        """The bag that is being written."""
        return None if self._writing is None else self._writing.state()

    def add(self, message: BagMessage) -> None:
        """Take in a message as it comes."""
        self._pre_roll.add(message, moving=self._enabled)
        if self._writing is not None:
            self._writing.put(message)

    def start(self, episode: Path) -> None:
        """Begin the bag of an episode with the messages of which its first rows are made.

        Raises:
            UserError: there can be none; the episode goes on without.
        """
        self.stop()
        self.last = None
        if not self._enabled:
            return
        path, self._episode = bag_beside(episode), episode
        try:
            free = free_bytes(path.parent)
            if free is not None and free < self._least_free_bytes:
                raise UserError(_too_full(free, self._least_free_bytes))
            writer = BagWriter(path, self._channels())
        except UserError:
            raise
        except Exception as error:  # of the disk, or of rosbags, which does not know every type
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(f'{path}: cannot be written: {reason}') from None
        self._writing = _BagWriting(writer, self._least_free_bytes, self._most_waiting_bytes)
        for message in self._pre_roll.messages():
            self._writing.put(message)

    def stop(self) -> KeptBag | None:
        """Finish the bag; returns what became of it, or None where there was none."""
        if self._writing is not None:
            self.last, self._writing = self._writing.finish(), None
        return self.last

    def discard(self, moved: Path | None) -> None:
        """Let the last bag follow its episode to where that was `moved`; None: remove it."""
        bag = self.stop()
        if bag is None or self._episode is None:
            return
        if moved is None:
            shutil.rmtree(bag.path, ignore_errors=True)
        else:
            move_bag_along(self._episode, moved)
        self.last = None


def _too_full(free: int, least: int) -> str:
    return f'{free / 1e9:.2f} GB are free on its disk, of which {least / 1e9:.2f} GB are left free'


class _BagWriting:
    """One bag being written by a thread of its own."""

    def __init__(self, writer: BagWriter, least_free_bytes: int, most_waiting_bytes: int) -> None:
        self._writer = writer
        self._least_free_bytes = least_free_bytes
        self._most_waiting_bytes = most_waiting_bytes
        self._messages: queue.SimpleQueue[BagMessage | None] = queue.SimpleQueue()
        # Each of these is changed by one thread only.
        self._put_bytes = self._taken_bytes = self._looked_ns = self._written = 0
        self._late, self._unwritten = Counter[str](), Counter[str]()
        self._ended = ''
        self._closed = self._at_end = False
        self._thread = threading.Thread(target=self._work, name='bag writer')
        self._thread.start()

    def state(self) -> KeptBag:
        path = self._writer.path if self._closed else self._writer.part
        left_out = dict(self._late + self._unwritten)
        return KeptBag(path, self._written, self._ended, left_out)

    def put(self, message: BagMessage) -> None:
        if self._put_bytes - self._taken_bytes > self._most_waiting_bytes:
            self._end('its messages came faster than they could be written')
        if self._ended:
            self._late[message.topic] += 1
            return
        self._put_bytes += len(message.data)
        self._messages.put(message)

    def finish(self) -> KeptBag:
        self._messages.put(None)
        self._thread.join()
        return self.state()

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason

    def _work(self) -> None:
        try:
            self._write_all()
            self._count_rest()
            self._writer.close(self._facts())
            self._closed = True
        except Exception as error:
            # Lost in a thread otherwise. What is there stays, for `check --repair`.
            reason = error.strerror if isinstance(error, OSError) else repr(error)
            self._end(f'cannot be written: {reason}')
            lost = self._writer.pending()
            self._written -= lost.total()
            self._unwritten += lost
            self._writer.abort()
            self._count_rest()

    def _write_all(self) -> None:
        """Write until the end, or until there is no room for more."""
        while (message := self._next()) is not None:
            if not self._has_room(message.receive_ns):
                self._unwritten[message.topic] += 1
                return
            self._written += 1
            self._writer.write(message.topic, message.receive_ns, message.publish_ns, message.data)
            self._taken_bytes += len(message.data)

    def _next(self) -> BagMessage | None:
        while True:
            try:
                message = self._messages.get(timeout=IDLE_S)
            except queue.Empty:
                self._writer.flush()
                continue
            self._at_end = message is None
            return message

    def _count_rest(self) -> None:
        while not self._at_end:
            message = self._messages.get()
            if message is None:
                self._at_end = True
            else:
                self._unwritten[message.topic] += 1

    def _has_room(self, now_ns: int) -> bool:
        """Look at the disk, once for each chunk."""
        if abs(now_ns - self._looked_ns) >= CHUNK_NS:
            self._looked_ns = now_ns
            free = free_bytes(self._writer.part)
            if free is not None and free < self._least_free_bytes:
                self._end(_too_full(free, self._least_free_bytes))
                return False
        return True

    def _facts(self) -> dict[str, str]:
        """What the metadata of the bag say."""
        facts = {'software': f'motion_policy {__version__}'}
        if self._ended:
            left_out = sum((self._late + self._unwritten).values())
            facts |= {'ended': self._ended, 'messages_left_out': str(left_out)}
        return facts
