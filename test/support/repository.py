# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the repository is, and how a process that a test starts finds what is in it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = Path(__file__).parent


def python_path(*folders: Path) -> str:
    """Return PYTHONPATH with these folders, by default the repository's, before what is there."""
    found = [*map(str, folders or (ROOT,)), os.environ.get('PYTHONPATH', '')]
    return os.pathsep.join(found)
