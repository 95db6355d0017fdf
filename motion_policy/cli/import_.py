# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy import`: recordings of other kinds become episodes.

An option that means nothing for a kind of source is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.cli.literal import escape
from motion_policy.cli.pairs import named_pairs
from motion_policy.episodes import EpisodeReader, import_bag
from motion_policy.episodes.formats.aloha.to_episodes import import_aloha, placeholder_for, rows_of
from motion_policy.episodes.formats.bair.to_episodes import import_bair
from motion_policy.episodes.formats.bair.to_episodes import placeholder_for as bair_placeholder
from motion_policy.episodes.formats.bair.to_episodes import rows_of as bair_rows
from motion_policy.episodes.formats.eipl.read import read_eipl
from motion_policy.episodes.formats.eipl.to_episodes import import_eipl, needed_robot
from motion_policy.episodes.formats.rosbag.read import bag_duration_ns
from motion_policy.episodes.formats.untimed import SplitEpisodes
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.units import Units

Kind = Literal['rosbag2', 'aloha', 'lerobot', 'eipl', 'bair']

Imported = tuple[Path, Path]  # an episode, and what it was made from

# Options that belong to some kinds of sources only.
OPTIONS_OF: dict[Kind, tuple[str, ...]] = {
    'rosbag2': ('namespace', 'split_at_gaps'),
    'aloha': ('cameras', 'channels', 'rate', 'joints', 'grippers'),
    'lerobot': ('cameras', 'joints', 'units', 'grippers', 'split_at_gaps'),
    'eipl': ('camera', 'channels', 'rate', 'keep_padding'),
    'bair': ('camera', 'rate'),
}


@dataclass(frozen=True)
class Arguments:
    """Turn recordings of other kinds into episodes.

    rosbag2: through the sampler that the recorder uses. One bag becomes one episode: its rows
    begin when every stream has spoken and end when the first one falls silent for good. A gap
    between is refused with one line that names stream and time; with --split-at-gaps each stretch
    without a gap (of 1 s or more) becomes an episode.

    aloha: episodes of ALOHA and ACT (episode_0.hdf5, ...) and folders of them, in any of their
    forms: raw pixels or JPEG, which stays as it is to the byte. There are no stamps and mostly no
    rate and no names of joints in them: those come from --robot, or from a placeholder that no arm
    has. Attributes of other tools (fps, success, task, ...) are read.

    lerobot: folders of its data sets, versions 2.x and 3.x; the rate is the set's. Columns are
    matched with the robot's joints by their names (shoulder_pan.pos is shoulder_pan); rows whose
    time stamps are not those of the rate are resampled by them. Needs pyarrow and PyAV. Without
    --robot a placeholder, too.

    eipl: folders with images.npy and joints.npy, folders with train/ and test/ of that kind, .npz
    files or folders of them. There are no stamps and no actions in them: rows follow each other
    at --rate, and the action is the joint position of the next row.

    bair: folders with train/, validate/ and test/, or one of these, of traj_*/N/ with 0.png, ...,
    actions.csv and endeffector_positions.csv. Joints are x, y, z of the end effector, and one more
    where the fourth column of the actions says something. Pixels stay as they are.
    """

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """rosbag2 folders (sqlite3 or mcap) or storage files; with --from its files and folders."""

    out: Path
    """Folder for the episodes; they take the next free numbers. The splits of a set
    (train/, test/, ...) go to folders of these names in it."""

    robot: str = ''
    """Robot spec: a YAML file, or the name of a shipped one. Without it aloha, lerobot
    and bair take a placeholder."""

    kind: Annotated[Kind, tyro.conf.arg(name='from')] = 'rosbag2'
    """What the sources are."""

    task: str = ''
    """What is demonstrated; lerobot: default what the set says."""

    operator: str = ''
    """Who demonstrates."""

    sim: bool = False
    """The robot is simulated."""

    raw: bool = False
    """Store raw pixels instead of JPEG."""

    namespace: str = ''
    """rosbag2: put before the robot's relative topics."""

    split_at_gaps: bool = False
    """rosbag2: where a stream is stale in the middle, end one episode and begin another; lerobot:
    at gaps in the time stamps of an episode."""

    any_speed: bool = False
    """Take joints that are far faster, or far further, than the robot spec allows."""

    camera: str = ''
    """eipl, bair: the robot's camera that took the images; default: the only one it has."""

    cameras: str = ''
    """aloha, lerobot: the cameras to import, joined by commas; NAME=NAME_IN_FILE where the robot
    calls one otherwise. Default: all of the files, by their names."""

    channels: Literal['bgr', 'rgb'] | None = None
    """eipl, aloha: the order of the colours in the images, of JPEGs as OpenCV decodes them;
    default as their tools write them: bgr in eipl, rgb in aloha."""

    rate: float | None = None
    """eipl, aloha, bair: rows per second; default: what aloha's attributes say, else the robot's
    rate, of a placeholder 50 (aloha) or 5 (bair)."""

    joints: str = ''
    """aloha, lerobot: the names that the set has for joints, where they are not the robot's:
    NAME=NAME_IN_FILE, joined by commas."""

    units: Units | None = None
    """lerobot: what the set counts positions in: rad (and m, as they are), degrees, or normalized:
    -100 to 100 of the range of each joint's limits; with both of these grippers from 0 (closed) to
    100 (open). Default: as they are, refused where the robot cannot be meant."""

    grippers: tuple[float, float] | None = None
    """aloha, lerobot: the positions in m that 0 (closed) and 1 (open) of a gripper stand for,
    where the robot's joints named *gripper count metres; with --units, 0 and 100."""

    keep_padding: bool = False
    """eipl: keep rows at the end that repeat the last one exactly."""


