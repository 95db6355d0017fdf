# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The error of this room: one line that names the file, what was found and what was expected."""

from __future__ import annotations

from motion_policy.errors import UserError


class EpisodeError(UserError):
    """An episode or bag that is missing, foreign, damaged or does not fit the robot."""
