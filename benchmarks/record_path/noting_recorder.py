# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node, which notes the times of every message that it takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.shell import run_node

NOTES = 'BENCH_RECORD_NOTES'  # environment variable: the file
# The number of the stream, its stamp, when the message was received, whether it was recorded.
NOTE = np.dtype([('stream', 'u1'), ('header_ns', '<i8'), ('receive_ns', '<i8'), ('kept', '?')])


class NotingRecorder(RecorderNode):
    """As the recorder node; the notes are `NOTE`s of the streams in the order of the robot's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        numbers = {name: number for number, name in enumerate(self.streams.streams)}
        # Not kept in memory, which is measured.
        self._notes = Path(os.environ[NOTES]).open('wb')  # noqa: SIM115
        push = self.recorder.push

        def noted(name: str, sample: Any) -> None:
            received_ns = max(
                sample.receive_ns, self.recorder.made_ns
            )  # it may have come too late
            note = numbers[name], sample.header_ns, received_ns, self.recorder.recording
            self._notes.write(np.array(note, NOTE).tobytes())
            push(name, sample)

        self.recorder.push = noted  # type: ignore[method-assign]

    def close(self) -> None:
        """As always, and no more notes."""
        super().close()
        self._notes.close()


def read_notes(path: Path) -> npt.NDArray[Any]:
    """The notes (n,) of a file."""
    return np.fromfile(path, NOTE)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(NotingRecorder, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
