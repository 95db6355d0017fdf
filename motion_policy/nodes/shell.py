# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`main()` and shutdown shared by all nodes.

A signal only asks the loop to end: the context stays valid until the node has sent its last
message, which rclpy's own signal handlers would prevent.
"""

from __future__ import annotations

import atexit
import gc
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from motion_policy.errors import UserError
from motion_policy.inference.child_process import ENDING_SIGNALS, OF_TERMINALS
from motion_policy.nodes.executor import Stop, spin_until_stopped
from motion_policy.nodes.log_output import patient_output
from motion_policy.nodes.parameters.declaring import unknown_parameters
from motion_policy.nodes.transports import ImageDirection, receiver_of_images, transports

SOURCES = re.compile(r' ?, at /\S+:\d+')  # of rcl, where it gave up


def run_node(
    make_node: Callable[[], Node],
    args: Sequence[str] | None = None,
    *,
    images: ImageDirection = 'none',
) -> int:
    """Run one node until a signal ends it; the body of every `main()` here.

    A node with a loop of its own has `spin(stop)`. Its `prepare_thread()`, where it has one, is
    called in the thread that serves its callbacks; its `close()` while its publishers still work.
    `images` says whether raw ones come in, or go out.
    Returns the exit code: 0, 1 after a defect, or 2 after a user's mistake, which is told in one
    line.
    """
    with patient_output():
        try:
            with transports(images, args):
                _run(make_node, args, images)
            code = 0
        except UserError as error:
            _tell(f'error: {error}')
            code = 2
        except Exception:
            _tell(traceback.format_exc())
            code = 1
        if code:
            gc.collect()  # of a node that was not finished: the middleware shall forget it, too
        # The interpreter's last walk through torch's objects would take a second.
        gc.freeze()
    return code


def _tell(text: str) -> None:
    with suppress(OSError):  # there may be nobody left to tell
        print(text, file=sys.stderr, flush=True)


def _run(
    make_node: Callable[[], Node], args: Sequence[str] | None, images: ImageDirection
) -> None:
    stop = Stop()
    _heed_signals(stop)
    _init(args)
    node: Node | None = None
    try:
        node = make_node()
        for line in unknown_parameters(node):
            node.get_logger().warning(line)
        if images == 'in':
            receiver_of_images(node)  # or its threads would come after their preparation
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
    finally:
        if node is not None:
            close = getattr(node, 'close', None)
            if close is not None:
                close()
            node.destroy_node()
            # A lifecycle node's own keeps it in the middleware, until the collector comes by.
            vars(node).pop('_state_machine', None)
        rclpy.try_shutdown()


def _init(args: Sequence[str] | None) -> None:
    try:
        rclpy.init(
            args=None if args is None else list(args),
            signal_handler_options=SignalHandlerOptions.NO,
        )
    except RuntimeError as error:  # rclpy's own for what it cannot read; a file of parameters, too
        words = ' '.join(str(error).split())
        raise UserError(f'ROS 2 cannot begin: {SOURCES.sub("", words)}') from error


def _heed_signals(stop: Stop) -> None:
    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in ENDING_SIGNALS:
        # `nohup` means that the end of a terminal is not the end of the node.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ask_to_stop)
    # Stopped by a terminal that another job has, a node could not hold its arm.
    _ignore(getattr(signal, name) for name in OF_TERMINALS)
    # Python gives signals back their old meaning in the end: one more would be its end instead.
    atexit.register(_ignore, ENDING_SIGNALS)


def _ignore(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
