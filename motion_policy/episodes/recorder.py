# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recording demonstrations live: samples in, episode files out, decoded and written by threads.

Two rules: rows do not depend on when they are made, but are of what was received by their time.
And an episode never has a hole: where a stream falls silent or the disk cannot follow, it ends
with its last complete row, keeps all rows before, and says why it ended.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motion_policy.episodes import layout
from motion_policy.episodes.discarding import discard_episode
from motion_policy.episodes.disk_room import RoomWatch, check_room
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.frame_pool import FramePool, PendingImage, RecordedImage, Wanted
from motion_policy.episodes.images import decode_whole_jpeg
from motion_policy.episodes.judgement import judge_episode
from motion_policy.episodes.paths import next_episode_path
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.judge import judge_recorded, set_before
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.episodes.quality.verdict import QualityVerdict, odd_verdicts, worst_level
from motion_policy.episodes.rollout_messages import RolloutMessages
from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.episodes.row_checks import RowChecks
from motion_policy.episodes.writer import EpisodeWriter
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import CLOCK_STEP_NS, NANOSECONDS_PER_S
from motion_policy.streams import GridSampler, Observation, Row, Sample, observation_from_row

QUEUE_S = 8.0  # rows that may wait for the disk before the episode ends
BUSY_SHARE = 0.5  # of these; from then on images wait where they came, and are dropped there
AHEAD_NS = NANOSECONDS_PER_S // 2  # of rows; of many images at a time long stretches would be lost
BEHIND_NS = 10 * NANOSECONDS_PER_S  # that rows may be, which nobody can make meanwhile
START_NS = NANOSECONDS_PER_S  # making a file takes time, in which messages pile up
CLOCK_JUMP_NS = 5 * NANOSECONDS_PER_S
TOO_SLOW = 'the disk is too slow, or no core is free'


@dataclass(frozen=True)
class Recording:
    """What became of one recording.

    `ended` is empty while it goes on and after a normal stop, else the reason why it ended;
    `path` has the suffix `.part` when the file could not be finished; `odd` names what its rows
    say against themselves or the robot, and `verdicts` judges it, once it is finished. While it
    goes on, `rows_on_disk` is how many a power cut would leave, `seconds_left` what the disk has
    room for, and `few_left` says so when that is little.
    """

    path: Path
    rows: int = 0
    ended: str = ''
    odd: str = ''
    verdicts: tuple[QualityVerdict, ...] = ()
    rows_on_disk: int = 0
    seconds_left: float | None = None
    few_left: str = ''

    def __str__(self) -> str:
        reason = f'ended early: {self.ended}; ' if self.ended else ''
        kept = f'{self.rows} rows in {self.path}' if self.rows else 'no row was recorded'
        return f'{reason}{kept}' + (f'; {self.odd}' if self.odd else '')

    @property
    def quality(self) -> str:
        """The worst of its verdicts: pass, warn or fail; empty while it is not judged."""
        return worst_level(self.verdicts) if self.verdicts else ''

    @property
    def odd_lines(self) -> list[str]:
        """A line for each verdict that is no pass, the worst first."""
        return [f'{each.level}: {each.line()}' for each in odd_verdicts(self.verdicts)]


