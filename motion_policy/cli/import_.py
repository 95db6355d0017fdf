# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy import`: turns recordings of other formats into episodes.

An option that means nothing for a kind of source is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.cli.kind_options import refuse_foreign_options
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
from motion_policy.episodes.layout import ImageStorage
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.units import Units

Kind = Literal['rosbag2', 'aloha', 'lerobot', 'eipl', 'bair']

Imported = tuple[Path, Path]  # an episode, and what it was made from


@dataclass(frozen=True)
class ImportSource:
    """What every kind of source has."""

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
    """Store raw pixels instead of JPEG: as --storage raw."""

    storage: ImageStorage = 'jpeg'
    """What images are stored as: jpeg (a camera's own as it came), aloha_jpeg (in ALOHA's order
    of colours in any case), raw, png (without loss), h264 or av1 (with PyAV)."""

    any_speed: bool = False
    """Take joints that are far faster, or far further, than the robot spec allows."""


@dataclass(frozen=True)
class ImportGaps:
    """For what may end in the middle."""

    split_at_gaps: bool = False
    """rosbag2: where a stream is stale in the middle, end one episode and begin another; lerobot:
    at gaps in the time stamps of an episode."""


@dataclass(frozen=True)
class ImportNames:
    """For what has names of its own for cameras and joints."""

    cameras: str = ''
    """aloha, lerobot: the cameras to import, joined by commas; NAME=NAME_IN_FILE where the robot
    calls one otherwise. Default: all of the files, by their names."""

    joints: str = ''
    """aloha, lerobot: the names that the set has for joints, where they are not the robot's:
    NAME=NAME_IN_FILE, joined by commas."""

    grippers: tuple[float, float] | None = None
    """aloha, lerobot: the positions in m that 0 (closed) and 1 (open) of a gripper stand for,
    where the robot's joints named *gripper count metres; with --units, 0 and 100. Default: 0 and
    1 stay."""


@dataclass(frozen=True)
class ImportCamera:
    """For what has the images of one camera."""

    camera: str = ''
    """eipl, bair: the robot's camera that took the images; default: the only one it has."""


@dataclass(frozen=True)
class ImportRate:
    """For what may not say its rate."""

    rate: float | None = None
    """eipl, aloha, bair: rows per second; default: what aloha's attributes say, else the robot's
    rate, of a placeholder 50 (aloha) or 5 (bair)."""


@dataclass(frozen=True)
class ImportChannels:
    """For what does not say the order of its colours."""

    channels: Literal['bgr', 'rgb'] | None = None
    """eipl, aloha: the order of the colours in the images, of JPEGs as OpenCV decodes them;
    default as their tools write them: bgr in eipl, rgb in aloha."""


@dataclass(frozen=True)
class FromBag(ImportGaps, ImportSource):
    """Options of rosbag2."""

    namespace: str = ''
    """rosbag2: put before the robot's relative topics."""


@dataclass(frozen=True)
class FromAloha(ImportNames, ImportRate, ImportChannels, ImportSource):
    """Options of aloha."""


@dataclass(frozen=True)
class FromLerobot(ImportNames, ImportGaps, ImportSource):
    """Options of lerobot."""

    units: Units | None = None
    """lerobot: what the set counts positions in: rad (and m, as they are), degrees, or normalized:
    -100 to 100 of the range of each joint's limits; with both of these grippers from 0 (closed) to
    100 (open). Default: as they are, refused where the robot cannot be meant."""


@dataclass(frozen=True)
class FromEipl(ImportCamera, ImportRate, ImportChannels, ImportSource):
    """Options of eipl."""

    keep_padding: bool = False
    """eipl: keep rows at the end that repeat the last one exactly."""


@dataclass(frozen=True)
class FromBair(ImportCamera, ImportRate, ImportSource):
    """Options of bair."""


@dataclass(frozen=True)
class Arguments(FromLerobot, FromBag, FromAloha, FromEipl, FromBair):
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


def run(arguments: Arguments) -> int:
    """Import every source; stops at the first that is wrong, keeping the episodes before it."""
    if not arguments.sources:
        raise UserError('import: no source was given, expected rosbag2 folders or files')
    refuse_foreign_options(
        arguments,
        {kind: importer.options for kind, importer in IMPORTS.items()},
        'import',
        '--from',
    )
    console = Console()
    robot = _robot(arguments, console)
    importer = IMPORTS[arguments.kind]
    for source in arguments.sources:
        for episode, origin in importer.episodes(source, robot, arguments, console):
            with EpisodeReader(episode) as reader:
                seconds = reader.length / reader.rate
                line = f'{episode}: {reader.length} rows, {seconds:.1f} s, from {origin}'
            console.print(escape(line), soft_wrap=True, highlight=False)
    return 0


def _robot(arguments: Arguments, console: Console) -> RobotSpec:
    if arguments.robot:
        return load_robot_spec(arguments.robot)
    robot = IMPORTS[arguments.kind].placeholder(arguments)
    _note(
        console,
        f"no --robot: the episodes name a robot '{robot.name}' with the joints "
        f'{robot.joints.names[0]} to {robot.joints.names[-1]}, which no arm has',
    )
    return robot


def _no_placeholder(options: ImportSource) -> RobotSpec:
    raise UserError('import: --robot is missing, expected a robot spec (YAML file or name)')


