# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of a LeRobot data set (`meta/`), validated once: types, sizes, names, paths.

What passed here is trusted after. No text from it becomes a path outside of the set, and every
number is bounded before anything is made of that size.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from motion_policy.documents import json_mapping, read_json
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.lerobot.parquet_claims import Claims, claims_of
from motion_policy.episodes.paths import regular_input
from motion_policy.errors import UserError
from motion_policy.files import is_there, read_text, shown
from motion_policy.robot.load import first_error_line

INFO = 'meta/info.json'
JUDGEMENTS = 'meta/motion_policy.json'  # of our export; LeRobot has no place for them
OBSERVATION = 'observation.'
VECTORS = ('observation.state', 'observation.velocity', 'observation.effort', 'action')

IMAGE_TYPES = ('video', 'image')
CHANNELS = (3, 1)  # of an image: colours, or grey

MOST_COLUMNS = 1024  # of a vector
MOST_PIXELS = 16384  # of a side of an image
MOST_EPISODES = 1_000_000
MOST_ROWS = 5_000_000  # of an episode: a day at 50 Hz
MOST_LIST_BYTES = 128 * 1024**2
MOST_LIST_VALUES = 64  # of a row in a list
LONGEST_TEXT = 10_000

# The fields of LeRobot's paths; a width is two digits at most.
_FIELDS = ('episode_chunk', 'episode_index', 'chunk_index', 'file_index', 'video_key')
_WIDTH = re.compile(r'(0?\d{0,2}d?)?')
_NO_FEATURE = re.compile(r'[/\\\x00-\x1f\x7f]|\.\.')


def _path_template(text: str) -> str:
    """A relative path with LeRobot's fields in it, and nothing that leads out of the folder."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f'{text!r}: {error}') from None
    for literal, field, width, conversion in parts:
        fits = not width if field == 'video_key' else _WIDTH.fullmatch(width or '')
        known = field is None or (field in _FIELDS and fits)
        if not known or conversion or '\\' in literal or not literal.isprintable():
            raise ValueError(
                f'{text!r}, expected a relative path with the fields {", ".join(_FIELDS)}'
            )
    if '..' in text or text.startswith('/'):
        raise ValueError(f'{text!r}, expected a path within the folder')
    return text


def _one_text(text: str) -> str:
    """Text that a file of ours can hold."""
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        raise ValueError(f'{text[:40]!r}, expected text in Unicode') from None
    if '\0' in text or len(text) > LONGEST_TEXT:
        raise ValueError(
            f'text of {len(text)} characters, expected {LONGEST_TEXT} at most, and no zero'
        )
    return text


Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Text = Annotated[str, Field(strict=True), AfterValidator(_one_text)]
Template = Annotated[str, Field(strict=True, max_length=500), AfterValidator(_path_template)]
VideoSeconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    """Other keys than the known ones are allowed: LeRobot's versions differ in them."""

    model_config = ConfigDict(frozen=True)


