# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node: what each may be is said once, and holds at start and at every change.

A change that could not take effect is refused with the reason; nothing is accepted and ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary

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

from motion_policy.errors import UserError

NOT_CONFIGURED = ('unconfigured', 'finalized')


def declare(
    node: Node,
    name: str,
    default: str | bool | int | float | list[str] | list[float],
    description: str,
    *,
    read_only: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    length: int | None = None,
    live: bool = False,
    on_change: Callable[[Any], None] | None = None,
) -> None:
    """Declare one parameter; numbers with both `minimum` and `maximum` are range-checked.

    `length` is that of a list. Any other than a `live` one may change only while a lifecycle node
    is not configured, and not at all in other nodes. `on_change(value)` is called before a change
    takes effect, and refuses it by a UserError.

    Raises UserError naming the parameter when a launch or YAML file gives another type, a value
    out of range, or a word that is none of `choices`.
    """
    descriptor = ParameterDescriptor(name=name, description=description, read_only=read_only)
    if minimum is not None and maximum is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(minimum), to_value=float(maximum))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(minimum), to_value=int(maximum), step=1)
            ]
    if choices:
        descriptor.additional_constraints = f'one of: {", ".join(choices)}'
    rule = _Rule(tuple(choices), length, live or on_change is not None, on_change)
    rules = _Rules.of(node)
    rules.by_name[name], rules.refused = rule, ''
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
            f"parameter '{name}' must lie in [{minimum}, {maximum}]: {error}"
        ) from error


def parameter(node: Node, name: str) -> Any:
    """The present value of a declared parameter."""
    return node.get_parameter(name).value


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
    live: bool
    on_change: Callable[[Any], None] | None

    def broken_by(self, value: Any) -> str:
        """What is wrong with a value; ''."""
        if self.choices and value not in self.choices:
            return f"is '{value}'; expected {' or '.join(self.choices)}"
        is_list = not isinstance(value, str) and hasattr(value, '__len__')
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
        self.by_name: dict[str, _Rule] = {'use_sim_time': _Rule((), None, False, None)}
        self.refused = ''  # why the last change was; ''

        def answer(parameters: list[Parameter]) -> SetParametersResult:
            self.refused = reason = self._refusal(node, parameters)
            return SetParametersResult(successful=not reason, reason=reason)

        node.add_on_set_parameters_callback(answer)

    @staticmethod
    def of(node: Node) -> _Rules:
        """The ones of this node."""
        rules: _Rules | None = _OF_NODES.get(node)
        if rules is None:
            _OF_NODES[node] = rules = _Rules(node)
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
            if node.has_parameter(new.name) and parameter(node, new.name) != new.value:
                if not rule.live and (bound := _bound(node)):
                    return f"'{new.name}' {bound}"
                changes.append((rule, new.value))
        try:
            for rule, value in changes:
                if rule.on_change is not None:
                    rule.on_change(value)
        except UserError as error:
            return str(error)
        return ''


def _bound(node: Node) -> str:
    """Why the node would not heed a change now; ''."""
    if not isinstance(node, LifecycleNode):
        return 'is read at start: start the node anew'
    # While it is being made it has no state yet.
    machine = getattr(node, '_state_machine', None)
    if machine is None or machine.current_state[1] in NOT_CONFIGURED:
        return ''
    return 'cannot change while the node is configured: cleanup first'


_OF_NODES: WeakKeyDictionary[Node, _Rules] = WeakKeyDictionary()
