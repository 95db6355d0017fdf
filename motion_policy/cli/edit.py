# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy edit`: mends sets of episodes, keeps the originals, and takes edits back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from motion_policy.cli.kind_options import foreign_option
from motion_policy.cli.literal import escape
from motion_policy.episodes.editing.changes import (
    Amount,
    EditPlan,
    EpisodeChange,
    cut,
    delete,
    drop,
    relabel,
    split,
    trim,
)
from motion_policy.episodes.editing.journal import Edit, EditJournal, edit_journal
from motion_policy.episodes.editing.merging import merge
from motion_policy.episodes.editing.perform import perform, piece_names
from motion_policy.episodes.editing.pieces import EditStamp
from motion_policy.episodes.editing.resampling import resample
from motion_policy.episodes.editing.storing import store
from motion_policy.episodes.layout import ImageStorage
from motion_policy.episodes.paths import DISCARDED, list_episodes, next_number
from motion_policy.errors import UserError
from motion_policy.files import check_output_folder, make_folders, remove_empty, write_json
from motion_policy.robot.spec import NANOSECONDS_PER_S

Action = Literal[
    'trim', 'cut', 'split', 'merge', 'relabel', 'drop', 'resample', 'store', 'delete', 'undo',
    'commit', 'list',
]  # fmt: skip
SuccessWord = Literal['yes', 'no', 'none']
JUDGED = {'yes': True, 'no': False, 'none': None}


@dataclass(frozen=True)
class EditedPaths:
    """What is edited, and how."""

    action: tyro.conf.Positional[Action]
    """What to do."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Episodes, or folders of episodes; of undo, commit and list folders only."""


@dataclass(frozen=True)
class RowOptions:
    """Options of edits that choose rows."""

    rows: bool = False
    """trim, cut, split: the numbers of the other options are rows, not seconds."""


@dataclass(frozen=True)
class TrimOptions(RowOptions):
    """Options of trim."""

    head: float = 0.0
    """trim: so much is taken away at the head, in seconds."""

    tail: float = 0.0
    """trim: so much is taken away at the tail, in seconds."""

    idle: bool = False
    """trim: take away the head and the tail in which no joint moves, measured or commanded."""

    margin: float = 0.2
    """trim: so much of an idle head and tail stays, in seconds."""


@dataclass(frozen=True)
class CutOptions(RowOptions):
    """Options of cut."""

    begin: float | None = None
    """cut: where the piece begins, in seconds."""

    end: float | None = None
    """cut: where the piece ends, in seconds."""


@dataclass(frozen=True)
class SplitOptions(RowOptions):
    """Options of split."""

    at: tuple[float, ...] = ()
    """split: where the next episode begins, in seconds; one or more places."""


@dataclass(frozen=True)
class MergeOptions:
    """Options of merge."""

    out: Path | None = None
    """merge: the folder that gets a copy of every episode, made when needed."""


@dataclass(frozen=True)
class RelabelOptions:
    """Options of relabel."""

    task: str | None = None
    """relabel: what is demonstrated."""

    success: SuccessWord | None = None
    """relabel: how it is judged: yes, no, or none for not judged."""

    operator: str | None = None
    """relabel: who demonstrates."""


@dataclass(frozen=True)
class DropOptions:
    """Options of drop."""

    streams: Annotated[tuple[str, ...], tyro.conf.arg(name='stream')] = ()
    """drop: cameras, vectors and depth cameras (depth_NAME) to leave out."""


@dataclass(frozen=True)
class ResampleOptions:
    """Options of resample."""

    rate: float | None = None
    """resample: rows per second, fewer than there are."""


@dataclass(frozen=True)
class StoreOptions:
    """Options of store."""

    storage: ImageStorage | None = None
    """store: what images become: jpeg (a camera's own stays), aloha_jpeg, raw, png, h264, av1."""


@dataclass(frozen=True)
class NoOptions:
    """Edits without options."""


OPTIONS: dict[str, type[Any]] = {
    'trim': TrimOptions,
    'cut': CutOptions,
    'split': SplitOptions,
    'merge': MergeOptions,
    'relabel': RelabelOptions,
    'drop': DropOptions,
    'resample': ResampleOptions,
    'store': StoreOptions,
    'delete': NoOptions,
    'undo': NoOptions,
    'commit': NoOptions,
    'list': NoOptions,
}


@dataclass(frozen=True)
class Arguments(
    TrimOptions,
    CutOptions,
    SplitOptions,
    MergeOptions,
    RelabelOptions,
    DropOptions,
    ResampleOptions,
    StoreOptions,
    EditedPaths,
):
    """Mend episodes: trim, cut a piece out, split, merge folders, relabel, drop a stream,
    resample, store images as something else, delete; undo the last edit of a folder, commit all
    of them, or list them.

    The originals stay in the folder, in `.edits`, until `commit` removes them; `undo` brings them
    back. What was interrupted is finished, or taken back, by the next edit of the folder.
    """

    dry_run: bool = False
    """Show what would be done, and do nothing."""

    json: Path | None = None
    """Write what was done, or would be, as JSON."""


