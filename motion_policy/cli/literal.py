# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Escapes file-supplied names for terminal output.

Neither markup, nor line breaks, nor control characters come through.
"""

from __future__ import annotations

import rich.markup

from motion_policy.files import shown


def escape(text: object) -> str:
    """The text as it reads in one line."""
    return rich.markup.escape(shown(text))
