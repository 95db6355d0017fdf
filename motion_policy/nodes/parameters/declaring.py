# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Declaring and reading groups of parameters: what is said of each holds at start and later.

A change that could not take effect is refused with the reason; nothing is accepted and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter

from motion_policy.declared import Declared
from motion_policy.errors import UserError
from motion_policy.nodes.parameters.fields import Change, ParameterEntry, entries, group_within

Group = TypeVar('Group', bound=Declared)

NOTHING: Mapping[str, Any] = MappingProxyType({})
NOT_CONFIGURED = ('unconfigured', 'finalized')


def declare_group(
    node: Node,
    group: type[Declared],
    *,
    defaults: Mapping[str, Any] = NOTHING,
    notes: Mapping[str, str] = NOTHING,
    on_change: Mapping[str, Callable[[Any], None]] = NOTHING,
) -> None:
    """Declare the parameters of a group.

    Any other than a `LIVE` one may change only while a lifecycle node is not configured, and not
    at all in other nodes.

    Args:
        node: whose they are.
        group: what they may be; numbers with both bounds are range-checked.
        defaults: by name, of those that the group has no default for.
        notes: by name, what is said after the text of the group.
        on_change: by name, called with a value before it takes effect; it refuses it by a
            UserError.

    Raises UserError naming the parameter when a launch or YAML file gives another type, a value
    out of range, or a word that is none of the choices.
    """
    for entry in entries(group):
        name, note = entry.name, notes.get(entry.name)
        told = entry.text if note is None else f'{entry.text}: {note}'
        given = replace(entry, default=defaults.get(name, entry.default), text=told)
        _declare(node, given, on_change.get(name))


def read_group(node: Node, group: type[Group]) -> Group:
    """The present values of a group that was declared."""
    return _read(node, group, '')


def _read(node: Node, group: type[Group], prefix: str) -> Group:
    values: dict[str, Any] = {}
    for key, field in group.model_fields.items():
        name, within = field.alias or key, group_within(field)
        if within is not None:
            values[name] = _read(node, within, f'{prefix}{name}.')
            continue
        value = node.get_parameter(prefix + name).value
        values[name] = tuple(value) if _is_list(value) else value
    return group.model_construct(**values)  # each was checked when it was set


def _declare(node: Node, entry: ParameterEntry, on_change: Callable[[Any], None] | None) -> None:
    name, default = entry.name, entry.default
    descriptor = ParameterDescriptor(
        name=name, description=entry.text, read_only=entry.change is Change.READ_ONLY
    )
    if entry.type == 'any':
        descriptor.dynamic_typing = True
        node.declare_parameter(name, default, descriptor)
        return
    if entry.minimum is not None and entry.maximum is not None:
        low, high = entry.minimum, entry.maximum
        if entry.type == 'double':
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(low), to_value=int(high), step=1)
            ]
    if entry.choices:
        descriptor.additional_constraints = f'one of: {", ".join(entry.choices)}'
    rules = _Rules.of(node)
    rules.by_name[name] = _Rule(entry.choices, entry.length, entry.change, on_change)
    rules.refused = ''
    try:
        node.declare_parameter(name, default, descriptor)
    except InvalidParameterTypeException as error:
        raise UserError(
            f"parameter '{name}' must be a {type(default).__name__} like {default!r}: {error}"
        ) from error
    except InvalidParameterValueException as error:
        if rules.refused:
            raise UserError(f'parameter {rules.refused}') from error
        raise UserError(
            f"parameter '{name}' must lie in [{entry.minimum}, {entry.maximum}]: {error}"
        ) from error


def unknown_parameters(node: Node) -> list[str]:
    """A line for each parameter that was given to the node and is none of its own."""
    given: dict[str, Any] = getattr(node, '_parameter_overrides', {})
    lines = []
    for name in sorted(given):
        if node.has_parameter(name) or name.startswith('qos_overrides.'):
            continue
        near = get_close_matches(name, node._parameters, 1)
        meant = f": did you mean '{near[0]}'?" if near else ''
        lines.append(f"parameter '{name}' is not known here and changes nothing{meant}")
    return lines


@dataclass(frozen=True)
class _Rule:
    """What one parameter may be, and whether a change of it takes effect."""

    choices: tuple[str, ...]
    length: int | None
    change: Change
    on_change: Callable[[Any], None] | None

    def broken_by(self, value: Any) -> str:
        """What is wrong with a value; ''."""
        if self.choices and value not in self.choices:
            return f"is '{value}'; expected {' or '.join(self.choices)}"
        is_list = _is_list(value)
        if is_list and self.length is not None and len(value) != self.length:
            return f'has {len(value)} numbers; expected {self.length}'
        numbers = value if is_list else [value]
        if any(isinstance(x, float) and not math.isfinite(x) for x in numbers):
            return f'is {value}; expected finite numbers'
        return ''


class _Rules:
    """Those of one node, which it asks about every value."""

    def __init__(self, node: Node) -> None:
        # rclpy's own. A clock that is another one on the way would leave the arm without commands.
        self.by_name: dict[str, _Rule] = {
            'use_sim_time': _Rule((), None, Change.UNCONFIGURED, None)
        }
        self.refused = ''  # why the last change was; ''

        def answer(parameters: list[Parameter]) -> SetParametersResult:
            self.refused = reason = self._refusal(node, parameters)
            return SetParametersResult(successful=not reason, reason=reason)

        node.add_on_set_parameters_callback(answer)

    @staticmethod
    def of(node: Node) -> _Rules:
        """The ones of this node."""
        # Rules hold methods of their node: kept anywhere else, they would keep it for ever.
        rules: _Rules | None = getattr(node, '_parameter_rules', None)
        if rules is None:
            rules = _Rules(node)
            setattr(node, '_parameter_rules', rules)  # noqa: B010
        return rules

    def _refusal(self, node: Node, parameters: list[Parameter]) -> str:
        changes = []
        for new in parameters:
            rule = self.by_name.get(new.name)
            if rule is None:
                continue
            if new.type_ == Parameter.Type.NOT_SET:
                return f"'{new.name}' cannot be removed"
            if broken := rule.broken_by(new.value):
                return f"'{new.name}' {broken}"
            if node.has_parameter(new.name) and node.get_parameter(new.name).value != new.value:
                if rule.change is not Change.LIVE and (bound := _bound(node)):
                    return f"'{new.name}' {bound}"
                changes.append((rule, new.value))
        try:
            for rule, value in changes:
                if rule.on_change is not None:
                    rule.on_change(value)
        except UserError as error:
            return str(error)
        return ''


def _is_list(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, '__len__')


def _bound(node: Node) -> str:
    """Why the node would not heed a change now; ''."""
    if not isinstance(node, LifecycleNode):
        return 'is read at start: start the node anew'
    # While it is being made it has no state yet.
    machine = getattr(node, '_state_machine', None)
    if machine is None or machine.current_state[1] in NOT_CONFIGURED:
        return ''
    return 'cannot change while the node is configured: cleanup first'
