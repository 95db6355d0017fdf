# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node, which notes the stamp of every message that it takes while it records."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.shell import run_node

NOTES = 'BENCH_RECORD_NOTES'  # environment variable: the file


class NotingRecorder(RecorderNode):
    """As the recorder node, and writes at its end what came: a list of nanoseconds per stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        taken: dict[str, list[int]] = {name: [] for name in self.streams.streams}
        push = self.recorder.push

        def noted(name: str, sample: Any) -> None:
            if self.recorder.recording:
                taken[name].append(sample.header_ns)
            push(name, sample)

        self.recorder.push = noted  # type: ignore[method-assign]
        self._taken = taken

    def close(self) -> None:
        """As always, then write the notes."""
        super().close()
        Path(os.environ[NOTES]).write_text(json.dumps(self._taken), encoding='utf-8')


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(NotingRecorder, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
