# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Turn a data set of LeRobot into episodes: the same joints, the images of its videos.

Columns go by their names, rows by their time stamps, numbers by the units that are said. What
does not fit the robot is refused before anything is written.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats import SHORTEST_STRETCH_S
from motion_policy.episodes.formats.lerobot.meta import INFO
from motion_policy.episodes.formats.lerobot.read import (
    ACTION,
    EFFORT,
    ON_GRID,
    STATE,
    VELOCITY,
    LerobotEpisode,
    LerobotSet,
)
from motion_policy.episodes.formats.match_robot import (
    ForeignData,
    check_fit,
    chosen_cameras,
    placeholder_for_data,
    recorded_robot,
)
from motion_policy.episodes.formats.ros_types import is_usual, usual_fields_of
from motion_policy.episodes.formats.untimed import UntimedEpisodes
from motion_policy.episodes.reported import nowhere, reported
from motion_policy.robot import RobotSpec, StreamSpec, VectorSpec
from motion_policy.robot.joint_order import joint_order, plain_name, say_nothing
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.robot.units import UnitConversion, Units, unit_conversion
from motion_policy.robot.vector import checked_fields
from motion_policy.streams import GridSampler, Observation, Row, Sample, StreamError
from motion_policy.streams.message_fields import with_known_fields

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

# A row is resampled for so many periods, if its streams may not be older anyway.
HELD_PERIODS = 1.5

# Several tasks of one episode in the one text that ours has.
BETWEEN_TASKS = '; '

MOST_NAMES = 12  # of columns that a note tells