class EpisodeRecorder:
    """Samples the streams of `robot` all the time and writes the rows while recording.

    `push`, `advance` and the commands belong to one thread; time goes in as an argument.
    """

    def __init__(self, robot: RobotSpec, *, queue_s: float = QUEUE_S) -> None:
        self.robot = robot
        self.last: Recording | None = None
        self._queue_rows = max(1, round(queue_s * robot.rate))
        self._frames = FramePool(robot)
        self._waiting: list[tuple[int, int, str, Sample]] = []  # a heap, by reception and order
        self._pushed = itertools.count()
        self._sampler: GridSampler | None = None
        self._row: Row | None = None
        # It is `_now_ns`; rows are due up to `_due_ns`, and made up to `_made_ns`.
        self._now_ns = self._due_ns = self._made_ns = 0
        self._begin_ns: int | None = None  # of the rows of a recording
        self._writing: _Writing | None = None
        self._streams = {stream.name: stream for stream in robot.streams()}

    @property
    def recording(self) -> bool:
        """Whether rows are being recorded."""
        return self._writing is not None and not self._writing.ended

    @property
    def current(self) -> Recording | None:
        """The recording under way or, with its reason, the one that ended by itself."""
        return None if self._writing is None else self._writing.state()

    @property
    def rows_waiting(self) -> int:
        """Rows that wait for the disk."""
        return 0 if self._writing is None else self._writing.waiting

    @property
    def row(self) -> Row | None:
        """The newest row: samples, ages, faults and counters of all streams."""
        return self._row

    @property
    def made_ns(self) -> int:
        """The time before which all rows were made: what comes now was received then, or later."""
        return self._made_ns

    def has_room(self, until_ns: int = 0) -> bool:
        """Whether to push more images of a camera, or rather to let them wait where they are.

        Of that camera all were pushed that were received before `until_ns`.
        """
        if self._sampler is not None and until_ns - self._made_ns > AHEAD_NS:
            return False
        busy = self.recording and self.rows_waiting > BUSY_SHARE * self._queue_rows
        return not busy and self._frames.has_room()

    def watch(self, now_ns: int) -> None:
        """End a recording whose rows are far behind the time, as what they need does not come."""
        behind_ns = now_ns - self._made_ns
        if self._writing is not None and self.recording and behind_ns > BEHIND_NS:
            self._writing.end(f'rows are {behind_ns / NANOSECONDS_PER_S:.1f} s behind: {TOO_SLOW}')

    def push(self, name: str, sample: Sample) -> None:
        """Take in one sample, which waits until rows beyond its reception are due.

        One that comes when these were made already counts as received after them.
        """
        receive_ns = self.counted_ns(sample.receive_ns)
        if receive_ns != sample.receive_ns:
            sample = replace(sample, receive_ns=receive_ns)
        value = self._frames.add(name, sample.value, sample.receive_ns)
        if value is not sample.value:
            sample = replace(sample, value=value)
        heapq.heappush(self._waiting, (sample.receive_ns, next(self._pushed), name, sample))

    def counted_ns(self, receive_ns: int) -> int:
        """When a sample counts as received that comes now: see `push`."""
        late = 0 < self._made_ns - receive_ns <= CLOCK_JUMP_NS
        return self._made_ns if late else receive_ns

    def advance(self, now_ns: int, late_ns: int = 0) -> None:
        """Record all rows up to `late_ns` before `now_ns`, once their images were looked at.

        All samples that were received by then must have been pushed.
        """
        if self._sampler is None or now_ns - self._now_ns < -CLOCK_STEP_NS:
            self._begin_clock(now_ns)
        self._now_ns = max(self._now_ns, now_ns)
        self._due_ns = max(self._due_ns, now_ns - late_ns)
        if self._begin_ns is None:
            self.begin(now_ns)
        if not self.recording:
            self._frames.wanted = Wanted()
        self._frames.begin_before(self._due_ns)
        self._make_rows()

    def settle(self) -> None:
        """Wait until all rows that are due were made, and all samples before that time taken."""
        while self._waiting and self._waiting[0][0] < self._due_ns:
            value = self._waiting[0][-1].value
            if isinstance(value, PendingImage):
                self._frames.wait_for(value)
            self._make_rows()

    def begin(self, now_ns: int) -> None:
        """Leave the rows before `now_ns` out of the recording that was just started."""
        self._begin_ns = now_ns

    def _make_rows(self) -> None:
        """Make the rows that are due, each of what was received by then."""
        while self._waiting and self._waiting[0][0] < self._due_ns:
            receive_ns, _, name, sample = self._waiting[0]
            frame = sample.value
            if isinstance(frame, PendingImage):
                if not frame.is_ready and frame.row_ns < self._due_ns:
                    self._make_rows_before(receive_ns)
                    return
                if not frame.is_ready:  # in no row yet
                    break
                value = frame.let_go()
                sample = replace(sample, value=value, jpeg=getattr(value, 'jpeg', None))
            heapq.heappop(self._waiting)
            self._make_rows_before(receive_ns)
            assert self._sampler is not None
            self._sampler.push(name, sample)
        self._make_rows_before(self._due_ns)

    def _make_rows_before(self, time_ns: int) -> None:
        if time_ns - self._made_ns > CLOCK_JUMP_NS:
            self._restart(time_ns, time_ns - self._made_ns)
        self._made_ns = max(self._made_ns, time_ns)
        assert self._sampler is not None
        for row in self._sampler.advance(time_ns - 1):
            self._row = row
            if self._begin_ns is not None and row.time_ns >= self._begin_ns and self.recording:
                assert self._writing is not None
                self._record(self._writing, row, self._begin_ns + START_NS)

    def start(
        self, directory: str | Path, *, rollout: RolloutMessages | None = None, **options: Any
    ) -> Path:
        """Begin an episode with the first complete row from `begin` on; return its path.

        Without `begin` that is the time of the next `advance`. `options` are those of
        `EpisodeWriter`. A `rollout` says of each row who drove; None: this is a demonstration.

        Raises:
            UserError: already recording, a stream is silent or does not fit the robot spec, there
                is no room for a minute, or the file cannot be written.
        """
        if self.recording:
            assert self._writing is not None
            raise EpisodeError(
                f'already recording {self._writing.path}; expected ~/stop or ~/discard'
            )
        self._finish_writing()
        self.settle()
        if self._row is None or self._sampler is None:
            raise EpisodeError('no stream has been sampled yet; expected running publishers')
        if self._row.faults:
            raise EpisodeError('; '.join(self.describe_faults(self._row)))
        observation_from_row(self._row, self.robot)
        # PNG takes about half of what pixels do: who has no room for these had better not begin.
        large = options.get('storage') in (layout.RAW, layout.PNG)
        compress = options.get('compress', True) and not large
        check_room(Path(directory), self.robot, compress)
        writer = EpisodeWriter(next_episode_path(directory), self.robot, live=True, **options)
        self._sampler.reset_counters()
        self.last = None
        room = RoomWatch(writer.path, self.robot, compress)
        self._writing = _Writing(writer, self.robot, room, rollout)
        self._frames.wanted = Wanted(writer.keeps_own_jpeg, writer.jpeg_quality, verdicts=True)
        self._begin_ns = None
        return writer.path

    def stop(self) -> Recording:
        """Finish the episode under its final name.

        Raises:
            EpisodeError: nothing was being recorded, or it had ended by itself; the message says
                what was kept where.
        """
        self.settle()
        running = self._writing is not None
        result = self._finish_writing() if running else self.last
        if result is not None and result.ended:
            raise EpisodeError(f'the recording had {result}')
        if result is None or not running:
            raise EpisodeError('not recording; expected ~/start before')
        return result

    def discard(self) -> Path | None:
        """Move the episode under way, or else the last one since the last start, to `discarded/`.

        Returns where it is now; None: it had no row, and nothing is left of it.

        Raises:
            EpisodeError: there is none, it is not where it was left, or it cannot be moved.
        """
        if self._writing is not None:
            self._writing.discarded = True
            self._finish_writing()
        if self.last is None:
            raise EpisodeError('nothing to discard; expected a recording since the last ~/discard')
        # A recording that someone moved or finished meanwhile is no recording without a row.
        is_left = bool(self.last.rows) or self.last.path.exists()
        place = discard_episode(self.last.path) if is_left else None
        self.last = None
        return place

    def mark(self, success: bool) -> Path:
        """Judge the episode under way, or else the last one; returns its path.

        Raises:
            EpisodeError: there is none, or its file cannot be written.
        """
        if self._writing is not None and not self._writing.ended:
            self._writing.success = success
            return self._writing.path
        if self._writing is not None:
            self._finish_writing()
        if self.last is None:
            raise EpisodeError('nothing to judge; expected a recording before')
        judge_episode(self.last.path, success)
        return self.last.path

    def close(self) -> Recording | None:
        """Finish what is being recorded, as at a shutdown; None when there is nothing."""
        self.settle()
        if self._writing is None:
            return None
        if not self._writing.ended:
            self._writing.end('the recorder was shut down')
        return self._finish_writing()

    def describe_faults(self, row: Row) -> list[str]:
        """One line per faulty stream: its name, topic and what is wrong."""
        return [f'{self.stream_label(name)}: {fault}' for name, fault in row.faults.items()]

    def stream_label(self, name: str) -> str:
        """The stream's name and topic, for a message."""
        return f"stream '{name}' ({self._streams[name].topic})"

    def _record(self, writing: _Writing, row: Row, patient_until_ns: int) -> None:
        is_early = not writing.begun and row.time_ns < patient_until_ns
        if is_early and (row.faults or writing.lacks_pixels(row)):
            return
        if row.faults:
            writing.end('; '.join(self.describe_faults(row)))
        elif writing.waiting >= self._queue_rows:
            writing.end(f'{writing.waiting} rows waited to be written: {TOO_SLOW}')
        else:
            writing.put(row)

    def _begin_clock(self, now_ns: int) -> None:
        """Begin with what waits, or anew on a clock that went back."""
        begin_ns = now_ns
        if self._sampler is not None:
            self._waiting = [each for each in self._waiting if each[0] <= now_ns]
            heapq.heapify(self._waiting)
        elif self._waiting:
            begin_ns = min(now_ns, self._waiting[0][0])
        self._restart(begin_ns, now_ns - self._now_ns)
        self._now_ns = self._due_ns = begin_ns

    def _restart(self, begin_ns: int, jump_ns: int) -> None:
        """Begin anew: nothing is known of the time before."""
        if self._writing is not None and not self._writing.ended:
            back = ': time goes back' if jump_ns < 0 else ', or this process stood still'
            self._writing.end(f'the clock jumped by {jump_ns / NANOSECONDS_PER_S:.2f} s{back}')
        before = self._sampler
        self._sampler = GridSampler(self.robot.streams(), self.robot.rate, begin_ns)
        if before is not None:
            self._sampler.keep_from(before)
        self._row, self._made_ns = None, begin_ns

    def _finish_writing(self) -> Recording:
        """Wait for the thread to finish the file; the result becomes `last`."""
        if self._writing is None:
            return Recording(Path())
        self._frames.wanted = Wanted()
        self.last, self._writing = self._writing.finish(), None
        return self.last


