# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The error of this room: one line that names file, key, value and what was expected."""

from __future__ import annotations

from motion_policy.errors import UserError


class RobotSpecError(UserError):
    """A robot spec or URDF that says something impossible."""
