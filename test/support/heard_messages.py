# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a recorder hears, and what comes of it: held against a bag of the same messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.streams import Sample


def keep_heard(node: RecorderNode) -> list[tuple[str, Sample]]:
    """A list that grows by each stream's name and sample as the recorder takes it.

    One that comes late, on a busy machine, counts as received then.
    """
    heard: list[tuple[str, Sample]] = []
    push = node.recorder.push

    def push_and_keep(name: str, sample: Sample) -> None:
        receive_ns = max(sample.receive_ns, node.recorder.made_ns)
        heard.append((name, replace(sample, receive_ns=receive_ns)))
        push(name, sample)

    node.recorder.push = push_and_keep  # type: ignore[method-assign]
    return heard


def datasets(path: Path) -> dict[str, np.ndarray]:
    """All datasets of an episode by their paths, and the robot's text."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, 'shape') else None
        )
        found['robot'] = np.array(file.attrs['robot'])
    return found
