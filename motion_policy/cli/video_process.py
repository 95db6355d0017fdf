# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Renders the video of a demo in a low-priority process while the next trials run.

Reads the paths of finished trials (.npz) from standard input, one a line, and answers each with
a line. At an empty line it sums up and finishes the video; without one the demo is gone, and so
is the video.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from motion_policy.evaluation.trial_video import FPS, TrialRecord, TrialVideo
from motion_policy.evaluation.video_file import VideoFile

LEAST_PRIORITY = 19


def draw(out: Path, records: Iterable[Path]) -> None:
    """Write the video of all trials to `out`."""
    results = []
    video = TrialVideo()
    try:
        with VideoFile(out, FPS) as file:
            for path in records:
                record = TrialRecord.load(path)
                path.unlink()
                for frame in video.frames(record):
                    file.write(frame)
                results.append((record.position, record.taught, record.success))
                print(path.name, flush=True)
            for frame in video.closing(results):
                file.write(frame)
    finally:
        video.close()


def main() -> int:
    """Draw what standard input names, into the file named by the first argument."""
    os.nice(LEAST_PRIORITY)
    draw(Path(sys.argv[1]), _trials(sys.stdin))
    return 0


def _trials(lines: TextIO) -> Iterator[Path]:
    for line in lines:
        if line == '\n':
            return
        yield Path(line.rstrip('\n'))
    raise SystemExit(1)


if __name__ == '__main__':
    raise SystemExit(main())