class _Writing:
    """One episode being written by a thread of its own."""

    def __init__(
        self, writer: EpisodeWriter, robot: RobotSpec, room: RoomWatch,
        rollout: RolloutMessages | None = None,
    ) -> None:  # fmt: skip
        self.path = writer.path
        self.success: bool | None = None
        self.discarded = False
        self.begun = False
        self._writer = writer
        self._robot = robot
        self._room = room
        self._rollout = rollout
        if rollout is not None:
            rollout.begin()
        self._odd: list[str] = []
        self._images = ImageWatch()
        self._verdicts: tuple[QualityVerdict, ...] = ()
        self._set = EpisodeSet()
        self._rows: queue.Queue[tuple[Row, RolloutRow | None] | None] = queue.Queue()
        self._reason = ''
        self._error = ''
        # Reading the episodes before takes a moment, for which no row shall wait.
        self._reading = threading.Thread(target=self._read_set, name='episode set')
        self._thread = threading.Thread(target=self._work, name='episode writer')
        self._reading.start()
        self._thread.start()

    @property
    def waiting(self) -> int:
        return self._rows.qsize()

    @property
    def ended(self) -> str:
        """Why no more rows are taken; empty while they are."""
        return '; '.join(filter(None, (self._reason, self._error)))

    def state(self) -> Recording:
        odd = '; '.join(self._odd)
        return Recording(
            self.path, self._writer.length, self.ended, odd, self._verdicts,
            self._writer.rows_on_disk, self._room.seconds, self._room.few,
        )  # fmt: skip

    def lacks_pixels(self, row: Row) -> bool:
        """Whether an image was encoded for the recording before, where this one stores pixels."""
        values = [row.samples[camera].value for camera in self._robot.cameras]
        return self._writer.jpeg_quality is None and any(
            isinstance(value, RecordedImage)
            and value.jpeg is None
            and value.image is not None
            and value.image.ndim == 1
            for value in values
        )

    def put(self, row: Row) -> None:
        self.begun = True
        self._rows.put((row, None if self._rollout is None else self._rollout.of(row)))

    def end(self, reason: str) -> None:
        """Take no more rows, and finish the file with those that wait."""
        self._reason, self.success = reason, None
        self._rows.put(None)

    def finish(self) -> Recording:
        if not self._reason:
            self._rows.put(None)
        self._thread.join()
        self._reading.join()
        # Another file may have taken the name meanwhile.
        path = self.path if self._writer.is_finished else layout.part_path(self.path)
        state = self.state()
        return replace(state, path=path, rows=state.rows if path.exists() else 0)

    def _work(self) -> None:
        checks, last = RowChecks(self._robot), None
        with self._errors_noted():
            while (each := self._rows.get()) is not None:
                last = row = each[0]
                observation = self._as_stored(observation_from_row(row, self._robot))
                looked = {
                    camera: value
                    for camera in observation.images
                    if isinstance(value := row.samples[camera].value, RecordedImage)
                }
                coloured = {camera: frame.has_colours for camera, frame in looked.items()}
                impossible = checks.add(row, observation, coloured)
                if impossible:
                    raise EpisodeError(impossible)
                self._writer.append(row.time_ns, observation, row, each[1])
                for camera, image in observation.images.items():
                    exposure = looked[camera].exposure if camera in looked else None
                    self._images.add(camera, image, exposure)
                for name, depth in observation.depth.items():
                    self._images.add_depth(name, depth)
                self._room.look(row.time_ns)
        with self._errors_noted():
            self._writer.success = self.success
            self._writer.ended = self.ended
            self._writer.close()
            if self._writer.is_finished and not self.discarded:
                verdict = checks.verdict()
                # An error tells of one already.
                failures = () if self._error else verdict.failures
                self._odd = [*map(str, failures), *self._writer.left_out, *map(str, verdict.notes)]
                self._odd += [] if self._rollout is None else self._rollout.odd_lines
                # What ended it early tells why by itself.
                self._odd += [] if last is None or self.ended else self._passed_over(last)
                self._judge()

    def _as_stored(self, observation: Observation) -> Observation:
        """The observation in pixels where these are stored: first images came before the start."""
        if self._writer.jpeg_quality is not None:
            return observation
        images = dict(observation.images)
        for camera, image in images.items():
            if image.ndim == 1:  # of a slow camera: encoded for the recording before, maybe
                own = camera in observation.jpegs
                order = layout.CAMERA_JPEG if own else layout.JPEG
                images[camera] = decode_whole_jpeg(image, order)
        return replace(observation, images=images)

    def _read_set(self) -> None:
        with suppress(OSError):  # a folder that cannot be read: there is no set then
            self._set = set_before(self.path)

    def _judge(self) -> None:
        """Judge the finished file; it is as good as before where that fails."""
        self._reading.join()
        try:
            self._verdicts = judge_recorded(self.path, self._images, self._set)
        except UserError as error:
            self._odd.append(f'not judged: {error}')
        except Exception as error:
            self._odd.append(f'not judged: {error!r}')

    def _passed_over(self, last: Row) -> list[str]:
        """A line for every stream of which messages of this episode could not be taken."""
        topics = {stream.name: stream.topic for stream in self._robot.streams()}
        return [
            f"stream '{name}' ({topics[name]}): {counted.unusable} of {counted.received} messages "
            f'were not taken: {counted.reason}'
            for name, counted in last.counters.items()
            if counted.unusable
        ]

    @contextmanager
    def _errors_noted(self) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            self._error = self._error or str(error)
        except Exception as error:
            # Lost in a thread otherwise, and the operator would believe that all is well.
            self._error = self._error or repr(error)
