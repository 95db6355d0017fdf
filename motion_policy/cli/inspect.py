# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy inspect`: shows what is in an episode, a bag or a checkpoint."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from motion_policy.cli.literal import escape
from motion_policy.documents import json_mapping
from motion_policy.episodes import bag_summary, episode_summary, is_bag, list_episodes
from motion_policy.episodes.rollouts import Interventions, all_interventions
from motion_policy.errors import UserError
from motion_policy.files import FileError, check_output, write_json
from motion_policy.robot import load_robot_spec

if TYPE_CHECKING:
    from motion_policy.policies.camera_view import CameraView

# What the images of a camera are stored as, in words.
STORED_AS = {
    'raw': 'raw', 'jpeg': 'JPEG', 'camera_jpeg': "the camera's own JPEG", 'png': 'PNG',
    'h264': 'H.264', 'av1': 'AV1',
}  # fmt: skip
VIEWER = Path('viewer')  # in place of a file of Rerun

CHECKPOINT_FILES = ('policy.yaml', 'weights.safetensors')

# The widest gap between stamps, and the greatest age of a sample that stands in a row, in ms.
_COUNTED = ('Hz', 'got', 'lost', 'twice', 'gap ms')
# How wide all columns but the topics usually are, of the streams of an episode and of a bag.
STREAM_COLUMNS, TOPIC_COLUMNS = 60, 53


@dataclass(frozen=True)
class Arguments:
    """Show what is in an episode, a bag or a checkpoint: contents, rates, gaps, drops."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, folders of episodes, rosbag2 recordings, checkpoint folders."""

    json: Path | None = None
    """Write everything that is shown, and more, as JSON."""

    plot: Path | None = None
    """Draw the joints of one episode, measured and action, some of its depth, and what is seen
    of its cameras, as PNG."""

    video: Path | None = None
    """Write the cameras of one episode, depth in colours, side by side, and its joints beneath, as
    MP4 or GIF, with a frame around what is seen of each, and that beside it: as a checkpoint that
    is given says, or --robot, else as the episode's own robot spec does."""

    foxglove: Path | None = None
    """Write episodes as an mcap that Foxglove opens: images, depth, joints measured and action,
    vectors, the pose of the tool, verdicts and edits."""

    rerun: Path | None = None
    """Write the same for the viewer of Rerun, as .rrd; `viewer` opens it at once."""

    robot: str | None = None
    """Robot spec whose crop and rotate --plot and --video show."""


def run(arguments: Arguments) -> int:
    """Show every path; 0 when all could be read."""
    if not arguments.paths:
        raise UserError('inspect: no path was given, expected an episode, a bag or a checkpoint')
    summaries = [summary for path in arguments.paths for summary in _summaries(path)]
    episodes = [Path(entry['path']) for entry in summaries if entry['kind'] == 'episode']
    drawn = arguments.plot or arguments.video
    if drawn and len(episodes) != 1:
        raise UserError(f'{drawn}: {len(episodes)} episodes were given, expected exactly one')
    _check_viewers(arguments, episodes)
    _show(summaries, Console())
    if arguments.json:
        write_json(arguments.json, {'inspected': summaries})
    if drawn:
        from motion_policy.cli import episode_plots

        checkpoints = [entry['path'] for entry in summaries if entry['kind'] == 'checkpoint']
        views = _views(arguments, checkpoints)
        if arguments.plot:
            episode_plots.write_plot(episodes[0], arguments.plot, views)
        if arguments.video:
            episode_plots.write_video(episodes[0], arguments.video, views)
    if arguments.foxglove:
        from motion_policy.episodes.viewers.foxglove import write_foxglove

        _write_with_progress(write_foxglove, episodes, arguments.foxglove, summaries)
    if arguments.rerun:
        from motion_policy.episodes.viewers.rerun import write_rerun

        path = None if arguments.rerun == VIEWER else arguments.rerun
        _write_with_progress(write_rerun, episodes, path, summaries)
    return 0


