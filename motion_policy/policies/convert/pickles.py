# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Bounds on a pickle from its opcodes, before anything is unpickled.

A tuple that holds one tuple twice, which does so in turn, is small in a file; but as a key of a
dictionary it is hashed whole, which takes for ever at forty levels and ends the process at many.
"""

from __future__ import annotations

import pickletools
from functools import cache
from typing import BinaryIO

MOST_OPCODES = 4_000_000
MOST_COST = 100_000_000  # objects that are looked at, those that stand at several places each time
MOST_LEVELS = 200

_Object = tuple[int, int]  # how many objects it is, and in how many levels
_OPCODES = {opcode.name: opcode for opcode in pickletools.opcodes}
_ATOM: _Object = (1, 0)
_MARK: _Object = (0, -1)
_INTO = {'APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS', 'BUILD'}
_PUT = {'PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'}
_GET = {'GET', 'BINGET', 'LONG_BINGET'}


class CostlyPickleError(Exception):
    """Its objects are too many or too deep."""


def check_pickle(stream: BinaryIO) -> None:
    """Look at one pickle, up to its end.

    Raises:
        CostlyPickleError: it would take for ever to read, or too many levels.
        Exception: it is no pickle.
    """
    stack: list[_Object] = []
    memo: dict[int, _Object] = {}
    total = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        if count > MOST_OPCODES:
            raise CostlyPickleError(f'has over {MOST_OPCODES} parts')
        if name in _PUT:
            memo[len(memo) if name == 'MEMOIZE' else int(argument)] = stack[-1]
        elif name in _GET:
            stack.append(memo[int(argument)])
        elif name == 'MARK':
            stack.append(_MARK)
        else:
            cost, levels = 1, 0
            for size, within in _taken(stack, opcode):
                cost += size
                levels = max(levels, 1 + within)
            total += cost
            if total > MOST_COST or levels > MOST_LEVELS:
                raise CostlyPickleError('has objects within objects that it would take for ever')
            # What goes into a list or a dictionary leaves them what they are: no key.
            made = _ATOM if name in _INTO else (cost, levels)
            stack += [made] * len(opcode.stack_after)


def _taken(stack: list[_Object], opcode: pickletools.OpcodeInfo) -> list[_Object]:
    """Remove from the stack what an opcode takes, and return it."""
    taken = []
    marked, count = _takes(opcode.name)
    if marked:
        while (top := stack.pop()) != _MARK:
            taken.append(top)
    for _ in range(count):
        taken.append(stack.pop())
    # A container that is filled is not looked at again.
    return taken[:-1] if opcode.name in _INTO else taken


@cache
def _takes(name: str) -> tuple[bool, int]:
    """Whether the opcode of a name takes all down to a mark, and how many objects below it."""
    before = [kind.name for kind in _OPCODES[name].stack_before]
    marked = 'mark' in before
    return marked, before.index('mark') if marked else len(before)
