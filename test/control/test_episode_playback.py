# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: an episode is played in time, and whatever ticks are missed up to its last action."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from control_robots import formula_arm
from controlled_arm import HOME, TICK_NS, UPPER, Arm

from motion_policy.control.episode_playback import FINISH_NS, EpisodePlayback

ROWS = 60
# It keeps every limit, and still moves when it ends.
CURVE = HOME + 0.004 * np.arange(ROWS)[:, None] * [1.0, -1.0, 2.0]


class Player:
    """Plays actions (T, J) on an arm of one row per tick, until it is disabled."""

    def __init__(self, actions: np.ndarray = CURVE, **options: object) -> None:
        self.arm = Arm(policy_ns=TICK_NS, **options)  # type: ignore[arg-type]
        self.playback = EpisodePlayback(self.arm.controller, actions)
        self.ticks = 0
        self.arm.enable()

    def run(self, ticks: int, missed: Collection[int] = ()) -> None:
        """Let so many ticks pass, without those that are missed; all are counted from 0."""
        for _ in range(ticks):
            if self.ticks in missed:
                self.arm.wait(TICK_NS)
            else:
                self.arm.tick_and_then(self._answer)
            self.ticks += 1

    def _answer(self, now_ns: int) -> None:
        if not self.playback.give_actions(now_ns):
            self.arm.controller.disable(now_ns)

    def assert_rests_at(self, position: np.ndarray) -> None:
        last = [command.position for command in self.arm.commands[-2:]]
        np.testing.assert_allclose(last, [position, position], rtol=0, atol=1e-9)
        assert self.arm.controller.state == 'disabled' and not self.arm.controller.reason
        self.arm.assert_safe()


def test_each_action_is_reached_at_its_time() -> None:
    player = Player()
    player.run(ROWS + 20)
    player.assert_rests_at(CURVE[-1])
    sent = np.array([command.position for command in player.arm.commands])
    first = 3  # after the ramp
    # It begins at rest, and catches up with the curve.
    np.testing.assert_allclose(sent[first + 20 : first + ROWS], CURVE[20:], rtol=0, atol=1e-6)


@pytest.mark.parametrize('rate_hz', [15.0, 30.0, 60.0, 100.0])
@pytest.mark.parametrize('speed', [1.0, 0.5])
def test_an_episode_of_another_rate_is_played_evenly_and_in_time(
    rate_hz: float, speed: float
) -> None:
    def curve(time_s: np.ndarray) -> np.ndarray:
        return np.asarray(HOME + 0.3 * (1 - np.cos(1.5 * time_s))[..., None] * [0.5, -0.5, 1.0])

    actions = curve(np.arange(int(2 * rate_hz)) / rate_hz)
    arm = Arm(policy_ns=round(1e9 / rate_hz), speed=speed)
    playback, commands = EpisodePlayback(arm.controller, actions), []
    arm.enable()

    def answer(now_ns: int) -> None:
        if not playback.give_actions(now_ns):
            arm.controller.disable(now_ns)

    while arm.controller.state != 'disabled':
        now_ns = arm.now_ns
        arm.tick_and_then(answer)
        place = playback.place(arm.controller.plan_time_ns(now_ns))
        if place is not None and 0.3 * rate_hz < place < playback.last_place - 1:
            commands.append(arm.commands[-1])
            expected = curve(np.array(place / rate_hz))
            np.testing.assert_allclose(commands[-1].position, expected, rtol=0, atol=0.002)
    assert len(commands) > 60
    accelerations = np.diff([command.velocity for command in commands], axis=0) / (TICK_NS * 1e-9)
    # The curve has 0.7; of rows that begin with a tick it was 4 and more.
    assert np.sqrt((accelerations**2).mean(axis=0)).max() < 1.6
    arm.assert_safe()


@pytest.mark.parametrize('count', [1, 3, 8, 30])
@pytest.mark.parametrize('before_end', [-3, 0, 1, 4, 12])
def test_missed_ticks_do_not_take_the_last_action_away(count: int, before_end: int) -> None:
    player = Player()
    first = ROWS - before_end
    player.run(ROWS + 250, range(first, first + count))
    player.assert_rests_at(CURVE[-1])
    # What is late is not what holds an arm: ticks are, when five have been missed.
    assert ('hold' in {command.state for command in player.arm.commands}) is (count > 5)


@pytest.mark.parametrize('interpolation', ['linear', 'cubic', 'hold'])
@pytest.mark.parametrize('missed', [(), range(ROWS - 1, ROWS + 1), range(ROWS, ROWS + 4)])
def test_a_last_action_that_is_a_long_way_off_is_reached(
    interpolation: str, missed: Collection[int]
) -> None:
    actions = np.repeat(HOME[None], ROWS, axis=0)
    actions[-1] += 0.5  # a gripper that closes
    player = Player(actions, interpolation=interpolation)
    player.run(ROWS + 100, missed)
    player.assert_rests_at(actions[-1])


def test_an_episode_faster_than_the_arm_is_played_to_its_end() -> None:
    actions = HOME + 0.02 * np.arange(ROWS)[:, None] * [-0.9, 0.5, 1.0]
    player = Player(actions)
    player.run(ROWS + 100)
    player.assert_rests_at(actions[-1])


def test_a_fault_at_the_end_is_followed_by_the_way_to_the_last_action() -> None:
    player = Player()
    player.run(ROWS - 3)
    player.arm.faults = {'top': 'stale'}
    player.run(20)
    assert player.arm.commands[-1].state == 'hold'
    player.arm.faults = {}
    player.run(100)
    player.assert_rests_at(CURVE[-1])


def test_a_speed_override_slows_the_end_down_too() -> None:
    player = Player(speed=0.5)
    player.run(ROWS + 20)
    assert player.arm.controller.state == 'run'
    player.run(ROWS + 20)
    player.assert_rests_at(CURVE[-1])


def test_a_last_action_out_of_reach_ends_at_the_limit() -> None:
    player = Player(np.concatenate((CURVE, [HOME, UPPER + 1.0])))
    player.run(ROWS + 150)
    player.assert_rests_at(UPPER)


def test_an_arm_that_a_guard_never_lets_rest_is_disabled_nevertheless() -> None:
    player = Player(max_following_error=0.01, robot=formula_arm())
    player.run(ROWS - 20)
    arm = player.arm
    arm.follows = False  # something is in its way
    stands = arm.measured
    for tick in range(ROWS + FINISH_NS // TICK_NS):
        arm.measured = stands + 1e-4 * (-1) ** tick  # noise
        player.run(1)
        if tick < 2 * ROWS:
            assert arm.controller.enabled
    assert arm.controller.state == 'disabled'


def test_a_rewound_episode_begins_with_the_first_action() -> None:
    player = Player()
    player.run(30)
    player.playback.rewind()
    player.arm.controller.reset()
    player.run(ROWS + 100)
    player.assert_rests_at(CURVE[-1])
    back = [c for c in player.arm.commands if np.allclose(c.position, CURVE[0], atol=1e-3)]
    assert len(back) >= 2