def _check_viewers(arguments: Arguments, episodes: list[Path]) -> None:
    """UserError for a file of a viewer that cannot be written."""
    for path, suffix in ((arguments.foxglove, '.mcap'), (arguments.rerun, '.rrd')):
        if path is None or path == VIEWER:
            continue
        if path.suffix != suffix:
            more = ' (or `viewer`)' if suffix == '.rrd' else ''
            raise UserError(f"{path}: must end in {suffix}{more}, found '{path.suffix}'")
        check_output(path, episodes)
    wanted = arguments.foxglove or arguments.rerun
    if wanted and not episodes:
        raise UserError(f'{wanted}: no episode was given, expected at least one')
    if wanted and arguments.robot and not (arguments.plot or arguments.video):
        raise UserError(
            'inspect: --robot is for --plot and --video, whose cropped images it tells; '
            'expected none with --foxglove and --rerun, which show whole images'
        )


def _write_with_progress(
    write: Callable[..., None],
    episodes: list[Path],
    path: Path | None,
    summaries: list[dict[str, Any]],
) -> None:
    """Write the file of a viewer, with a bar on a terminal and a line for what was left out."""
    console = Console()
    rows = sum(entry['rows'] for entry in summaries if entry['kind'] == 'episode')
    with Progress(console=console, transient=True, disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task(str(path or VIEWER), total=rows)
        write(
            episodes,
            path,
            note=lambda line: console.print(escape(line), soft_wrap=True, highlight=False),
            on_row=lambda: progress.advance(bar),
        )


def _views(arguments: Arguments, checkpoints: list[str]) -> dict[str, CameraView] | None:
    """What is seen of the cameras; None: what the episode's robot says."""
    if len(checkpoints) + (arguments.robot is not None) > 1:
        raise UserError(
            f'inspect: {", ".join(checkpoints)}{" and --robot" if arguments.robot else ""}: '
            'expected one checkpoint or robot spec, whose view of the cameras is shown'
        )
    if arguments.robot is not None:
        from motion_policy.cli.episode_plots import views_of_spec

        return views_of_spec(load_robot_spec(arguments.robot))
    if not checkpoints:
        return None
    from motion_policy.policies import read_policy_spec

    spec = read_policy_spec(checkpoints[0])
    return {camera: spec.view(camera) for camera in spec.cameras}


def _summaries(path: Path) -> list[dict[str, Any]]:
    if is_bag(path):
        return [bag_summary(path)]
    if any((path / name).is_file() for name in CHECKPOINT_FILES):
        return [_checkpoint_summary(path)]
    return [episode_summary(episode) for episode in list_episodes(path)]


def _checkpoint_summary(path: Path) -> dict[str, Any]:
    # torch is loaded only for a checkpoint.
    from motion_policy.policies.checkpoint import (
        WEIGHTS_FILE,
        checked_weights,
        find_checkpoint,
        model_on_paper_in,
    )

    folder = find_checkpoint(path)
    model = model_on_paper_in(folder)
    tensors, numbers = 0, Counter[str]()
    for _, weight, dtype in checked_weights(folder, model):
        tensors += 1
        numbers[str(dtype).removeprefix('torch.')] += weight.numel()
    content = model.spec.model_dump(mode='json')
    content['views'] = {camera: str(view) for camera, view in model.views.items()}
    content['policy'] = content.pop('kind')
    parameters = sum(parameter.numel() for parameter in model.parameters())
    weights = {
        'file_bytes': (folder / WEIGHTS_FILE).stat().st_size,
        'tensors': tensors,
        'numbers': dict(numbers),
    }
    return {
        'kind': 'checkpoint',
        'path': str(path),
        'parameters': parameters,
        'weights': weights,
        **content,
    }


def _show(summaries: list[dict[str, Any]], console: Console) -> None:
    episodes = [summary for summary in summaries if summary['kind'] == 'episode']
    if len(episodes) > 1:
        _show_episodes(episodes, console)
    for summary in summaries:
        if summary['kind'] == 'checkpoint':
            _show_checkpoint(summary, console)
        elif summary['kind'] == 'bag':
            _show_bag(summary, console)
        elif len(episodes) == 1:
            _show_episode(summary, console)


def _show_episodes(episodes: list[dict[str, Any]], console: Console) -> None:
    verdicts = any(entry['quality'] for entry in episodes)
    judged = ('success', *(['verdict'] if verdicts else []))
    table = _table('episode', 'rows', 's', 'task', *judged, 'lost', 'gap ms', 'MB')
    for entry in episodes:
        streams = entry['streams'].values()
        table.add_row(
            escape(Path(entry['path']).name),
            str(entry['rows']),
            f'{entry["duration_s"]:.1f}',
            escape(entry['task']),
            _judged(entry['success']),
            *([escape(entry['quality'] or '-')] if verdicts else []),
            str(sum(stream['dropped'] for stream in streams)),
            f'{max(stream["max_gap_ms"] for stream in streams):.0f}',
            f'{entry["file_bytes"] / 1e6:.1f}',
        )
    console.print(table)
    total_s = sum(entry['duration_s'] for entry in episodes)
    counts = Counter(_judged(entry['success']) for entry in episodes)
    words = [
        f'{len(episodes)} episodes, {total_s:.1f} s in all',
        f'{counts["yes"]} succeeded, {counts["no"]} failed, {counts["-"]} not judged',
    ]
    console.print(escape('; '.join(words)), soft_wrap=True, highlight=False)
    if driven := _driven(episodes):
        console.print(f'rollouts: {driven}', soft_wrap=True, highlight=False)
    cameras = Counter(_sizes(entry['cameras']) or 'none' for entry in episodes)
    counted = [f'{sizes}{f" ({n} episodes)" * (len(cameras) > 1)}' for sizes, n in cameras.items()]
    console.print(escape(f'cameras: {"; ".join(counted)}'), soft_wrap=True, highlight=False)


def _show_episode(entry: dict[str, Any], console: Console) -> None:
    _show_pairs(
        console,
        {
            'episode': entry['path'],
            'robot': f'{entry["robot"]}{" (simulated)" if entry["sim"] else ""}',
            'rows': f'{entry["rows"]} at {entry["rate_hz"]:g} Hz, {entry["duration_s"]:.2f} s',
            'joints': ', '.join(entry['joints']) + (' (with effort)' if entry['effort'] else ''),
            'cameras': ', '.join(_stored(entry)) or 'none',
            'vectors': ', '.join(_vectors(entry)),
            'seen': '; '.join(f'{name} with {fit}' for name, fit in entry['seen'].items()),
            'depth': _sizes(entry['depth']),
            'task': entry['task'] or '-',
            'success': _judged(entry['success']),
            'verdict': '\n'.join(entry['doubts'] or [entry['quality']]),
            'rollout': _driven([entry]),
            'operator': entry['operator'] or '-',
            'created': entry['created'],
            'ended early': entry['ended'],
            'edited': '; '.join(map(_edit, entry['edits'])),
            'size': f'{entry["file_bytes"] / 1e6:.1f} MB',
            'odd': '; '.join(entry['odd']),
        },
    )
    table = _table('stream', 'topic', *_COUNTED, 'age ms', 'limit')
    for name, stream in entry['streams'].items():
        oldest = stream['age_max_ms']
        table.add_row(
            name,
            _topic(stream['topic'], console, STREAM_COLUMNS),
            *_counts(stream),
            '-' if oldest is None else f'{oldest:.0f}',
            f'{stream["age_limit_ms"]:.0f}',
        )
    console.print('', table, sep='\n')


def _edit(text: str) -> str:
    """An edit that an episode went through, in words."""
    try:
        entry = json_mapping(text, 'edits')
    except FileError:
        return text
    words = [str(entry.get(key, '')) for key in ('action', 'options', 'when')]
    return ' '.join(filter(None, words))


def _stored(entry: dict[str, Any]) -> list[str]:
    """Each camera with its size, and what its images are stored as."""
    return [
        f'{name} {width}x{height} ({STORED_AS[entry["storage"][name]]})'
        for name, (width, height) in entry['cameras'].items()
    ]


def _sizes(cameras: dict[str, list[int]]) -> str:
    return ', '.join(f'{name} {w}x{h}' for name, (w, h) in cameras.items())


def _show_bag(entry: dict[str, Any], console: Console) -> None:
    _show_pairs(
        console,
        {
            'bag': entry['path'],
            'duration': f'{entry["duration_s"]:.2f} s',
            'messages': str(entry['messages']),
            'clock': '; '.join(entry['time_steps']),
        },
    )
    table = _table('topic', 'type', *_COUNTED)
    for topic, counted in entry['topics'].items():
        kind = counted['type'].rpartition('/')[2]
        table.add_row(_topic(topic, console, TOPIC_COLUMNS), kind, *_counts(counted))
    console.print('', table, sep='\n')


def _show_checkpoint(entry: dict[str, Any], console: Console) -> None:
    from motion_policy.policies.kinds import model_class

    weights = entry['weights']
    kinds = ', '.join(f'{count} {dtype}' for dtype, count in weights['numbers'].items())
    megabytes = f'{weights["file_bytes"] / 1e6:.1f} MB'
    _show_pairs(
        console,
        {
            'checkpoint': entry['path'],
            'policy': f'{entry["policy"]}, {entry["parameters"]} parameters',
            'weights': f'{megabytes}, {weights["tensors"]} tensors: {kinds}',
            'rate': f'{entry["rate"]:g} Hz',
            'robot': f'{entry["robot"]["name"]} at {entry["robot"]["rate"]:g} Hz',
            'cameras': _views_in_words(entry['views']),
            'predicts': _target(entry) if model_class(entry['policy']).predicts_target else '',
            'converted': _origin(entry['data'].get('converted_from')),
            **{name: str(value) for name, value in entry['metrics'].items()},
        },
    )


def _target(entry: dict[str, Any]) -> str:
    space = entry['action_space']
    return str(entry['target']) if space == 'joints' else f'{entry["target"]}, as {space}'


def _views_in_words(views: dict[str, str]) -> str:
    if len(set(views.values())) == 1:
        return f'{", ".join(views)} at {next(iter(views.values()))}'
    return ', '.join(f'{camera} at {view}' for camera, view in views.items()) or 'none'


def _origin(source: dict[str, Any] | None) -> str:
    if source is None:
        return ''
    return f'from the {source["model"]} of {source["project"]} in {source["file"]}'


def _table(*columns: str) -> Table:
    """Return a table that wraps long names instead of cutting them, but none as short as usual."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in columns:
        numbers = column not in ('episode', 'stream', 'topic', 'type', 'task')
        least = len('episode_000000.hdf5') if column == 'episode' else None
        justify: Literal['left', 'right'] = 'right' if numbers else 'left'
        table.add_column(column, overflow='fold', justify=justify, min_width=least)
    return table


def _topic(name: str, console: Console, others: int) -> str:
    """Return a topic on lines that end at its slashes, beside columns as wide as `others`."""
    lines, width = [''], console.width - others
    for part in re.findall('[^/]*/|[^/]+', name):
        if lines[-1] and len(lines[-1] + part) > width:
            lines.append('')
        lines[-1] += part
    return '\n'.join(map(escape, lines))


def _show_pairs(console: Console, pairs: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow='fold')
    for name, value in pairs.items():
        if value:
            table.add_row(f'[bold]{escape(name)}[/]', escape(value))
    console.print(table)


def _counts(stream: dict[str, Any]) -> list[str]:
    return [
        f'{stream["rate_hz"]:.1f}',
        str(stream['received']),
        str(stream['dropped']),
        str(stream['duplicates']),
        f'{stream["max_gap_ms"]:.0f}',
    ]


def _vectors(entry: dict[str, Any]) -> Iterator[str]:
    """Each vector with its size, and in how many rows fewer messages were there than it keeps."""
    last, transforms = entry.get('last_messages', {}), entry.get('transforms', {})
    for name, columns in entry['vectors'].items():
        if name in transforms:
            yield f'{name} ({len(columns)}, {" -> ".join(transforms[name])})'
            continue
        if name not in last:
            yield f'{name} ({len(columns)})'
            continue
        short = last[name]['short_rows']
        fewer = f', fewer in {short} of {entry["rows"]} rows' * bool(short)
        yield f'{name} (the last {last[name]["count"]} x {len(columns)}{fewer})'


def _driven(entries: list[dict[str, Any]]) -> str:
    """How often and how long a person drove in the rollouts among episodes; '' without any."""
    driven = all_interventions(
        None if (told := entry['rollout']) is None else Interventions.from_json(told)
        for entry in entries
    )
    return '' if driven is None else str(driven)


def _judged(success: bool | None) -> str:
    return {True: 'yes', False: 'no', None: '-'}[success]
