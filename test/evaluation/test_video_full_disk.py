# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A video for which there is no room is one error, where FFmpeg would end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from repository import SUPPORT

pytestmark = pytest.mark.slow

BEGIN = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from pathlib import Path
from full_disks import largest_file
from motion_policy.errors import UserError
image = np.zeros((48, 64, 3), np.uint8)
folder = Path({folder!r})
"""
VIDEO = """
from motion_policy.evaluation.video_file import VideoFile
try:
    with largest_file(16), VideoFile(folder / 'video.mp4', 10) as video:
        for _ in range(80):
            video.write(image)
except UserError as error:
    print(error)
"""
DATA_SET = """
from motion_policy.episodes.formats.lerobot.video import Videos
try:
    with largest_file(16), Videos(folder, '{{file_index}}.mp4', 10, crf=20) as video:
        video.begin_episode(80)
        for _ in range(80):
            video.add(image)
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize('code', [VIDEO, DATA_SET])
def test_a_video_without_room_is_one_error(tmp_path: Path, code: str) -> None:
    given = {'tests': str(SUPPORT), 'folder': str(tmp_path)}
    program = (BEGIN + code).format(**given)
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'File too large' in done.stdout
