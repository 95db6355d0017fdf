# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The errors of this room: one line that names the stream, joint or camera."""

from __future__ import annotations

from motion_policy.errors import UserError


class StreamError(UserError):
    """A message or a row that does not hold what the robot spec promises."""


class UnusableFrameError(StreamError):
    """An image that cannot be decoded; `camera` is the stream whose it is."""

    def __init__(self, line: str, camera: str) -> None:
        super().__init__(line)
        self.camera = camera
