# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What disturbs a simulated arm does what its name says, when it says, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from motion_policy.errors import UserError
from motion_policy.evaluation.scenes import DISTURBANCES, Scene, find_scene

SCENES = ('sim:tabletop:grasp', 'sim:aloha:transfer_cube')
S = 1_000_000_000
# Where the table is as the plain cameras show it, as rows and columns of the image.
SIZES = {SCENES[0]: (128, 128), SCENES[1]: (480, 640)}


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest) -> Scene:
    """A scene that can be disturbed."""
    return find_scene(request.param)


@pytest.fixture
def sim(scene: Scene) -> Iterator[Any]:
    """Its simulation, at the start of a trial."""
    made: Any = scene.make()
    made.reset(scene.positions[0], seed=3)
    yield made
    made.close()


def red_pixels(image: np.ndarray) -> int:
    """How many pixels have the colour of the cube."""
    red, green, blue = (image[..., i].astype(int) for i in range(3))
    return int(((red > 90) & (red > 2 * green) & (red > 2 * blue)).sum())


def play(sim: Any, disturbance: Any, until_s: float) -> list[np.ndarray]:
    """Let the arm stay at home until then; where its joints are every 20 ms, (J,) each."""
    joints = []
    while sim.time_ns < until_s * S:
        disturbance.act(sim.time_ns)
        sim.step(sim.home, 0.02)
        joints.append(sim.qpos)
    return joints


def test_the_removed_cube_is_gone_from_the_image_and_the_arm_stays(scene: Scene, sim: Any) -> None:
    disturbance = scene.disturbance('cube-removed', sim, seed=1)
    begin_s = disturbance.begin_ns / S
    play(sim, disturbance, begin_s - 0.02)
    before, place = sim.render('top', *SIZES[scene.name]), sim.qpos
    assert red_pixels(before) > 20
    play(sim, disturbance, begin_s + 0.1)
    assert red_pixels(sim.render('top', *SIZES[scene.name])) == 0
    np.testing.assert_allclose(sim.qpos, place, atol=2e-2)
    play(sim, disturbance, begin_s + 2.0)
    assert red_pixels(sim.render('top', *SIZES[scene.name])) == 0
    sim.reset(scene.positions[0], seed=3)
    assert red_pixels(sim.render('top', *SIZES[scene.name])) > 20


def test_a_push_turns_one_joint_and_is_over_after_a_third_of_a_second(
    scene: Scene, sim: Any
) -> None:
    assert scene.reach is not None
    pushed = set()
    for seed in range(6):
        sim.reset(scene.positions[0], seed=3)
        disturbance = scene.disturbance('arm-pushed', sim, seed)
        begin_s = disturbance.begin_ns / S
        still = play(sim, disturbance, begin_s - 0.02)[-1]
        moved = np.abs(np.array(play(sim, disturbance, begin_s + 1.5)) - still)
        joint = sim.joint_names[int(moved.max(axis=0).argmax())]
        assert joint in dict(scene.reach.pushes)
        pushed.add(joint)
        assert 0.03 < moved.max() < 0.4
        assert moved[-1].max() < 0.02
    assert pushed == set(dict(scene.reach.pushes))


def test_a_push_ends_with_the_trial(scene: Scene, sim: Any) -> None:
    disturbance = scene.disturbance('arm-pushed', sim, seed=0)
    play(sim, disturbance, disturbance.begin_ns / S + 0.1)
    sim.reset(scene.positions[0], seed=3)
    place = sim.qpos
    for _ in range(20):
        sim.step(place, 0.02)
    np.testing.assert_allclose(sim.qpos, place, atol=0.03)


def test_a_covered_camera_shows_nothing_of_the_scene_and_is_not_black(
    scene: Scene, sim: Any
) -> None:
    disturbance = scene.disturbance('camera-covered', sim, seed=5)
    image = sim.render('top', *SIZES[scene.name])
    begin_ns = disturbance.begin_ns
    assert disturbance.seen(begin_ns - 1, image) is image
    covered = disturbance.seen(begin_ns, image)
    assert covered.shape == image.shape and covered.dtype == np.uint8
    assert covered.min() > 8
    assert np.ptp(covered, axis=(0, 1)).max() < 64
    np.testing.assert_array_equal(covered, disturbance.seen(begin_ns + S, 255 - image))


def test_the_seed_fixes_the_moment_which_lies_within_the_reach(scene: Scene, sim: Any) -> None:
    assert scene.reach is not None
    low, high = scene.reach.window_s
    moments = []
    for seed in range(20):
        begun = {scene.disturbance(name, sim, seed).begin_ns / S for name in DISTURBANCES}
        assert len(begun) == 1 and low <= min(begun) <= high
        moments += begun
    assert np.ptp(moments) > (high - low) / 2


def test_what_is_no_disturbance_of_a_scene_is_refused(scene: Scene, sim: Any) -> None:
    with pytest.raises(UserError, match="no disturbance 'earthquake', expected one of: cube"):
        scene.disturbance('earthquake', sim, seed=0)
    with pytest.raises(UserError, match=r'sim:tabletop:push: no disturbance .*: none'):
        find_scene('sim:tabletop:push').disturbance('arm-pushed', sim, seed=0)
