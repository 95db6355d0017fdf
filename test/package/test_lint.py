# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What `make lint` says: ruff, and mypy --strict on the rooms that promise it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from repository import ROOT

pytestmark = [pytest.mark.package, pytest.mark.slow]


@pytest.mark.parametrize('command', [('ruff', 'check', '.'), ('mypy',)], ids=' '.join)
def test_nothing_is_found(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
