# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parses YAML and JSON from outside, and writes YAML: the one place for it.

Size, depth and the number of values, those of repeated aliases counted, are bounded before
anything is built. A key that stands twice is refused; a mistake is one line with file and line.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from motion_policy.files import FileError, read_text, shown

MOST_BYTES = 8 * 2**20  # of YAML, and of JSON that is no list of episodes
MOST_DEPTH = 40
MOST_VALUES = 400_000

_MERGE = '<<'
_TAG = 'tag:yaml.org,2002:'
_PLAIN = ('null', 'bool', 'int', 'float', 'str', 'seq', 'map')
_Base: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
_Dumper: Any = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)  # the same text, three times faster


def _decimal(tag: str, pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Leave out numbers that YAML 1.1 reads to the base 8 (010) or 60 (1:30), as nobody does."""
    if tag not in (f'{_TAG}int', f'{_TAG}float'):
        return pattern
    return re.compile(f'(?![-+]?0[0-9_]|.*:)(?:{pattern.pattern})', pattern.flags)


def read_yaml(path: Path, what: str = 'a YAML file') -> dict[str, Any]:
    """The mapping in a YAML file. Raises FileError."""
    return mapping(parse_yaml(read_text(path, MOST_BYTES, what), path), path)


def parse_yaml(text: str, source: str | Path) -> Any:
    """The value that a YAML text stands for; dates stay text.

    Args:
        text: one document.
        source: where it is from, for errors.

    Raises:
        FileError: not YAML, too large or too deep, a key twice, or a tag that makes an object.
    """
    if len(text) > MOST_BYTES:
        raise FileError(f'{shown(source)}: has {len(text)} characters, at most {MOST_BYTES}')
    try:
        _check_structure(text, source)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        problem = ' '.join(f'{error.context or ""} {error.problem or ""}'.split())
        # What is missing at the end is said to be missing after it.
        line = min(error.problem_mark.line, text.count('\n')) + 1 if error.problem_mark else 1
        raise _at(source, line, f'not YAML: {shown(problem)}') from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise FileError(f'{shown(source)}: not YAML: {_one_line(error)}') from None


def dump_yaml(content: Any) -> str:
    """The YAML text of plain values, keys in their order, lists of numbers in one line."""
    text: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=99
    )
    return text


def read_json(path: Path, what: str = 'a JSON file') -> dict[str, Any]:
    """The names and values in a JSON file. Raises FileError."""
    return json_mapping(read_text(path, MOST_BYTES, what), path)


def json_mapping(text: str, source: str | Path) -> dict[str, Any]:
    """The names and values in a JSON text.

    Raises:
        FileError: not JSON, nested without end, a key twice, NaN or infinity, or no mapping.
    """
    try:
        content = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except RecursionError:
        raise FileError(f'{shown(source)}: not JSON: is nested too deep') from None
    except ValueError as error:
        raise FileError(f'{shown(source)}: not JSON: {_one_line(error)}') from None
    return mapping(content, source)


def mapping(content: Any, source: str | Path) -> dict[str, Any]:
    """The content, if it is keys and values. Raises FileError."""
    if not isinstance(content, dict):
        raise FileError(
            f'{shown(source)}: holds {type(content).__name__}, expected keys and values'
        )
    wrong = [key for key in content if not isinstance(key, str)]
    if wrong:
        raise FileError(f'{shown(source)}: key {wrong[0]!r} is no text, expected names as keys')
    return content


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's safe loader for plain values: dates stay text, and every complaint has a line."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [
            (tag, _decimal(tag, pattern)) for tag, pattern in known if tag != f'{_TAG}timestamp'
        ]
        for first, known in _Base.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: construct
        for tag, construct in _Base.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in _PLAIN
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # an int or a date that Python cannot make
            problem = f'{node.value!r:.60}: {_one_line(error)}'
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


class _Collection:
    """A mapping or a list that is being parsed; finds keys that stand twice."""

    def __init__(self, event: Any, values_before: int) -> None:
        self.anchor: str | None = event.anchor
        self.values_before = values_before
        self._is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._at_key = self._is_mapping
        self._lines: dict[tuple[str, bool], int] = {}

    def add(self, event: Any, source: str | Path) -> None:
        """Take the start of one more child. Raises FileError for a key that was there before."""
        if self._at_key and isinstance(event, yaml.ScalarEvent) and event.value != _MERGE:
            key, line = (event.value, event.implicit[0]), _line_of(event)
            if key in self._lines:
                words = (
                    f"key '{shown(event.value)}' stands twice, first in line {self._lines[key]}"
                )
                raise _at(source, line, words)
            self._lines[key] = line
        self._at_key = self._is_mapping and not self._at_key


def _check_structure(text: str, source: str | Path) -> None:
    """Bound what a text would become, event by event; nothing is built yet. Raises FileError."""
    values = 0
    sizes: dict[str, int] = {}  # of what an alias stands for
    within: list[_Collection] = []
    event: Any
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.CollectionEndEvent):
            ended = within.pop()
            if ended.anchor is not None:
                sizes[ended.anchor] = values - ended.values_before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        line = _line_of(event)
        if within:
            within[-1].add(event, source)
        if isinstance(event, yaml.CollectionStartEvent):
            within.append(_Collection(event, values))
        elif isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in within):
                words = f"alias '{shown(event.anchor)}' stands within what it stands for"
                raise _at(source, line, words)
            values += sizes.get(str(event.anchor), 1) - 1
        elif event.anchor is not None:
            sizes[event.anchor] = 1
        values += 1
        if len(within) > MOST_DEPTH:
            raise _at(source, line, f'is nested deeper than {MOST_DEPTH} levels')
        if values > MOST_VALUES:
            raise _at(source, line, f'stands for more than {MOST_VALUES} values')


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"key '{key}' stands twice")
        content[key] = value
    return content


def _no_constant(name: str) -> Any:
    raise ValueError(f'holds {name}, expected a finite number')


def _line_of(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _at(source: str | Path, line: int, words: str) -> FileError:
    return FileError(f'{shown(source)}: line {line}: {words}')


def _one_line(error: Exception) -> str:
    return shown(' '.join(str(error).split()))[:200]
