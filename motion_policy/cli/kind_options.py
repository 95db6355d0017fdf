# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Options that belong to some kinds of a subcommand's sources only: a dataclass for each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from motion_policy.errors import UserError

K = TypeVar('K')


def foreign_option(
    arguments: Any, kind: K, options: Mapping[K, type[Any]]
) -> tuple[str, list[K]] | None:
    """An option that was given and that the chosen kind does not have.

    Args:
        arguments: all that was given; its dataclass inherits those of all kinds.
        kind: the chosen kind.
        options: the dataclass of each kind.

    Returns:
        The option as it is written, and the kinds that have it; None if there is no such option.
    """
    names = {known: {field.name for field in fields(each)} for known, each in options.items()}
    for field in sorted(fields(arguments), key=lambda field: field.name):
        owners = [known for known, own in names.items() if field.name in own]
        given = getattr(arguments, field.name) != field.default
        if given and owners and kind not in owners:
            return '--' + field.name.replace('_', '-'), owners
    return None


def refuse_foreign_options(
    arguments: Any, options: Mapping[str, type[Any]], command: str, flag: str
) -> None:
    """UserError if an option was given that the kind, chosen by `flag`, does not have."""
    found = foreign_option(arguments, arguments.kind, options)
    if found is not None:
        option, kinds = found
        raise UserError(
            f'{command}: {option} means nothing for {flag} {arguments.kind}, '
            f'expected it with {flag} {_listed(kinds)} only'
        )


def _listed(kinds: Sequence[str]) -> str:
    """Such as 'eipl', 'eipl or bair', 'eipl, aloha or bair'."""
    *others, last = kinds
    return f'{", ".join(others)} or {last}' if others else last
