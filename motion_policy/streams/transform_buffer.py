# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Buffer of the transforms on the way between two frames, and their composition by time.

Rule, as of tf2's newest transform: all transforms of one way are taken at the same time, the
newest stamp of the one that is furthest behind, and those that are further are interpolated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from motion_policy.robot.spec import NANOSECONDS_PER_S, StreamSpec
from motion_policy.robot.vector import ROTATION, TRANSLATION, VectorSpec
from motion_policy.streams.buffers import (
    JUMP,
    JUMPS,
    JUMPS_WITHIN_NS,
    MOST_NAMES,
    Entry,
    Jumps,
    Series,
    StreamBuffer,
)
from motion_policy.streams.errors import StreamError
from motion_policy.streams.joints import Float64Array
from motion_policy.streams.samples import Sample
from motion_policy.streams.transforms import (
    IDENTITY,
    Pose,
    TransformLayout,
    TransformLayouts,
    TransformMessage,
    composed,
    interpolated,
    inverted,
)

NUMBERS = (*TRANSLATION, *ROTATION)


@dataclass
class FixedTransform:
    """A transform that does not move: of the newest message that holds it."""

    parent: str
    pose: Pose
    sample: Sample


class MovingTransform:
    """The recent poses of one frame in its parent."""

    def __init__(self, child: str, parent: str, spec: StreamSpec) -> None:
        self.child, self.parent = child, parent
        self.series = Series(spec)
        self.unusable = ''  # why its newest was not taken
        self.turns: deque[tuple[int, str]] = deque(maxlen=JUMPS)  # of its parent
        self._last: Sample | None = None
        self._looked_at: Sample | None = None  # last, for jumps: of what is near there are none
        self._jumps, self._rotation = self._unmoved()

    def __str__(self) -> str:
        return f"transform '{self.parent}' -> '{self.child}'"

    def hang_under(self, parent: str, receive_ns: int) -> None:
        """Go on in another frame; what was of the one before is forgotten."""
        self.turns.append((receive_ns, self.parent))
        self.parent = parent
        self.series.clear()
        self._last = None
        self._jumps, self._rotation = self._unmoved()

    def add(self, stamp_ns: int, sample: Sample) -> None:
        """Take a sample of a pose."""
        self.series.add(stamp_ns, sample)
        before, self._last = self._last, sample
        if before is None or not _is_far(before.value, sample.value):
            return
        if before is not self._looked_at:
            self._look(before)
        self._look(sample)
        self._looked_at = sample

    def _look(self, sample: Sample) -> None:
        numbers = np.array(sample.value)
        if float(numbers[3:] @ self._rotation) < 0:  # the same rotation
            numbers[3:] *= -1
        self._rotation = numbers[3:]
        self._jumps.look(sample.receive_ns, tuple(range(len(numbers))), numbers)

    def at(self, t_ns: int, stamp_ns: int, max_age_ns: int) -> Pose | None:
        """The pose at the time of a stamp, of what was received by `t_ns`.

        None where nothing is from before, or it was silent for longer than `max_age_ns` then.
        What is older than that, and than `max_age_ns` before `t_ns`, is forgotten.
        """
        found = self.series.around(t_ns, stamp_ns)
        if found is None:
            return None
        before, after = found
        self.series.forget_before(before, t_ns - max_age_ns)
        if after is before:
            pose: Pose = before.sample.value
            return pose
        if after.stamp_ns - before.stamp_ns > max_age_ns:
            return None
        share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        return interpolated(before.sample.value, after.sample.value, share)

    def conflict(self, t_ns: int) -> str:
        """Say which senders disagree; empty if none do."""
        if len(self.turns) == JUMPS and t_ns - self.turns[0][0] <= JUMPS_WITHIN_NS:
            other = self.turns[-1][1]
            return (
                f"frame '{self.child}' is in '{self.parent}' and in '{other}' in turn: do several "
                'nodes publish it?'
            )
        return self._jumps.told(t_ns)

    def _unmoved(self) -> tuple[Jumps, Float64Array]:
        return Jumps(tuple(f'{self} {number}' for number in NUMBERS)), np.array(IDENTITY[3:])


