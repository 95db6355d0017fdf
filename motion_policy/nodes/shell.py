# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What every node of this package shares: its parameters, its `main()`, its clean end.

A signal only asks the loop to end: the context stays valid until the node has sent its last
message, which rclpy's own signal handlers would prevent.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from motion_policy.errors import UserError
from motion_policy.nodes.serving import spin_until_stopped


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
) -> None:
    """Declare one parameter; numbers with both `minimum` and `maximum` are range-checked.

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
    try:
        node.declare_parameter(name, default, descriptor)
    except InvalidParameterTypeException as error:
        raise UserError(
            f"parameter '{name}' must be a {type(default).__name__} like {default!r}: {error}"
        ) from error
    except InvalidParameterValueException as error:
        raise UserError(
            f"parameter '{name}' must lie in [{minimum}, {maximum}]: {error}"
        ) from error
    value = node.get_parameter(name).value
    if choices and value not in choices:
        raise UserError(f"parameter '{name}' is '{value}'; expected {' or '.join(choices)}")


def parameter(node: Node, name: str) -> Any:
    """The present value of a declared parameter."""
    return node.get_parameter(name).value


def run_node(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run one node until SIGINT or SIGTERM; the body of every `main()` here.

    A node with a loop of its own has `spin(stop)`. Its `prepare_thread()`, where it has one, is
    called in the thread that serves its callbacks; its `close()` while its publishers still work.
    Returns the exit code: 0, or 2 after a user's mistake, which is logged in one line.
    """
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    rclpy.init(
        args=None if args is None else list(args),
        signal_handler_options=SignalHandlerOptions.NO,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    node: Node | None = None
    try:
        node = make_node()
        prepare_thread = getattr(node, 'prepare_thread', None)
        if prepare_thread is not None:
            prepare_thread()
        own_loop = getattr(node, 'spin', None)
        if own_loop is not None:
            own_loop(stop)
        else:
            spin_until_stopped(node, stop)
    except ExternalShutdownException:
        pass
    except UserError as error:
        print(f'error: {error}', file=sys.stderr, flush=True)
        return 2
    finally:
        if node is not None:
            close = getattr(node, 'close', None)
            if close is not None:
                close()
            node.destroy_node()
        rclpy.try_shutdown()
        # The interpreter's last walk through torch's objects would take a second.
        gc.freeze()
    return 0
