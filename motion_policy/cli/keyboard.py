# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Single keys from a terminal, without Enter; the terminal is put back at the end."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keyboard() -> Iterator[Callable[[], str] | None]:
    """Give what returns the next key that was pressed, or ''; None where there is no terminal."""
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        in_front = os.tcgetpgrp(number) == os.getpgrp()
    except (OSError, ValueError, termios.error):
        before, in_front = [], False
    if not in_front:
        yield None
        return

    def read() -> str:
        try:
            if select.select([number], [], [], 0)[0]:
                return os.read(number, 1).decode('ascii', 'ignore')
        except OSError:  # the terminal has gone
            pass
        return ''

    try:
        tty.setcbreak(number)
        yield read
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