class Feature(_Part):
    """One column, or one camera."""

    dtype: str = Field(strict=True, max_length=50)
    shape: tuple[Annotated[int, Field(strict=True, ge=1, le=2**31)], ...] = Field(max_length=5)
    names: tuple[str, ...] = ()
    info: dict[str, Any] | None = None
    video_info: dict[str, Any] | None = None

    @field_validator('names', mode='before')
    @classmethod
    def _names(cls, value: Any) -> tuple[str, ...]:
        """A list, one within a list or a mapping (`motors`, `axes`), or a mapping to places."""
        if value is None:
            return ()
        if isinstance(value, dict):
            places = list(value.values())
            if places and all(type(place) is int for place in places):
                if sorted(places) != list(range(len(places))):
                    raise ValueError(f'places {places}, expected 0, 1, ... each once')
                value = sorted(value, key=value.__getitem__)
            elif all(isinstance(place, list) for place in places):
                value = places
        if isinstance(value, list) and all(isinstance(names, list) for names in value):
            value = [name for names in value for name in names]
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ValueError(f'{str(value)[:60]!r}, expected a list of names')
        return tuple(value)

    @property
    def is_image(self) -> bool:
        """Whether it is a camera."""
        return self.dtype in IMAGE_TYPES

    @property
    def is_depth(self) -> bool:
        """Whether its images are distances."""
        about = {**(self.video_info or {}), **(self.info or {})}
        return bool(about.get('is_depth_map') or about.get('video.is_depth_map'))

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of an image in colours or in grey; None: it is none."""
        if len(self.shape) != 3 or max(self.shape) > MOST_PIXELS:
            return None
        first = bool(self.names) and self.names[0] in ('channel', 'channels')
        if first or self.shape[-1] not in CHANNELS:
            return (self.shape[1], self.shape[2]) if self.shape[0] in CHANNELS else None
        return self.shape[0], self.shape[1]

    @property
    def is_grey(self) -> bool:
        """Whether a camera has one channel."""
        return self.image_size is not None and 3 not in (self.shape[0], self.shape[-1])


class Info(_Part):
    """`meta/info.json`."""

    codebase_version: str = Field(strict=True, max_length=50)
    fps: float = Field(gt=0, le=1000, allow_inf_nan=False)
    features: dict[str, Feature] = Field(max_length=1000)
    data_path: Template
    video_path: Template | None = None
    chunks_size: int = Field(default=1000, strict=True, ge=1, le=2**31)
    robot_type: Text | None = None
    total_episodes: Count | None = None
    total_frames: Count | None = None

    @field_validator('fps', mode='before')
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f'{value!r:.60}, expected rows per second')
        return value

    @field_validator('features', mode='before')
    @classmethod
    def _described(cls, value: Any) -> Any:
        """What is not read may be described as its writer likes; it is left out by its name."""
        if not isinstance(value, dict):
            return value
        return {key: _as_read(key, described) for key, described in value.items()}

    @field_validator('features')
    @classmethod
    def _keys(cls, value: dict[str, Feature]) -> dict[str, Feature]:
        for key in value:
            if not key or _NO_FEATURE.search(key) or len(key) > 200:
                raise ValueError(f'{key[:60]!r}, expected a name without slashes and the like')
        return value


def _as_read(key: str, described: Any) -> Any:
    """The description of a feature; of one that is neither read nor understood, an empty one."""
    kind = described.get('dtype') if isinstance(described, dict) else None
    if key in VECTORS or kind in IMAGE_TYPES:
        return described
    try:
        return Feature.model_validate(described)
    except ValidationError:
        return Feature(dtype='unknown', shape=())


class _Listed(_Part):
    """What every version says of an episode."""

    episode_index: Count
    length: int = Field(strict=True, ge=1, le=MOST_ROWS)
    tasks: tuple[Text, ...] = Field(default=(), max_length=1000)

    @field_validator('tasks', mode='before')
    @classmethod
    def _tasks(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else ([] if value is None else value)


class ListedEpisode(_Listed):
    """An episode as the list has it; `places` are the files of version 3: data, each camera.

    `begins_s` and `ends_s` are where it begins and ends in the video of a camera, `first_row` to
    `end_row` which rows of the whole set it has.
    """

    first_row: Count | None = None
    end_row: Count | None = None
    places: dict[str, tuple[Count, Count]] = Field(default_factory=dict)
    begins_s: dict[str, VideoSeconds] = Field(default_factory=dict)
    ends_s: dict[str, VideoSeconds | None] = Field(default_factory=dict)

    @model_validator(mode='after')
    def _as_long_as_its_rows(self) -> ListedEpisode:
        first, end = self.first_row, self.end_row
        if first is not None and end is not None and end - first != self.length:
            raise ValueError(
                f'episode {self.episode_index}: has the rows {first} to {end} of the set, but '
                f'length {self.length}'
            )
        return self


class Judgement(_Part):
    """What our export says of an episode besides; of another length, it was replaced since."""

    episode_index: Count
    length: Count
    success: bool | None = Field(default=None, strict=True)
    operator: Text = ''


class _Judgements(_Part):
    episodes: tuple[Judgement, ...] = Field(max_length=MOST_EPISODES)


class _Task(_Part):
    task_index: Count
    task: Text


def read_info(folder: Path) -> Info:
    """Read `meta/info.json`.

    Raises:
        EpisodeError: no such data set, of another version, or damaged.
    """
    file = folder / INFO
    expected = f'expected a data set of LeRobot with {INFO}'
    if not file.is_file():
        raise EpisodeError(f'{folder}: has no {INFO}, {expected}')
    try:
        content = read_json(file)
    except UserError as error:
        raise EpisodeError(f'{error}, {expected}') from None
    version = content.get('codebase_version')
    if isinstance(version, str) and not re.match(r'v[23]\.\d', version):
        raise EpisodeError(
            f'{file}: is of version {" ".join(version[:20].split())}, expected v2.x or v3.x'
        )
    info: Info = checked(Info, content, file)
    _check_fields(info, file)
    return info


def read_episodes(folder: Path, info: Info, cameras: tuple[str, ...]) -> list[ListedEpisode]:
    """Read the list of episodes; `cameras` are the keys whose images are videos.

    Raises:
        EpisodeError: it is damaged, contradicts itself or `info`, or is empty.
    """
    listed = folder / 'meta' / 'episodes.jsonl'
    if info.codebase_version.startswith('v2'):
        found = list(_lines(ListedEpisode, listed)) if listed.is_file() else []
    else:
        found = list(_listed_in_tables(folder / 'meta' / 'episodes', cameras))
    if not found:
        raise EpisodeError(f'{folder}: holds no episode, expected at least one')
    seen: set[int] = set()
    for episode in found:
        number = episode.episode_index
        if number in seen:
            raise EpisodeError(
                f'{folder}/meta: episode {number} is listed twice, expected it once'
            )
        seen.add(number)
    rows = sum(episode.length for episode in found)
    for name, said, count in (
        ('total_episodes', info.total_episodes, len(found)),
        ('total_frames', info.total_frames, rows),
    ):
        if said is not None and said != count:
            raise EpisodeError(
                f'{folder / INFO}: {name} is {said}, the list of episodes has {count}'
            )
    return found


def read_tasks(folder: Path) -> dict[int, str]:
    """Read what the numbers of tasks stand for; empty where the set does not say.

    Raises:
        EpisodeError: the list is damaged.
    """
    lines, table = folder / 'meta' / 'tasks.jsonl', folder / 'meta' / 'tasks.parquet'
    if is_there(table):
        rows = read_rows(table, ())
        tasks = [checked(_Task, _task_row(row), table) for row in rows]
    elif is_there(lines):
        tasks = list(_lines(_Task, lines))
    else:
        return {}
    found = {task.task_index: task.task for task in tasks}
    if len(found) != len(tasks):
        raise EpisodeError(f'{folder}/meta: a task_index is listed twice, expected each once')
    return found


def read_judgements(folder: Path) -> dict[int, Judgement]:
    """Read how our export says that episodes were judged; empty where it is not ours.

    Raises:
        EpisodeError: the file is damaged.
    """
    file = folder / JUDGEMENTS
    if not is_there(file):
        return {}
    try:
        content = read_json(file)
    except UserError as error:
        raise EpisodeError(str(error)) from None
    found: _Judgements = checked(_Judgements, content, file)
    return {each.episode_index: each for each in found.episodes}


def checked(kind: Any, content: dict[str, Any], where: Path | str) -> Any:
    """Make a part of what a file holds. Raises EpisodeError in one line."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        line = shown(' '.join(first_error_line(error, content, where).split()))
        raise EpisodeError(line) from None


