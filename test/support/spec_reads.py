# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How often `policy.yaml` is read: twice, it may say two things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motion_policy.policies import checkpoint


def note_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each reading of a checkpoint's `policy.yaml` adds its path."""
    reads: list[Path] = []
    read_yaml = checkpoint.read_yaml

    def noted(path: Path, *more: Any) -> Any:
        reads.append(path)
        return read_yaml(path, *more)

    monkeypatch.setattr(checkpoint, 'read_yaml', noted)
    return reads
