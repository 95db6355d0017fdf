# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Interface between an arm driver and the node that commands it.

No call may wait: most come from the thread of the control tick.
"""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from motion_policy.control import Command
from motion_policy.streams import Observation, Row


class ActionSource:
    """Gives the controller its actions; whatever else it does not say is harmless."""

    def action_due(self, row: Row) -> None:
        """The controller wants an action for `row`, and its command is out; tick thread."""
        raise NotImplementedError

    def after_look(self, row: Row) -> None:
        """What is wrong is known, and the command is made next; in every tick, with the lock."""

    def before_command(self, row: Row) -> None:
        """The same, sooner: before the command of that tick is made, with the driver's lock."""

    def after_tick(self, row: Row, command: Command | None) -> None:
        """What was seen and commanded in a tick; tick thread."""

    def image_came(self, camera: str, message: Any) -> None:
        """An image, before it is in the row of any tick; thread of the callbacks."""

    def faults(self) -> dict[str, str]:
        """What lets the arm hold, but not on its way home, by name; tick thread."""
        return {}

    def check_observation(self, observation: Observation) -> None:
        """UserError if the arm must not be enabled with it; thread of the callbacks."""

    def statuses(self) -> list[DiagnosticStatus]:
        """What `/diagnostics` says beside the driver's own; thread of the callbacks."""
        return []