def _no_eipl_placeholder(options: FromEipl) -> RobotSpec:
    source = options.sources[0]
    raise UserError(
        f'import: --robot is missing; {source} needs a robot spec (YAML file or name) with '
        f'{needed_robot(source)}'
    )


def _aloha_placeholder(options: FromAloha) -> RobotSpec:
    cameras = named_pairs(options.cameras, 'import: --cameras')
    return placeholder_for(options.sources, cameras=cameras, rate=options.rate)


def _lerobot_placeholder(options: FromLerobot) -> RobotSpec:
    from motion_policy.episodes.formats.lerobot import to_episodes as lerobot

    cameras = named_pairs(options.cameras, 'import: --cameras')
    return lerobot.placeholder_for(options.sources, cameras=cameras)


def _bair_placeholder(options: FromBair) -> RobotSpec:
    return bair_placeholder(options.sources, rate=options.rate)


def _import_bag(
    source: Path, robot: RobotSpec, options: FromBag, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        rows = bag_duration_ns(source) // robot.period_ns
        bar = progress.add_task(escape(source.name), total=max(1, rows))
        episodes = import_bag(
            source,
            robot,
            options.out,
            namespace=options.namespace,
            split_at_gaps=options.split_at_gaps,
            on_row=lambda row: progress.advance(bar),
            **_writing(options, console),
        )
    yield from ((episode, source) for episode in episodes)


def _import_eipl(
    source: Path, robot: RobotSpec, options: FromEipl, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        rows = sum(part.rows for part in read_eipl(source))
        bar = progress.add_task(escape(source.name), total=rows)
        parts = import_eipl(
            source,
            robot,
            options.out,
            camera=options.camera,
            channels=options.channels or 'bgr',
            rate=options.rate,
            keep_padding=options.keep_padding,
            on_row=lambda: progress.advance(bar),
            **_writing(options, console),
        )
    yield from _told(parts, options, console)


def _import_bair(
    source: Path, robot: RobotSpec, options: FromBair, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=bair_rows(source))
        parts = import_bair(
            source,
            robot,
            options.out,
            camera=options.camera,
            rate=options.rate,
            on_row=lambda: progress.advance(bar),
            **_writing(options, console),
        )
    yield from _told(parts, options, console)


def _told(
    parts: Sequence[SplitEpisodes],
    options: ImportSource,
    console: Console,
) -> Iterator[Imported]:
    """Say where the splits of a set are."""
    for part in parts:
        if part.split:
            folder = options.out / part.split
            _note(console, f'{part.source}: its {len(part.episodes)} episodes are in {folder}')
        yield from ((episode, part.source) for episode in part.episodes)


def _import_aloha(
    source: Path, robot: RobotSpec, options: FromAloha, console: Console
) -> Iterator[Imported]:
    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=rows_of(source))
        yield from import_aloha(
            source,
            robot,
            options.out,
            cameras=named_pairs(options.cameras, 'import: --cameras'),
            channels=options.channels or 'rgb',
            rate=options.rate,
            joints=named_pairs(options.joints, 'import: --joints'),
            grippers=options.grippers,
            on_row=lambda: progress.advance(bar),
            **_writing(options, console),
        )


def _import_lerobot(
    source: Path, robot: RobotSpec, options: FromLerobot, console: Console
) -> Iterator[Imported]:
    # Only here are pyarrow and PyAV needed.
    from motion_policy.episodes.formats.lerobot import to_episodes as lerobot

    with _progress(console) as progress:
        bar = progress.add_task(escape(source.name), total=lerobot.rows_of(source))
        yield from lerobot.import_lerobot(
            source,
            robot,
            options.out,
            cameras=named_pairs(options.cameras, 'import: --cameras'),
            joints=named_pairs(options.joints, 'import: --joints'),
            units=options.units,
            grippers=options.grippers,
            split_at_gaps=options.split_at_gaps,
            on_row=lambda: progress.advance(bar),
            **_writing(options, console),
        )


def _writing(options: ImportSource, console: Console) -> dict[str, Any]:
    """How every kind of import writes its episodes, and tells what is worth a line."""
    return {
        'note': lambda line: _note(console, line),
        'task': options.task,
        'operator': options.operator,
        'sim': options.sim,
        'compress': not options.raw,
        'storage': options.storage,
        'any_speed': options.any_speed,
    }


def _progress(console: Console) -> Progress:
    columns = (TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn())
    quiet = not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=quiet)


def _note(console: Console, line: str) -> None:
    console.print(f'[yellow]note[/] {escape(line)}', soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Importer:
    """How one kind of source becomes episodes.

    Attributes:
        options: its dataclass.
        episodes: imports one source.
        placeholder: the robot where none is named; UserError where one has to be.
    """

    options: type[ImportSource]
    episodes: Callable[[Path, RobotSpec, Arguments, Console], Iterator[Imported]]
    placeholder: Callable[[Arguments], RobotSpec] = _no_placeholder


IMPORTS: dict[Kind, Importer] = {
    'rosbag2': Importer(FromBag, _import_bag),
    'aloha': Importer(FromAloha, _import_aloha, _aloha_placeholder),
    'lerobot': Importer(FromLerobot, _import_lerobot, _lerobot_placeholder),
    'eipl': Importer(FromEipl, _import_eipl, _no_eipl_placeholder),
    'bair': Importer(FromBair, _import_bair, _bair_placeholder),
}
