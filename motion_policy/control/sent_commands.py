# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recognises a node's own messages on its command topics, to find those of other nodes.

One rule: what the node did not send itself is foreign, however late its own messages come back.
The same position comes back as often as it was sent, and not once more.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = 1000  # different positions at least: more than fit into a receive queue on their way


@dataclass(slots=True)
class _Position:
    sent: int = 0  # counted in the thread that sends
    heard: int = 0  # in the one that hears


class SentCommands:
    """What a node has sent on one topic: written in the thread that sends, read where it hears.

    A message is known by the bytes of its positions, which lie at `offset` in each of ours. Where
    messages say who published them (`publisher`, Kilted and later), the first message of ours
    that comes back tells who we are, and then only that counts: another node may play the same.
    """

    def __init__(self, offset: int, size: int) -> None:
        self._place = slice(offset, offset + size)
        self._newer: dict[bytes, _Position] = {}
        self._older: dict[bytes, _Position] = {}
        self._publisher: bytes | None = None

    def sent(self, position: bytes) -> None:
        """Take the positions of a message before it is published."""
        if len(self._newer) >= KEPT:
            # In this order a reader in another thread finds every position in one of the two.
            self._older = self._newer
            self._newer = {}
        known = self._newer.get(position) or self._older.get(position) or _Position()
        known.sent += 1
        self._newer[position] = known

    @property
    def knows_itself(self) -> bool:
        """Whether a message of ours has come back, and told who we are."""
        return self._publisher is not None

    def is_ours(
        self, message: bytes, publisher: bytes | None = None, named_otherwise: bool = False
    ) -> bool:
        """Whether we sent this serialised message; not if its publisher is `named_otherwise`.

        Ask once for each message that comes. Two that begin at one place send the same at first.
        """
        if self._publisher is not None:
            return publisher == self._publisher
        if named_otherwise:
            return False
        position = message[self._place]
        known = self._newer.get(position) or self._older.get(position)
        if known is None or known.heard == known.sent:
            return False
        known.heard += 1
        self._publisher = publisher
        return True
