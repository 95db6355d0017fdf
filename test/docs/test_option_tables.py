# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of options and of training keys have a row for each, with its default."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from reference_tables import codes, page, row_names, section, tables, tells

from motion_policy.cli.main import SUBCOMMANDS
from motion_policy.policies import MODEL_KINDS
from motion_policy.policies.act.backbone import BackboneName
from motion_policy.training.backbone_weights import KEY, WEIGHTS
from motion_policy.training.config import WAYS
from motion_policy.training.schedule import Curve

WAY = re.compile(r'`(\w+)`')


def field_texts(arguments: type) -> dict[str, str]:
    """Return the text below each field of a dataclass and of its bases, as `--help` shows it."""
    texts: dict[str, str] = {}
    for cls in reversed(arguments.__mro__[:-1]):
        [found] = [
            node
            for node in ast.parse(inspect.getsource(inspect.getmodule(cls) or cls)).body
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__
        ]
        for field, text in zip(found.body, found.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                texts[ast.unparse(field.target)] = ast.literal_eval(text.value)
    return texts


def option_name(field: str, source: str) -> str:
    """Return `--name` of a field, as tyro makes it or as the field renames it."""
    renamed = re.search(rf"^    {field}: Annotated\[.*?arg\(name='([\w-]+)'", source, re.M)
    return '--' + (renamed[1] if renamed else field.replace('_', '-'))


def default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING or field.default is False:
        return None  # a flag that is off needs no word
    return str(field.default) if isinstance(field.default, Path) else field.default


@pytest.mark.parametrize('subcommand', sorted(SUBCOMMANDS))
def test_every_option_has_a_row_with_its_default(subcommand: str) -> None:
    module = importlib.import_module(f'motion_policy.cli.{SUBCOMMANDS[subcommand][0]}')
    source, texts = inspect.getsource(module), field_texts(module.Arguments)
    options = {
        option_name(field.name, source): field
        for field in dataclasses.fields(module.Arguments)
        if 'Positional' not in str(field.type)
    }
    [table] = [
        table
        for table in tables(section(page('command_line.md'), subcommand))
        if table.header[0] == 'option'
    ]
    assert sorted(table.by_name('meaning')) == sorted(options)
    if 'default' not in table.header:
        assert [field for field in options.values() if default_of(field)] == []
        return
    for name, cell in table.by_name('default').items():
        text = texts[options[name].name]
        assert tells(cell, default_of(options[name]), text), f'{name}: {cell!r}, {text}'


def declared_keys(model: type[BaseModel], before: str = '') -> dict[str, FieldInfo]:
    """Return the dotted keys of a model and of its sections."""
    keys: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        # All terms of a schedule have the same keys.
        key = 'loss_schedule.TERM' if before == 'loss_schedule.' else before + name
        parts = (field.annotation, *get_args(field.annotation))
        sections = [part for part in parts if isinstance(part, type(BaseModel))]
        if not (before and sections):
            keys[key] = field
        for part in sections:
            keys |= declared_keys(part, f'{key}.')
    return keys


def test_every_training_key_has_a_row_with_its_default_and_the_ways_that_have_it() -> None:
    declared = {way: declared_keys(configuration) for way, configuration in WAYS.items()}
    told: dict[str, set[str]] = {}
    for table in tables(page('training_config.md')):
        if 'for' not in table.header:
            continue
        defaults = table.by_name('default')
        # A name in the first column, and the ways of the whole row.
        for keys, ways in zip(table.column('key'), table.column('for'), strict=True):
            assert re.fullmatch(r'(`\w+`(, )?)*', ways), f'{keys}: {ways}'
            for key in codes(keys):
                if key.startswith('policy.'):
                    continue
                told[key] = {*WAY.findall(ways)} or {*WAYS}
                for way in told[key]:
                    field = declared[way][key]
                    given = None if isinstance(field.default, BaseModel) else field.default
                    default = None if field.is_required() else given
                    assert tells(defaults[key], default, field.description or ''), (way, key)
    assert told == {
        key: {way for way, keys in declared.items() if key in keys}
        for key in {key for keys in declared.values() for key in keys}
    }


def test_the_training_page_names_every_curve() -> None:
    [row] = [
        row
        for table in tables(page('training_config.md'))
        for row in table.rows
        if row[0] == '`loss_schedule.TERM.curve`'
    ]
    assert {*codes(row[-1])} == {*get_args(Curve)}


def test_the_training_page_has_a_row_for_every_weight_that_a_policy_begins_with() -> None:
    text = page('training_config.md')
    rows = [key for key in row_names(text) if key.startswith('policy.')]
    keys: dict[str, list[str]] = {}
    for kind, model in MODEL_KINDS.items():
        if model.autoencoder_key:
            keys.setdefault(f'policy.{model.autoencoder_key}', []).append(kind)
    assert rows == sorted({KEY, *keys})
    [table] = tables(section(text, 'Beginning with an autoencoder'))
    assert {key: codes(kinds) for key, kinds in table.by_name('kinds').items()} == keys
    [table] = tables(section(text, 'ACT'))
    assert table.by_name('for')[KEY] == '`chunks`'
    without = [name for name in get_args(BackboneName) if name not in WEIGHTS]
    assert codes(table.by_name('default')[KEY]) == ['imagenet', *without, 'none']


def test_the_training_page_has_a_row_for_every_way_of_learning() -> None:
    ways, *_ = tables(page('training_config.md'))
    assert sorted(ways.by_name('a batch holds')) == sorted(WAYS)