def run(arguments: Arguments) -> int:
    """Edit; 0 when all was done."""
    found = foreign_option(arguments, arguments.action, OPTIONS)
    if found is not None:
        option, owners = found
        raise UserError(
            f'edit {arguments.action}: {option} means nothing here, expected it with '
            f'{" or ".join(owners)} only'
        )
    console = Console()
    if arguments.action in FOLDER_ACTIONS:
        return _of_folders(arguments, console)
    return _edit(arguments, console)


def _edit(arguments: Arguments, console: Console) -> int:
    plan, words = _planned(arguments), _words(arguments)
    folders = _folders(arguments, plan)
    when = datetime.fromtimestamp(time.time_ns() / NANOSECONDS_PER_S, tz=timezone.utc)
    stamp = EditStamp(arguments.action, words, when.isoformat(timespec='seconds'))
    table = _table('episode', 'rows', 's', 'becomes', 'what')
    told: list[dict[str, Any]] = []
    for folder, changes in folders.items():
        names = piece_names(folder, changes, next_number(folder))
        if not arguments.dry_run:
            names = _do(folder, changes, stamp, console)
        for change in changes:
            _add_row(table, change, names[change.source])
            told.append(_as_json(change, folder, names[change.source]))
    if told:
        console.print(table)
    for line in plan.left:
        _print(console, line)
    count = len(told)
    done = 'would be edited' if arguments.dry_run else 'edited'
    back = '' if arguments.dry_run or not told else '; `motion-policy edit undo` brings them back'
    _print(console, f'{count} episodes {done}, {len(plan.left)} left as they are{back}')
    if arguments.json:
        content = {'action': arguments.action, 'dry_run': arguments.dry_run, 'changes': told}
        write_json(arguments.json, {**content, 'left': list(plan.left)})
    return 0


def _do(
    folder: Path, changes: Sequence[EpisodeChange], stamp: EditStamp, console: Console
) -> dict[Path, tuple[str, ...]]:
    """Edit the episodes of a folder; return the names of what was made."""
    quiet = not console.is_terminal

    def shown_track(all_changes: Sequence[EpisodeChange]) -> Iterable[EpisodeChange]:
        return track(all_changes, stamp.action, console=console, transient=True, disable=quiet)

    made = make_folders(folder)
    try:
        with edit_journal(folder) as journal:
            edit = perform(journal, changes, stamp, shown_track)
    except BaseException:
        remove_empty(made)
        raise
    return {
        change.source: tuple(name for name, _ in step.results)
        for change, step in zip(changes, edit.steps, strict=True)
    }


def _planned(arguments: Arguments) -> EditPlan:
    if arguments.action == 'delete':
        for path in arguments.paths:
            if path.is_dir():
                raise UserError(f'{path}: is a folder, expected the episodes that are to go')
    paths = _episodes(arguments.paths)
    _recover_before(arguments, paths)
    return PLANS[arguments.action](arguments, paths)


def _recover_before(arguments: Arguments, paths: Sequence[Path]) -> None:
    """Finish what was interrupted before it is looked at what there is."""
    if arguments.dry_run:
        return
    places = [arguments.out] if arguments.out is not None else [path.parent for path in paths]
    for folder in dict.fromkeys(place for place in places if place.is_dir()):
        if not EditJournal(folder).is_empty():
            with edit_journal(folder) as journal:
                for line in journal.recover():
                    _print(Console(), f'{folder}: {line}')