def run(arguments: Arguments) -> int:
    """Import every source; stops at the first that is wrong, keeping the episodes before it."""
    if not arguments.sources:
        raise UserError('import: no source was given, expected rosbag2 folders or files')
    _refuse_foreign_options(arguments)
    console = Console()
    robot = _robot(arguments, console)
    for source in arguments.sources:
        for episode, origin in IMPORTS[arguments.kind](source, robot, arguments, console):
            with EpisodeReader(episode) as reader:
                seconds = reader.length / reader.rate
                line = f'{episode}: {reader.length} rows, {seconds:.1f} s, from {origin}'
            console.print(escape(line), soft_wrap=True, highlight=False)
    return 0


def _refuse_foreign_options(arguments: Arguments) -> None:
    defaults = {field.name: field.default for field in fields(arguments)}
    for name in sorted({name for names in OPTIONS_OF.values() for name in names}):
        kinds = [kind for kind, names in OPTIONS_OF.items() if name in names]
        if arguments.kind not in kinds and getattr(arguments, name) != defaults[name]:
            option = '--' + name.replace('_', '-')
            *others, last = kinds
            expected = f'{", ".join(others)} or {last}' if others else last
            raise UserError(
                f'import: {option} means nothing for --from {arguments.kind}, '
                f'expected it with --from {expected} only'
            )


def _robot(arguments: Arguments, console: Console) -> RobotSpec:
    if arguments.robot:
        return load_robot_spec(arguments.robot)
    if arguments.kind in ('aloha', 'lerobot', 'bair'):
        robot = _placeholder(arguments)
        _note(
            console,
            f"no --robot: the episodes name a robot '{robot.name}' with the joints "
            f'{robot.joints.names[0]} to {robot.joints.names[-1]}, which no arm has',
        )
        return robot
    if arguments.kind == 'eipl':
        source = arguments.sources[0]
        raise UserError(
            f'import: --robot is missing; {source} needs a robot spec (YAML file or name) with '
            f'{needed_robot(source)}'
        )
    raise UserError('import: --robot is missing, expected a robot spec (YAML file or name)')


def _placeholder(arguments: Arguments) -> RobotSpec:
    cameras = named_pairs(arguments.cameras, 'import: --cameras')
    if arguments.kind == 'aloha':
        return placeholder_for(arguments.sources, cameras=cameras, rate=arguments.rate)
    if arguments.kind == 'bair':
        return bair_placeholder(arguments.sources, rate=arguments.rate)
    from motion_policy.episodes.formats.lerobot import to_episodes as lerobot

    return lerobot.placeholder_for(arguments.sources, cameras=cameras)


