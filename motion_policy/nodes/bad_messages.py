# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages and requests that a node could not read or serve: dropped, counted, told once.

Nothing that comes over the network may end a node.
"""

from __future__ import annotations

import threading
import traceback
from weakref import WeakKeyDictionary

from rclpy.node import Node

from motion_policy.errors import UserError


class BadMessages:
    """What one node has dropped; any thread may tell it of more."""

    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()

    @staticmethod
    def of(node: Node) -> BadMessages:
        """The one of this node."""
        with _LOCK:
            if node not in _OF_NODES:
                _OF_NODES[node] = BadMessages(node)
            return _OF_NODES[node]

    def add(self, name: str, error: Exception, where: str = '') -> None:
        """Count one that came to `name`; a new kind is logged, as of `where` or of the name."""
        kind = type(error).__name__
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1
            known = (name, kind) in self._told
            self._told.add((name, kind))
        if known:
            return
        what = str(error) if isinstance(error, UserError) else traceback.format_exc().strip()
        self._logger.error(f'{where or name}: dropped, and so are further ones: {what}')

    def count(self, name: str) -> int:
        """How many came to this name."""
        return self._counts.get(name, 0)

    def values(self) -> dict[str, object]:
        """The counts, as diagnostics have them."""
        with self._lock:
            return {f'{name} unusable messages': n for name, n in sorted(self._counts.items())}


_OF_NODES: WeakKeyDictionary[Node, BadMessages] = WeakKeyDictionary()
_LOCK = threading.Lock()
