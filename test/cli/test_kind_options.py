# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An option belongs to the kinds whose dataclass has it, and is foreign to the others."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args

import pytest

from motion_policy.cli import convert_checkpoint, export, import_
from motion_policy.cli.kind_options import foreign_option, refuse_foreign_options
from motion_policy.errors import UserError


@dataclass(frozen=True)
class Shared:
    out: str = ''


@dataclass(frozen=True)
class Rate:
    frame_rate: float | None = None


@dataclass(frozen=True)
class First(Rate, Shared):
    size: int = 3


@dataclass(frozen=True)
class Second(Rate, Shared):
    pass


@dataclass(frozen=True)
class Third(Shared):
    name: str = ''


@dataclass(frozen=True)
class All(First, Second, Third):
    pass


OPTIONS = {None: Shared, 'first': First, 'second': Second, 'third': Third}


@pytest.mark.parametrize(
    ('kind', 'given', 'found'),
    [
        ('first', {'size': 4, 'frame_rate': 1.0, 'out': 'x'}, None),
        ('third', {'size': 3, 'frame_rate': None, 'name': 'x'}, None),
        ('second', {'size': 4}, ('--size', ['first'])),
        ('third', {'frame_rate': 0.0}, ('--frame-rate', ['first', 'second'])),
        (None, {'out': 'x'}, None),
        (None, {'name': 'x'}, ('--name', ['third'])),
    ],
)
def test_an_option_that_the_kind_does_not_have_is_found(
    kind: str | None, given: dict[str, Any], found: object
) -> None:
    assert foreign_option(All(**given), kind, OPTIONS) == found


@pytest.mark.parametrize(
    ('kind', 'given', 'words'),
    [
        (
            'second',
            {'size': 4},
            '--size means nothing for --from second, expected it with --from first only',
        ),
        ('third', {'frame_rate': 1.0}, '--frame-rate means .* --from first or second only'),
        (
            'third',
            {'out': 'x', 'name': 'x', 'rank': 1},
            '--rank means .* first, second or fourth only',
        ),
    ],
)
def test_an_option_of_other_kinds_is_refused_with_their_names(
    kind: str, given: dict[str, Any], words: str
) -> None:
    @dataclass(frozen=True)
    class Ranked(Shared):
        rank: int = 0

    @dataclass(frozen=True)
    class Given(All, Ranked):
        kind: str = ''

    @dataclass(frozen=True)
    class FirstRanked(First, Ranked):
        pass

    @dataclass(frozen=True)
    class SecondRanked(Second, Ranked):
        pass

    options = {'first': FirstRanked, 'second': SecondRanked, 'third': Third, 'fourth': Ranked}
    with pytest.raises(UserError, match=f'^import: {words}$'):
        refuse_foreign_options(Given(kind=kind, **given), options, 'import', '--from')


@pytest.mark.parametrize(
    ('module', 'kinds'),
    [
        (import_, import_.IMPORTS),
        (export, export.EXPORTS),
        (convert_checkpoint, convert_checkpoint.CONVERTERS),
    ],
)
def test_every_kind_has_its_options_and_every_option_a_place(module: Any, kinds: Any) -> None:
    assert tuple(kinds) == get_args(module.Kind)
    ours = {field.name for kind in kinds.values() for field in fields(kind.options)}
    assert ours <= {field.name for field in fields(module.Arguments)}
    foreign = {field.name for field in fields(module.Arguments)} - ours
    assert foreign <= {'source', 'destination', 'kind', 'to', 'slim', 'half'}