def _import_bag(
    source: Path, robot: RobotSpec, arguments: Arguments, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        rows = bag_duration_ns(source) // robot.period_ns
        bar = progress.add_task(escape(source.name), total=max(1, rows))
        episodes = import_bag(
            source,
            robot,
            arguments.out,
            namespace=arguments.namespace,
            split_at_gaps=arguments.split_at_gaps,
            on_row=lambda row: progress.advance(bar),
            **_writing(arguments, console),
        )
    yield from ((episode, source) for episode in episodes)


def _import_eipl(
    source: Path, robot: RobotSpec, arguments: Arguments, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        rows = sum(part.rows for part in read_eipl(source))
        bar = progress.add_task(escape(source.name), total=rows)
        parts = import_eipl(
            source,
            robot,
            arguments.out,
            camera=arguments.camera,
            channels=arguments.channels or 'bgr',
            rate=arguments.rate,
            keep_padding=arguments.keep_padding,
            on_row=lambda: progress.advance(bar),
            **_writing(arguments, console),
        )
    yield from _told(parts, arguments, console)


def _import_bair(
    source: Path, robot: RobotSpec, arguments: Arguments, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=bair_rows(source))
        parts = import_bair(
            source,
            robot,
            arguments.out,
            camera=arguments.camera,
            rate=arguments.rate,
            on_row=lambda: progress.advance(bar),
            **_writing(arguments, console),
        )
    yield from _told(parts, arguments, console)


def _told(
    parts: Sequence[SplitEpisodes],
    arguments: Arguments,
    console: Console,
) -> Iterator[Imported]:
    """Say where the splits of a set are."""
    for part in parts:
        if part.split:
            folder = arguments.out / part.split
            _note(console, f'{part.source}: its {len(part.episodes)} episodes are in {folder}')
        yield from ((episode, part.source) for episode in part.episodes)


def _import_aloha(
    source: Path, robot: RobotSpec, arguments: Arguments, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=rows_of(source))
        yield from import_aloha(
            source,
            robot,
            arguments.out,
            cameras=named_pairs(arguments.cameras, 'import: --cameras'),
            channels=arguments.channels or 'rgb',
            rate=arguments.rate,
            joints=named_pairs(arguments.joints, 'import: --joints'),
            grippers=arguments.grippers,
            on_row=lambda: progress.advance(bar),
            **_writing(arguments, console),
        )


def _import_lerobot(
    source: Path, robot: RobotSpec, arguments: Arguments, console: Console
) -> Iterator[Imported]:
    # Only here are pyarrow and PyAV needed.
    from motion_policy.episodes.formats.lerobot import to_episodes as lerobot

    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=lerobot.rows_of(source))
        yield from lerobot.import_lerobot(
            source,
            robot,
            arguments.out,
            cameras=named_pairs(arguments.cameras, 'import: --cameras'),
            joints=named_pairs(arguments.joints, 'import: --joints'),
            units=arguments.units,
            grippers=arguments.grippers,
            split_at_gaps=arguments.split_at_gaps,
            on_row=lambda: progress.advance(bar),
            **_writing(arguments, console),
        )


def _writing(arguments: Arguments, console: Console) -> dict[str, Any]:
    """How every kind of import writes its episodes, and tells what is worth a line."""
    return {
        'note': lambda line: _note(console, line),
        'task': arguments.task,
        'operator': arguments.operator,
        'sim': arguments.sim,
        'compress': not arguments.raw,
        'any_speed': arguments.any_speed,
    }


def _progress(console: Console) -> Progress:
    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=quiet)


def _note(console: Console, line: str) -> None:
    console.print(f'[yellow]note[/] {escape(line)}', soft_wrap=True, highlight=False)


Importing = Callable[[Path, RobotSpec, Arguments, Console], Iterator[Imported]]
IMPORTS: dict[Kind, Importing] = {
    'rosbag2': _import_bag,
    'aloha': _import_aloha,
    'lerobot': _import_lerobot,
    'eipl': _import_eipl,
    'bair': _import_bair,
}