def read_rows(file: Path, unwanted: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read a small Parquet file as rows, without columns that begin like `unwanted`.

    Raises:
        EpisodeError: it cannot be read, or is too large.
    """
    with parquet_errors(file), open_parquet(file) as (table, claims):
        names = [name for name in table.schema_arrow.names if not name.startswith(unwanted)]
        sizes = [claims.of(name) for name in names]
        if (
            max(claims.rows, sum(values for values, _ in sizes) // MOST_LIST_VALUES)
            > MOST_EPISODES
        ):
            raise EpisodeError(f'{file}: has {claims.rows} rows, expected {MOST_EPISODES} at most')
        if sum(size for _, size in sizes) > MOST_LIST_BYTES:
            raise EpisodeError(f'{file}: unpacks to more than {MOST_LIST_BYTES} bytes')
        rows: list[dict[str, Any]] = table.read(columns=names).to_pylist()
    return rows


@contextmanager
def open_parquet(file: Path) -> Iterator[tuple[pq.ParquetFile, Claims]]:
    """Open a regular file, and say what it claims: a pipe or a device would never end."""
    regular_input(file, 'a Parquet file')
    claims = claims_of(file)
    with pq.ParquetFile(file, page_checksum_verification=True) as table:
        yield table, claims


class parquet_errors:  # noqa: N801
    """Turn whatever pyarrow makes of a damaged file into one line that names it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        damage = (OSError, ValueError, KeyError, TypeError, OverflowError, pa.ArrowException)
        if isinstance(error, EpisodeError):
            return
        if isinstance(error, MemoryError):
            raise EpisodeError(f'{self._file}: cannot be read: claims too much memory') from None
        if isinstance(error, damage):
            reason = shown(' '.join(str(error).split()))[:200] or type(error).__name__
            raise EpisodeError(f'{self._file}: cannot be read: {reason}') from None


def _check_fields(info: Info, file: Path) -> None:
    """Hold the fields of the paths against the version, which says what they can be filled by."""
    two = info.codebase_version.startswith('v2')
    known = {'episode_chunk', 'episode_index'} if two else {'chunk_index', 'file_index'}
    for key, extra in (('data_path', set()), ('video_path', {'video_key'})):
        text = getattr(info, key)
        used = {field for _, field, _, _ in string.Formatter().parse(text or '') if field}
        wrong = sorted(used - known - extra)
        if wrong:
            raise EpisodeError(
                f'{file}: {key} has the field {{{wrong[0]}}}, expected '
                f'{", ".join(sorted(known | extra))} in {info.codebase_version}'
            )


def _lines(kind: Any, file: Path) -> Iterator[Any]:
    try:
        for number, line in enumerate(read_text(file, MOST_LIST_BYTES).split('\n'), 1):
            if line.strip():
                where = f'{file}, line {number}'
                yield checked(kind, json_mapping(line, where), where)
    except EpisodeError:
        raise
    except UserError as error:
        raise EpisodeError(str(error)) from None


def _listed_in_tables(folder: Path, cameras: tuple[str, ...]) -> Iterator[ListedEpisode]:
    files = [
        file
        for file in sorted(folder.glob('*/*.parquet'))
        if not any(part.startswith('.') for part in file.relative_to(folder).parts)
    ]
    for file in files:
        for row in read_rows(file, ('stats/',)):
            content = {
                'episode_index': row.get('episode_index'),
                'length': row.get('length'),
                'tasks': row.get('tasks'),
                'first_row': row.get('dataset_from_index'),
                'end_row': row.get('dataset_to_index'),
                'places': {
                    what: (row.get(f'{path}/chunk_index'), row.get(f'{path}/file_index'))
                    for what, path in _paths(cameras)
                },
                'begins_s': {key: row.get(f'videos/{key}/from_timestamp') for key in cameras},
                'ends_s': {key: row.get(f'videos/{key}/to_timestamp') for key in cameras},
            }
            yield checked(ListedEpisode, content, file)


def _paths(cameras: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield 'data', 'data'
    for key in cameras:
        yield key, f'videos/{key}'


def _task_row(row: dict[str, Any]) -> dict[str, Any]:
    """Pandas keeps the text as the index of its table, which had no name at first."""
    text = row.get('task', row.get('__index_level_0__'))
    return {'task_index': row.get('task_index'), 'task': text}