@dataclass(frozen=True)
class Way:
    """From a frame up to the one that both are in, and down to the child: names of children."""

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    broken: str = ''  # why there is none

    @property
    def frames(self) -> tuple[str, ...]:
        """All frames whose transforms are on the way."""
        return (*self.up, *self.down)


@dataclass
class Frames:
    """Which frame hangs under which, as the newest messages have it, and whether it moves."""

    fixed: dict[str, FixedTransform] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)  # of those that move
    version: int = 0  # of `parents`, and of those of `fixed`

    def parent(self, frame: str) -> str | None:
        """Where it hangs; None if it is a root, or is not known."""
        if frame in self.parents:
            return self.parents[frame]
        return self.fixed[frame].parent if frame in self.fixed else None

    def hang(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take (child, parent) of moving frames."""
        for child, parent in pairs:
            if self.parents.get(child) != parent:
                self.parents[child] = parent
                self.version += 1

    def fix(self, child: str, transform: FixedTransform) -> None:
        """Take a frame that does not move."""
        before = self.fixed.get(child)
        self.fixed[child] = transform
        if before is None or before.parent != transform.parent:
            self.version += 1

    def way(self, frame: str, child: str) -> Way:
        """The way from one frame to another."""
        above, below = self._ascent(frame), self._ascent(child)
        common = next((each for each in below if each in set(above)), None)
        if common is None:
            return Way(broken=self._broken(frame, child, above, below))
        up = tuple(above[: above.index(common)])
        return Way(up, tuple(reversed(below[: below.index(common)])))

    def _ascent(self, frame: str) -> list[str]:
        """A frame and those that it is in, up to the root or around a loop once."""
        frames = [frame]
        while (parent := self.parent(frames[-1])) is not None and parent not in frames:
            frames.append(parent)
        return frames

    def _broken(self, frame: str, child: str, above: list[str], below: list[str]) -> str:
        heard = '' if self.fixed else '; nothing is heard of transforms that do not move'
        known = dict.fromkeys([*self.fixed, *self.parents])
        known.update(dict.fromkeys(self.parent(each) or '' for each in list(known)))
        for name in (frame, child):
            if name not in known:
                there = ', '.join(list(known)[:MOST_NAMES]) or 'none'
                more = f' and {len(known) - MOST_NAMES} more' * (len(known) > MOST_NAMES)
                return f"there is no frame '{name}', but: {there}{more}{heard}"
        for ascent in (above, below):
            parent = self.parent(ascent[-1])
            if parent is not None:
                loop = [*ascent[ascent.index(parent) :], parent]
                return f'frames are in a loop: {" in ".join(map(repr, loop))}'
        return (
            f"frames are not connected: '{frame}' is in '{above[-1]}', '{child}' in "
            f"'{below[-1]}'{heard}"
        )


class TransformBuffer(StreamBuffer):
    """The pose (7,) of a frame in another: x, y, z, and the quaternion x, y, z, w."""

    def __init__(self, spec: StreamSpec) -> None:
        assert isinstance(spec.source, VectorSpec) and spec.source.transform is not None
        self._ends = spec.source.transform
        self._static_topic = spec.source.static_topic
        self._columns = [NUMBERS.index(each) for each in spec.source.fields]
        self._layouts = TransformLayouts()
        self._frames = Frames()
        self._known: dict[str, MovingTransform] = {}  # of those on the way, now or before
        self._moving: list[MovingTransform] = []  # on the way
        self._refused: dict[str, str] = {}  # why what does not move was not taken, by frame
        self._lacking = ''  # what was not there when a row was picked
        self._newest: list[tuple[MovingTransform, Entry]] = []  # of what was picked last
        self._standing: Entry | None = None  # that, unless a message has come since
        self._way, self._way_version = Way(), -1
        self._find_way(0)
        super().__init__(spec)

    def push(self, sample: Sample) -> None:
        """Take in one message; those that do not move are not counted: they may come twice."""
        super().push(sample)
        self._standing = None
        if isinstance(sample.value, TransformMessage) and sample.value.is_static:
            self._received -= 1
            self._counters = None

    def pick(self, t_ns: int) -> Entry | None:
        before, self._newest = self._newest, []
        self._lacking = ''
        if self._way.broken:
            return None
        for moving in self._moving:
            entry = moving.series.newest(t_ns)
            if entry is None:
                self._lacking = _missing(moving)
                return None
            self._newest.append((moving, entry))
        if not self._newest:
            return self._picked_fixed(t_ns)
        if self._standing is None or before != self._newest:  # a tick may look before news come
            self._standing = self._at_one_time(t_ns)
        return self._standing

    def _at_one_time(self, t_ns: int) -> Entry | None:
        """The newest poses, at the time of the one that is furthest behind."""
        behind, oldest = min(self._newest, key=lambda each: each[1].stamp_ns)
        poses = {}
        for moving, _ in self._newest:
            pose = moving.at(t_ns, oldest.stamp_ns, self.spec.max_age_ns)
            if pose is None:
                ago_s = (t_ns - oldest.time_ns) / NANOSECONDS_PER_S
                self._lacking = f'{moving} missing at the time of {behind}, {ago_s:.2f} s ago'
                return None
            poses[moving.child] = pose
        entries = [entry for _, entry in self._newest]
        header_ns = min(entry.sample.header_ns for entry in entries)
        receive_ns = max(entry.sample.receive_ns for entry in entries)
        value = self._composed(poses)
        standing = Entry(oldest.stamp_ns, Sample(header_ns, receive_ns, value))
        standing.time_ns = oldest.time_ns
        standing.lead_ns, standing.late_ns = oldest.lead_ns, oldest.late_ns
        return standing

    def absence(self) -> str:
        """Say why nothing stands."""
        refused = '; '.join(f'not taken: {each}' for each in self._refused.values())
        if self._way.broken:
            return f'missing, {"; ".join(filter(None, (self._way.broken, refused)))}'
        return self._lacking or super().absence()

    def since(self) -> str:
        """Say what became of messages since those that were taken, if that is known."""
        told = [f'{each}: {each.unusable}' for each, _ in self._newest if each.unusable]
        return f', of its newest messages {told[0]}' if told else super().since()

    def older_than(self, limit_ns: int) -> str:
        """Name the transforms in what was picked last that are older."""
        return self._those_of(lambda entry: entry.time_ns < limit_ns)

    def ahead_by_more(self, limit_ns: int) -> str:
        """Name the transforms in what was picked last whose stamps lead their reception."""
        return self._those_of(lambda entry: entry.lead_ns > limit_ns)

    def conflict(self, t_ns: int) -> str:
        """Say which transform has several senders that disagree; empty if none has."""
        lines = (moving.conflict(t_ns) for moving in self._known.values())
        return next(filter(None, lines), '')

    def keep_from(self, before: StreamBuffer) -> None:
        """Take over the transforms that do not move: they are sent once."""
        if isinstance(before, TransformBuffer):
            self._frames.fixed = dict(before._frames.fixed)
            self._refused = dict(before._refused)
            self._frames.version += 1
            self._find_way(0)

    def _take(self, sample: Sample) -> None:
        message = sample.value
        if not isinstance(message, TransformMessage):
            raise StreamError(f'is no message of transforms: {message.data}')
        layout = self._layouts.of(message.data)
        unusable = (self._take_fixed if message.is_static else self._take_moving)(layout, sample)
        if unusable:
            raise StreamError(unusable)
        self._unusable_since = False

    def _take_fixed(self, layout: TransformLayout, sample: Sample) -> str:
        unusable = ''
        for place in layout.places:
            self._refused.pop(place.child, None)
            try:
                stamp_ns, pose = layout.stamp_and_pose(sample.value.data, place)
            except StreamError as error:
                unusable = f"transform '{place.parent}' -> '{place.child}': {error}"
                if len(self._refused) < MOST_NAMES:
                    self._refused[place.child] = unusable
                continue
            fixed = FixedTransform(place.parent, pose, replace(sample, header_ns=stamp_ns))
            self._frames.fix(place.child, fixed)
        self._find_way(sample.receive_ns)
        return unusable

    def _take_moving(self, layout: TransformLayout, sample: Sample) -> str:
        if layout.applied != self._frames.version:
            self._frames.hang((place.child, place.parent) for place in layout.places)
            self._find_way(sample.receive_ns)
            layout.applied = self._frames.version
            moving = {each.child for each in self._moving}
            layout.wanted = [place for place in layout.places if place.child in moving]
        unusable = ''
        for place in layout.wanted:
            moved = self._known[place.child]
            try:
                stamp_ns, pose = layout.stamp_and_pose(sample.value.data, place)
            except StreamError as error:
                moved.unusable = str(error)
                unusable = f'{moved}: {error}'
                continue
            moved.unusable = ''
            taken = Sample(stamp_ns, sample.receive_ns, pose)
            moved.add(self._stamp(taken), taken)
        self._foreign += not layout.wanted and not self._way.broken
        return unusable

    def _find_way(self, receive_ns: int) -> None:
        """Find it anew, where frames have come or hang elsewhere."""
        frames = self._frames
        if frames.version == self._way_version:
            return
        self._way_version, self._way = frames.version, frames.way(*self._ends)
        self._moving = []
        for child in self._way.frames:
            if child not in frames.parents:
                continue
            if child in frames.fixed:
                self._way = Way(
                    broken=f"frame '{child}' is on topic '{self.spec.topic}' and on "
                    f"'{self._static_topic}', expected it to move or not"
                )
            self._moving.append(self._known_in(frames.parents[child], child, receive_ns))

    def _known_in(self, parent: str, child: str, receive_ns: int) -> MovingTransform:
        known = self._known.get(child)
        if known is None:
            known = self._known[child] = MovingTransform(child, parent, self.spec)
        elif known.parent != parent:
            known.hang_under(parent, receive_ns)
        return known

    def _picked_fixed(self, t_ns: int) -> Entry:
        """What stands where nothing on the way moves: it is of now, whenever it was sent."""
        samples = [self._frames.fixed[child].sample for child in self._way.frames]
        newest = max(samples, key=lambda sample: sample.receive_ns)
        standing = Entry(t_ns, replace(newest, value=self._composed({})))
        standing.time_ns, standing.lead_ns, standing.late_ns = t_ns, 0, 0
        return standing

    def _composed(self, moving: dict[str, Pose]) -> Float64Array:
        """The columns (n,) of the whole way, of the poses that move and those that do not."""
        ends = []
        for children in (reversed(self._way.up), self._way.down):
            end = IDENTITY
            for child in children:
                fixed = self._frames.fixed.get(child)
                end = composed(end, moving[child] if fixed is None else fixed.pose)
            ends.append(end)
        pose = composed(inverted(ends[0]), ends[1])
        return np.array([pose[column] for column in self._columns])

    def _those_of(self, condition: Callable[[Entry], bool]) -> str:
        """Names of transforms by their entries; '' where it is all of several."""
        found = [str(moving) for moving, entry in self._newest if condition(entry)]
        if len(found) == len(self._newest) > 1:
            return ''
        more = f' and {len(found) - MOST_NAMES} more' * (len(found) > MOST_NAMES)
        return ', '.join(found[:MOST_NAMES]) + more

    def _all_series(self) -> tuple[Series, ...]:
        return tuple(moving.series for moving in self._known.values())

    def _of_all(self, counts: list[int]) -> int:
        """One message holds many transforms: what is missing of the one that lacks most."""
        return max(counts, default=0)

    def _clear(self) -> None:
        """What does not move stays: it is sent once."""
        self._frames.parents = {}
        self._frames.version += 1
        self._known = {}
        self._find_way(0)


def _is_far(one: Pose, other: Pose) -> bool:
    return any(abs(a - b) > JUMP for a, b in zip(one, other, strict=True))


def _missing(moving: MovingTransform) -> str:
    why = f', its messages cannot be used: {moving.unusable}' if moving.unusable else ''
    return f'{moving} missing{why}'
