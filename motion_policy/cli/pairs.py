# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Options that map names of the robot to names in a file: `NAME=NAME_IN_FILE,...`."""

from __future__ import annotations

from motion_policy.errors import UserError


def named_pairs(text: str, option: str) -> dict[str, str] | None:
    """Read `NAME=NAME_IN_FILE,NAME,...`, our name to the file's; None where nothing was said.

    Raises:
        UserError: a name is empty or stands twice; `option` begins the message.
    """
    if not text:
        return None
    pairs = [name.strip().partition('=') for name in text.split(',')]
    found = {ours.strip(): (theirs if equals else ours).strip() for ours, equals, theirs in pairs}
    if len(found) != len(pairs) or not all([*found, *found.values()]):
        raise UserError(
            f"{option} is '{text}', expected names joined by commas, each once: "
            'NAME or NAME=NAME_IN_FILE'
        )
    return found
