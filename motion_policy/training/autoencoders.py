# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Pre-trained autoencoders with which a run begins.

The checkpoint that the run writes does not need them any more; it tells which they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from motion_policy.policies import Model, load_model
from motion_policy.policies.checkpoint import WEIGHTS_FILE, find_checkpoint


@dataclass(frozen=True)
class Autoencoders:
    """Loaded checkpoints, and for each of them what is told of it."""

    models: tuple[Model, ...]
    record: tuple[dict[str, Any], ...]


def load_autoencoders(paths: Sequence[str]) -> Autoencoders:
    """Raises CheckpointError."""
    records = []
    for path in paths:
        weights = (find_checkpoint(path) / WEIGHTS_FILE).read_bytes()
        records.append({'path': path, 'sha256': hashlib.sha256(weights).hexdigest()})
    return Autoencoders(tuple(load_model(path) for path in paths), tuple(records))
