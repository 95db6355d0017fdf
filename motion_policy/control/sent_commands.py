# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recognises a node's own messages on its command topics, to find those of other nodes.

One rule: what the node did not send itself is foreign, however late its own messages come back.
"""

from __future__ import annotations

KEPT = 1000  # different positions at least: more than fit into a receive queue on their way


class SentCommands:
    """What a node has sent on one topic: written in the thread that sends, read where it hears.

    A message is known by the bytes of its positions, which lie at `offset` in each of ours. Where
    messages say who published them (`publisher`, Kilted and later), the first message of ours
    that comes back tells who we are, and then only that counts: another node may play the same.
    """

    def __init__(self, offset: int, size: int) -> None:
        self._place = slice(offset, offset + size)
        self._newer: set[bytes] = set()
        self._older: set[bytes] = set()
        self._publisher: bytes | None = None

    def sent(self, position: bytes) -> None:
        """Take the positions of a message before it is published."""
        if len(self._newer) >= KEPT:
            # In this order a reader in another thread finds every position in one of the two.
            self._older = self._newer
            self._newer = set()
        self._newer.add(position)

    @property
    def knows_itself(self) -> bool:
        """Whether a message of ours has come back, and told who we are."""
        return self._publisher is not None

    def is_ours(
        self, message: bytes, publisher: bytes | None = None, named_otherwise: bool = False
    ) -> bool:
        """Whether we sent this serialised message; not if its publisher is `named_otherwise`.

        Two that begin at one place send the same at first.
        """
        if self._publisher is not None:
            return publisher == self._publisher
        if named_otherwise:
            return False
        position = message[self._place]
        ours = position in self._newer or position in self._older
        if ours:
            self._publisher = publisher
        return ours