def import_lerobot(
    source: str | Path,
    robot: RobotSpec,
    out_dir: str | Path,
    *,
    cameras: Mapping[str, str] | None = None,
    joints: Mapping[str, str] | None = None,
    units: Units | None = None,
    grippers: tuple[float, float] | None = None,
    split_at_gaps: bool = False,
    task: str = '',
    note: Callable[[str], None] = lambda line: None,
    on_row: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[tuple[Path, Path]]:
    """Import one data set; return pairs: an episode, and the file that its rows were in.

    Args:
        source: folder of the set.
        robot: whose joints and cameras they are.
        out_dir: where the episodes go, under the next free numbers.
        cameras: the robot's name of a camera to its name in the set; default: all of the set.
        joints: the robot's name of a joint to its name in the set, where they differ.
        units: of its positions; None: the robot's, refused where that cannot be.
        grippers: what closed and open of a gripper stand for; see `unit_conversion`.
        split_at_gaps: where there is a gap in the time stamps of an episode, end one and begin
            another, instead of refusing the set; stretches under 1 s are left out.
        task: what is demonstrated; default: what the set says of each episode.
        note: told in one line each what is assumed, left out or suspicious.
        on_row: called after every row that is written, for a progress bar.
        **options: of `EpisodeWriter` (operator, sim, compress, ...).

    Raises:
        EpisodeError: no such set, or it does not fit the robot. No episode is left behind then.
    """
    data = LerobotSet(source)
    foreign = _foreign(data)
    robot = _with_known_fields(data, robot)
    chosen = chosen_cameras(foreign, robot, cameras)
    vectors = _vector_orders(data, robot, note)
    recorded = recorded_robot(robot, chosen, data.rate, Path(source), note, vectors)
    check_fit(foreign, recorded, chosen)
    columns = _Columns.of(data, recorded, joints or {}, units, grippers, note)
    for line in columns.check(data):
        note(f'{source}: {line}')
    unused = [f'camera {name}' for name in data.cameras if name not in chosen.values()]
    if unused or data.left_out:
        note(f'{source}: {", ".join([*unused, *data.left_out])} is left out')
    created_ns = (Path(source) / INFO).stat().st_mtime_ns
    # Who says that the numbers are rad has looked at them.
    options |= {'created_ns': created_ns, 'any_place': units == 'rad'}
    absent = dict.fromkeys((VELOCITY, EFFORT), 0)
    with UntimedEpisodes(recorded, Path(source), on_row, note, options) as new:
        pairs = []
        for each in data.episodes:
            rows = _rows(data, each, chosen, columns, vectors, absent)
            named = f'{each.data}: episode {each.number}'
            said = {
                'task': task or _task(data, each, note),
                'operator': options.get('operator', '') or each.operator,
                'success': each.success,
            }
            times_s = data.times(each)
            if data.on_grid(times_s):
                path = new.write(Path(out_dir), named, rows, **said)
                pairs.append((path, each.data))
                continue
            note(_resampled_said(data, each, times_s))
            for stretch in _stretches(times_s, recorded) if split_at_gaps else [slice(None)]:
                times_there_s = times_s[stretch]
                some = itertools.islice(rows, len(times_there_s))
                if split_at_gaps and np.ptp(times_there_s) < SHORTEST_STRETCH_S:
                    note(f'{data.path}: episode {each.number}: {_left_out(some)}')
                    continue
                sampled = _resampled(each, times_there_s, recorded, some)
                path = new.write_sampled(Path(out_dir), named, sampled, **said)
                pairs.append((path, each.data))
        for name in filter(absent.get, absent):
            became = 'zero' if name == VELOCITY else 'left out'
            count = f'{absent[name]} of {len(data.episodes)} episodes'
            note(f'{data.path}: {name} is {became}: NaN in all rows of {count}')
        if not pairs:
            raise EpisodeError(
                f'{data.path}: holds no stretch of {SHORTEST_STRETCH_S:g} s without a gap'
            )
        return pairs


def placeholder_for(
    sources: Iterable[str | Path], *, cameras: Mapping[str, str] | None = None
) -> RobotSpec:
    """Return a robot that stands in for the one of these sets, whose limits hold all their data.

    Its joints have the names that the first set has for the columns of its state.

    Raises:
        EpisodeError: no such set, or sets of different robots.
    """
    sets = [LerobotSet(source) for source in sources]
    for each in sets:
        if each.joints != sets[0].joints:
            raise EpisodeError(
                f'{each.path}: has {each.joints} joints, expected {sets[0].joints} as '
                f'{sets[0].path}'
            )
    found = sets[0].names[STATE]
    names = None if say_nothing(found, sets[0].joints) else tuple(map(plain_name, found))
    if names is not None and len(set(names)) != sets[0].joints:
        raise EpisodeError(
            f"{sets[0].path}: '{STATE}' has {sets[0].joints} columns and the names "
            f'{", ".join(names)}; expected a name for each, each once'
        )
    low = np.full(sets[0].joints, np.inf)
    high = -low
    for each in sets:
        orders = {
            name: None
            if names is None
            else joint_order(each.names[name], names, _where(each, name))
            for name in (STATE, ACTION)
        }
        for values in _positions(each, orders):
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    return placeholder_for_data(_foreign(sets[0]), low, high, cameras, sets[0].rate, names)


def rows_of(source: str | Path) -> int:
    """Return the number of rows of a set.

    Raises:
        EpisodeError: no such set.
    """
    return sum(episode.length for episode in LerobotSet(source).episodes)


def _foreign(data: LerobotSet) -> ForeignData:
    return ForeignData(data.path, data.joints, data.cameras)


def _where(data: LerobotSet, name: str) -> str:
    return f"{data.path}: '{name}'"


def _positions(data: LerobotSet, orders: Mapping[str, list[int] | None]) -> Iterator[Array]:
    """Yield measured and commanded positions (T, J) in the robot's order, in the set's units."""
    for episode in data.episodes:
        vectors = data.vectors(episode)
        for name in (STATE, ACTION):
            values = vectors[name].astype(np.float64)
            yield values if (order := orders[name]) is None else values[:, order]


@dataclass(frozen=True)
class _Columns:
    """How the columns of a set become a robot's joints: in which order, and in which units."""

    orders: dict[str, list[int] | None]
    conversion: UnitConversion

    @classmethod
    def of(
        cls,
        data: LerobotSet,
        robot: RobotSpec,
        joints: Mapping[str, str],
        units: Units | None,
        grippers: tuple[float, float] | None,
        note: Callable[[str], None],
    ) -> _Columns:
        for name in joints:
            if name not in robot.joints.names:
                known = ', '.join(robot.joints.names)
                raise EpisodeError(f"--joints: '{name}': robot '{robot.name}' has: {known}")
        orders = {
            name: joint_order(names, robot.joints.names, _where(data, name), joints)
            for name, names in data.names.items()
        }
        unnamed = [name for name, order in orders.items() if order is None]
        if unnamed:
            note(f'{data.path}: no names of joints in {", ".join(unnamed)}: taken in their order')
        moved = [name for name, order in orders.items() if order and order != sorted(order)]
        if moved:
            note(f'{data.path}: {", ".join(moved)}: in another order than the robot, by name')
        conversion = unit_conversion(robot, units, grippers)
        if conversion.changes:
            note(f'{data.path}: {_converted_said(conversion)}')
        return cls(orders, conversion)

    def check(self, data: LerobotSet) -> list[str]:
        """Hold all positions against the robot: raise what cannot be, return what is odd."""
        names = (STATE, ACTION)
        joints = len(self.conversion.scale)
        low, high = np.full(joints, np.inf), np.full(joints, -np.inf)
        for values in _positions(data, {name: self.orders[name] for name in names}):
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        return self.conversion.check(low, high, str(data.path))

    def vectors(self, data: LerobotSet, episode: LerobotEpisode) -> dict[str, Float32Array]:
        """Return the vectors of an episode (T, J) as the robot has them."""
        found = {}
        for name, values in data.vectors(episode).items():
            order = self.orders[name]
            found[name] = values if order is None else values[:, order]
        if self.conversion.changes:
            for name in (STATE, ACTION):
                found[name] = self.conversion.positions(found[name]).astype(np.float32)
            if VELOCITY in found:
                found[VELOCITY] = self.conversion.speeds(found[VELOCITY]).astype(np.float32)
        return found


def _converted_said(conversion: UnitConversion) -> str:
    names = conversion.robot.joints.names
    parts = [
        f'{name} {scale:.6g} * x {offset:+.6g}'
        for name, scale, offset in zip(names, conversion.scale, conversion.offset, strict=True)
        if scale != 1 or offset
    ]
    return f'units are converted: {", ".join(parts)}'


def _with_known_fields(data: LerobotSet, robot: RobotSpec) -> RobotSpec:
    """The robot whose vectors name every number: as ROS 2's message types do, or else the set."""
    usual = {name: vector for name, vector in robot.vectors.items() if is_usual(vector.type)}
    try:
        known = with_known_fields(robot.model_copy(update={'vectors': usual}), usual_fields_of)
    except StreamError as error:
        raise EpisodeError(f'{data.path}: {error}') from None
    vectors = {
        name: known.vectors.get(name) or _as_named(vector, data.names_of(name))
        for name, vector in robot.vectors.items()
    }
    return robot.model_copy(update={'vectors': vectors})


def _as_named(vector: VectorSpec, names: Sequence[str]) -> VectorSpec:
    """The vector in which a message stands for what the set calls `message.*`, if anything."""
    fields: list[str] = []
    for field in vector.fields:
        inside = [name for name in names if name.startswith(f'{field}.')]
        arrays = Counter(name.partition('[')[0] for name in inside if '[' in name)
        fields += dict.fromkeys(
            f'{path}[{arrays[path]}]' if (path := name.partition('[')[0]) in arrays else name
            for name in inside
        ) or [field]
    return vector.model_copy(update={'fields': checked_fields(tuple(fields))})


def _vector_orders(
    data: LerobotSet, robot: RobotSpec, note: Callable[[str], None]
) -> dict[str, list[int]]:
    """In which order the set has the columns of the robot's vectors, of those that it has."""
    orders = {}
    for name, named in data.take_vectors(robot.vectors).items():
        ours, fields = robot.vectors[name].columns, robot.vectors[name].fields
        by_name = sorted(named) == sorted(ours)
        if not by_name:
            more = ', ...' * (len(named) > MOST_NAMES)
            called = ', '.join(named[:MOST_NAMES]) + more
            called = f'are called {called}' if named else 'have no names'
            note(f"{data.path}: the columns of '{name}' {called}: taken as {', '.join(fields)}")
        orders[name] = [named.index(each) for each in ours] if by_name else [*range(len(ours))]
    return orders


def _task(data: LerobotSet, episode: LerobotEpisode, note: Callable[[str], None]) -> str:
    tasks = data.tasks(episode)
    joined = BETWEEN_TASKS.join(tasks)
    if len(tasks) > 1:
        shown = ' '.join(joined.split())
        note(f'{data.path}: episode {episode.number}: {len(tasks)} tasks in one text: {shown}')
    return joined


def _rows(
    data: LerobotSet,
    episode: LerobotEpisode,
    cameras: Mapping[str, str],
    columns: _Columns,
    vector_orders: Mapping[str, Sequence[int]],
    absent: dict[str, int],
) -> Iterator[Observation]:
    """Yield the rows of an episode; `absent` counts episodes that report a field in no row."""
    vectors = columns.vectors(data, episode)
    numbers = data.numbers(episode)
    numbers = {name: numbers[name][..., order] for name, order in vector_orders.items()}
    for name in absent:
        absent[name] += nowhere(vectors.get(name))
    qvel = vectors.get(VELOCITY, np.zeros_like(vectors[STATE]))
    streams = {ours: data.images(episode, theirs) for ours, theirs in cameras.items()}
    for row in range(episode.length):
        speeds = reported(qvel, row)
        yield Observation(
            qpos=vectors[STATE][row],
            qvel=np.zeros_like(qvel[row]) if speeds is None else speeds,
            effort=reported(vectors.get(EFFORT), row),
            has_qvel=speeds is not None,
            images={name: _next(data, episode, images) for name, images in streams.items()},
            action=vectors[ACTION][row],
            vectors={name: values[row] for name, values in numbers.items()},
        )


def _next(data: LerobotSet, episode: LerobotEpisode, images: Iterator[Array]) -> Array:
    image = next(images, None)
    if image is None:
        raise EpisodeError(f'{episode.data}: episode {episode.number}: has fewer images than rows')
    return image


def _resampled_said(data: LerobotSet, episode: LerobotEpisode, times_s: Array) -> str:
    said_s = (episode.length - 1) / data.rate
    return (
        f'{data.path}: episode {episode.number}: its time stamps span '
        f'{times_s[-1] - times_s[0]:.3f} s, its {episode.length} rows {said_s:.3f} s at '
        f'{data.rate:g} Hz: resampled by the stamps'
    )


def _stretches(times_s: Array, robot: RobotSpec) -> list[slice]:
    """Return the rows between gaps, in which a row would be older than its streams may be."""
    longest_s = min(each.max_age for each in _held_streams(robot))
    begins = [0, *(np.flatnonzero(np.diff(times_s) > longest_s) + 1).tolist(), len(times_s)]
    return [slice(begin, end) for begin, end in itertools.pairwise(begins)]


def _left_out(rows: Iterator[Observation]) -> str:
    count = sum(1 for _ in rows)
    return f'left out a stretch of {count} rows between gaps in its time stamps'


def _held_streams(robot: RobotSpec) -> list[StreamSpec]:
    # At a low rate a sample has to hold until the next one comes.
    least_s = HELD_PERIODS / robot.rate
    # What stands in the rows are observations, not messages to be read.
    return [
        replace(each, max_age=max(each.max_age, least_s), source=None) for each in robot.streams()
    ]


def _resampled(
    episode: LerobotEpisode, times_s: Array, robot: RobotSpec, rows: Iterator[Observation]
) -> Iterator[tuple[Row, Observation]]:
    """Bring rows that have times of their own to the grid, as the recorder would have.

    Raises:
        EpisodeError: there is a gap: a row would show what is older than its streams may be.
    """
    start_ns = robot.period_ns
    stamps = [start_ns + _on_grid_ns(s, robot) for s in (times_s - times_s[0]).tolist()]
    sampler = GridSampler(_held_streams(robot), robot.rate, start_ns)
    before = start_ns
    for stamp, observation in zip(stamps, rows, strict=True):
        for row in sampler.advance(stamp - 1):
            if not row.complete:
                stream, fault = next(iter(row.faults.items()))
                begin_s, end_s = (
                    (each - start_ns) / NANOSECONDS_PER_S for each in (before, stamp)
                )
                raise EpisodeError(
                    f'{episode.data}: episode {episode.number}: gap in its time stamps from '
                    f'{begin_s:.3f} to {end_s:.3f} s: {stream} is {fault}; expected no gap, '
                    'or --split-at-gaps'
                )
            yield row, row.samples[robot.stream_names[0]].value
        for stream in robot.stream_names:
            sampler.push(stream, Sample(stamp, stamp, observation))
        before = stamp
    for row in sampler.advance(before):
        yield row, row.samples[robot.stream_names[0]].value


def _on_grid_ns(time_s: float, robot: RobotSpec) -> int:
    """A stamp of float32 is rounded; one that is meant to stand on the grid stands on it."""
    place = round(time_s * robot.rate)
    if abs(time_s * robot.rate - place) <= ON_GRID:
        return place * robot.period_ns
    return round(time_s * NANOSECONDS_PER_S)
