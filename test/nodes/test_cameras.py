# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a camera that sees nothing leads to: no enabling under a lens cap, no frozen image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import FakeArm, MakeNode, assert_safe
from ros_testing import Bench

ROBOT = formula_arm()
CAMERA = ROBOT.cameras['top']
SHAPE = (CAMERA.height, CAMERA.width, 3)


class WatchedArm(FakeArm):
    """An arm that stays where it is, under a camera of which the test says what it shows."""

    def __init__(self, bench: Bench) -> None:
        self.random = np.random.default_rng(0)
        self.image: np.ndarray | None = None  # None: a new one with noise each time
        super().__init__(bench, ROBOT)
        self.obeys = False

    def image_of(self, name: str) -> np.ndarray:
        """Return the image of now."""
        noisy = self.random.integers(88, 92, SHAPE, dtype=np.uint8)
        return noisy if self.image is None else self.image


@pytest.fixture
def watched(bench: Bench) -> WatchedArm:
    return WatchedArm(bench)


def test_under_a_lens_cap_the_arm_is_not_enabled(watched: WatchedArm, make_node: MakeNode) -> None:
    watched.image = np.full(SHAPE, 2, np.uint8)
    make_node()
    watched.bench.spin_until(lambda: 'black' in watched.enable().message, 'a refusal')
    answer = watched.enable()
    assert not answer.success and '\n' not in answer.message
    assert answer.message.startswith("not enabled: camera 'top' (top/image_raw): black")
    assert 'min_brightness 0 allows it' in answer.message
    assert watched.commands == []
    watched.image = None
    watched.enable_when_ready()


def test_a_camera_with_noise_that_freezes_while_the_arm_stands_holds_it(
    watched: WatchedArm, make_node: MakeNode, tmp_path: Path
) -> None:
    unwatched = tmp_path / 'robot.yaml'  # or the arm would be disabled, for it does not follow
    unwatched.write_text(ROBOT.model_copy(update={'tracking_error': (0.0, 0.0, 0.0)}).to_yaml())
    make_node(max_frozen_at_rest=0.5, auto_resume=60.0, robot=str(unwatched))
    watched.enable_when_ready()
    watched.wait_for_diagnostic('control', 'state', 'run')
    watched.hear(3 * int(ROBOT.rate))  # ten images in a row are needed
    watched.image = np.full(SHAPE, 90, np.uint8)
    watched.wait_for_diagnostic('control', 'reason', 'but its images had noise')
    assert watched.diagnostic('control', 'state') == 'hold'
    watched.image = None
    watched.wait_for_diagnostic('control', 'state', 'r')
    assert_safe(watched.commands, ROBOT)