def _trimmed(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if not (arguments.head or arguments.tail or arguments.idle):
        raise UserError('edit trim: expected --head, --tail or --idle')
    amounts = [Amount(each, arguments.rows) for each in (arguments.head, arguments.tail)]
    margin = arguments.margin
    in_rows = arguments.rows and margin != TrimOptions.margin  # the default is seconds
    return trim(paths, *amounts, idle=arguments.idle, margin=Amount(margin, in_rows))


def _cut(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if arguments.begin is None or arguments.end is None:
        raise UserError('edit cut: expected --begin and --end')
    ends = [Amount(each, arguments.rows) for each in (arguments.begin, arguments.end)]
    return cut(paths, *ends)


def _split(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if not arguments.at:
        raise UserError('edit split: expected --at')
    return split(paths, [Amount(each, arguments.rows) for each in arguments.at])


def _merged(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if arguments.out is None:
        raise UserError('edit merge: expected --out')
    check_output_folder(arguments.out)
    return merge(paths, arguments.out)


def _relabelled(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    given = {'task': arguments.task, 'operator': arguments.operator}
    labels: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if arguments.success is not None:
        labels['success'] = JUDGED[arguments.success]
    if not labels:
        raise UserError('edit relabel: expected --task, --success or --operator')
    return relabel(paths, labels)


def _dropped(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if not arguments.streams:
        raise UserError('edit drop: expected --stream')
    return drop(paths, tuple(dict.fromkeys(arguments.streams)))


def _resampled(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if arguments.rate is None:
        raise UserError('edit resample: expected --rate')
    return resample(paths, arguments.rate)


def _stored(arguments: Arguments, paths: Sequence[Path]) -> EditPlan:
    if arguments.storage is None:
        raise UserError('edit store: expected --storage')
    return store(paths, arguments.storage)


PLANS: dict[str, Callable[[Arguments, Sequence[Path]], EditPlan]] = {
    'trim': _trimmed,
    'cut': _cut,
    'split': _split,
    'merge': _merged,
    'relabel': _relabelled,
    'drop': _dropped,
    'resample': _resampled,
    'store': _stored,
    'delete': lambda _, paths: delete(paths),
}


def _episodes(paths: Sequence[Path]) -> list[Path]:
    """The episodes that were named, each once, those of one folder with one way to it."""
    folders: dict[Path, Path] = {}
    found: dict[Path, None] = {}
    for path in list_episodes(paths):
        folder = folders.setdefault(path.parent.resolve(), path.parent)
        found[folder / path.name] = None
    return list(found)


def _folders(arguments: Arguments, plan: EditPlan) -> dict[Path, list[EpisodeChange]]:
    if arguments.out is not None:
        return {arguments.out: list(plan.changes)} if plan.changes else {}
    folders: dict[Path, list[EpisodeChange]] = {}
    for change in plan.changes:
        folders.setdefault(change.source.parent, []).append(change)
    return folders


def _of_folders(arguments: Arguments, console: Console) -> int:
    """Undo, commit or list the edits of folders."""
    if not arguments.paths:
        raise UserError(f'edit {arguments.action}: no path was given, expected folders')
    told = []
    for folder in dict.fromkeys(arguments.paths):
        if not folder.is_dir():
            raise UserError(f'{folder}: expected a folder of episodes')
        if arguments.dry_run:
            edits = EditJournal(folder).done()
            edits = edits[-1:] if arguments.action == 'undo' else edits
        else:
            with edit_journal(folder) as journal:
                for line in journal.recover():
                    _print(console, f'{folder}: {line}')
                edits = FOLDER_ACTIONS[arguments.action](journal)
        for edit in edits:
            _print(console, f'{folder}: {_past(arguments)}{edit}')
        if not edits:
            _print(console, f'{folder}: has no edit')
        if arguments.action == 'list' and (discarded := folder / DISCARDED).is_dir():
            files = [path for path in discarded.rglob('*') if path.is_file()]  # also of bags
            sizes = [path.stat().st_size for path in files]
            _print(console, f'{discarded}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB')
        told += [_edit_as_json(folder, edit) for edit in edits]
    if arguments.json:
        content = {'action': arguments.action, 'dry_run': arguments.dry_run, 'edits': told}
        write_json(arguments.json, content)
    return 0


FOLDER_ACTIONS: dict[str, Callable[[EditJournal], list[Edit]]] = {
    'undo': lambda journal: [journal.undo()],
    'commit': EditJournal.commit,
    'list': EditJournal.done,
}


def _past(arguments: Arguments) -> str:
    if arguments.action == 'list':
        return ''
    did = {'undo': 'undone', 'commit': 'committed'}[arguments.action]
    return f'{"would be " * arguments.dry_run}{did}: '


def _words(arguments: Arguments) -> str:
    """The options of the edit as they were given."""
    words = []
    for field in fields(OPTIONS[arguments.action]):
        given = getattr(arguments, field.name)
        if given == field.default:
            continue
        values = given if isinstance(given, tuple) else (given,)
        name = {'streams': 'stream'}.get(field.name, field.name).replace('_', '-')
        shown = '' if given is True else ' ' + ' '.join(map(_word, values))
        words.append(f'--{name}{shown}')
    return ' '.join(words)


def _word(value: object) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = column in ('rows', 's')
        table.add_column(column, overflow='fold', justify='right' if numbers else 'left')
    return table


def _add_row(table: Table, change: EpisodeChange, names: Sequence[str]) -> None:
    """An episode, and what becomes of it: its name only where that is another one."""
    pieces = [
        ' '.join(filter(None, (name * (name != change.source.name), _rows_in_words(rows))))
        for name, rows in zip(names, change.lengths, strict=True)
    ]
    table.add_row(
        escape(change.source.name),
        '-' if change.rows is None else str(change.rows),
        '-' if not change.rate or change.rows is None else f'{change.rows / change.rate:.1f}',
        escape(', '.join(pieces) or 'discarded'),
        escape(change.words),
    )


def _rows_in_words(rows: int | None) -> str:
    return '' if rows is None else f'{rows} rows'


def _as_json(change: EpisodeChange, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    pieces = zip(names, change.lengths, strict=True)
    return {
        'episode': str(change.source), 'rows': change.rows, 'what': change.words,
        'becomes': [{'episode': str(folder / name), 'rows': rows} for name, rows in pieces],
    }  # fmt: skip


def _edit_as_json(folder: Path, edit: Edit) -> dict[str, Any]:
    return {
        'folder': str(folder), 'action': edit.stamp.action, 'options': edit.stamp.options,
        'when': edit.stamp.when, 'episodes': [step.source for step in edit.steps],
    }  # fmt: skip


def _print(console: Console, line: str) -> None:
    console.print(escape(line), soft_wrap=True, highlight=False)
