# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the web server needs of the arm, and the arm of it: no call here waits for a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class NodeAnswer:
    """What a node said to a request, or why it said nothing."""

    ok: bool
    text: str


@dataclass(frozen=True)
class CameraFrame:
    """The newest message of a camera; `number` is another one for each."""

    number: int
    message: Any


class ArmLink(Protocol):
    """The arm and its nodes, as the web server sees them; every call may come in any thread."""

    def about(self) -> dict[str, Any]:
        """What does not change: names, limits, cameras, nodes."""

    def state(self) -> dict[str, Any]:
        """What is so now: joints, nodes, streams, recorder."""

    def look_at(self, cameras: frozenset[str]) -> None:
        """Receive the images of these cameras from now on, and of no others."""

    def frame(self, camera: str) -> CameraFrame | None:
        """The newest image of a camera that is looked at."""

    def ask(
        self,
        node: str,
        what: str,
        value: Any,
        deadline_s: float,
        done: Callable[[NodeAnswer], None],
    ) -> None:
        """Ask a node for something; `done` is called once, in another thread, by the deadline."""

    def log(self, line: str) -> None:
        """Say a line in the log."""
