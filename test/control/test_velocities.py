# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A base that is commanded by velocities ends at zero, whatever happens, within its limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from controlled_arm import POLICY_NS, TICK_NS, Arm
from mobile_robots import mobile_robot

from motion_policy.control import Command, Controller
from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.control.episode_playback import EpisodePlayback
from motion_policy.control.guard import GuardChain
from motion_policy.control.monitors import EffortMonitor, TrackingMonitor
from motion_policy.control.motion_limiter import MotionLimiter
from motion_policy.control.observing import in_plan_time
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import Limits, breaches, ends_at_rest
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.streams import Observation, Row, Sample, StreamError

ROBOT = mobile_robot()
LIMITS = ROBOT.joints.limits
JUDGED = Limits(
    LIMITS.position_array(), LIMITS.velocity_array(), LIMITS.acceleration_array(), TICK_NS
)
STANDS = np.array([0.1, 0.2, 0.0, 0.0])
DRIVES = np.array([0.15, 0.25, 0.4, -0.5])
BASE = slice(2, 4)


def drive(_now_ns: int, _measured: np.ndarray) -> np.ndarray:
    return DRIVES[None]


def driving(**options: object) -> Arm:
    """An arm on its base that drives at `DRIVES`."""
    arm = Arm(STANDS, ROBOT, **options)  # type: ignore[arg-type]
    arm.enable()
    np.testing.assert_allclose(arm.run(80, drive)[-1].position, DRIVES)
    return arm


def assert_stands(arm: Arm, commands: list[Command]) -> None:
    assert commands[-1].position[BASE].tolist() == [0.0, 0.0]
    for each in arm.drives:
        assert not breaches(each, JUDGED)


def test_the_base_stands_while_the_arm_ramps_to_the_first_target() -> None:
    arm = Arm(STANDS, ROBOT)
    arm.enable()
    far = np.array([-0.9, 0.9, 0.4, -0.5])
    ramp = list(
        itertools.takewhile(
            lambda command: command.state == 'ramp', arm.run(400, lambda *_: far[None])
        )
    )
    assert len(ramp) > 100 and not np.any([command.position[BASE] for command in ramp])
    assert arm.commands[-1].position == pytest.approx(far)


@pytest.mark.parametrize('silent_s', [0.12, 0.3, 0.45, 0.6, 3.0])
@pytest.mark.parametrize('disabled', [False, True])
def test_after_a_silence_the_base_is_not_told_its_old_velocity(
    silent_s: float, disabled: bool
) -> None:
    """It has stopped by itself meanwhile, and would jump."""
    arm = driving()
    if disabled:
        arm.controller.disable(arm.now_ns)
    arm.wait(round(silent_s * 1e9))
    commands = arm.run(150, lambda *_: None)
    base = np.abs([command.position[BASE] for command in commands])
    least = DRIVES[BASE] if silent_s < 0.5 else np.zeros(2)
    most = np.maximum(np.abs(least) - LIMITS.velocity_array()[BASE] * silent_s, 0.0)
    assert (base[0] <= most + 1e-6).all() and (np.diff(base, axis=0) <= 0).all()
    assert not base[-1].any()
    assert base[0].any() == (silent_s < 0.45)  # no harder than it may brake


@pytest.mark.parametrize('what', ['camera', 'policy', 'disable', 'defect', 'nan', 'home'])
def test_the_base_is_sent_to_zero_and_told_so_twice(what: str) -> None:
    arm = driving()
    answer = drive
    if what == 'camera':
        arm.faults = {'top': 'stale'}
    elif what == 'policy':
        answer = lambda *_: None  # noqa: E731
    elif what == 'disable':
        arm.controller.disable(arm.now_ns)
    elif what == 'defect':
        arm.controller.disable(arm.now_ns, 'defect: one', lost=True)
    elif what == 'nan':
        answer = lambda *_: DRIVES[None] * np.nan  # noqa: E731
    else:
        arm.go_home()
    commands = arm.run(150, answer)
    assert arm.controller.state == 'disabled'
    assert_stands(arm, commands)
    assert ends_at_rest(arm.drives[-1]) and commands[-1].final


def test_nothing_of_a_plan_drives_on_when_it_is_over() -> None:
    arm = driving()
    last_ns = arm.requests[-1]
    commands = arm.run(100, lambda *_: None)
    driven = [c for c in commands if c.position[2] == DRIVES[2]]
    # A row that is reached one period after its observation lasts for one more.
    assert len(driven) * TICK_NS <= last_ns + 2 * POLICY_NS - arm.drives[-1].times_ns[0]
    assert_stands(arm, commands)


def test_half_of_the_speed_is_half_of_the_velocity_over_the_same_way() -> None:
    ways, velocities = [], []
    for speed in (1.0, 0.5):
        arm = Arm(STANDS, ROBOT)
        arm.controller.speed = speed
        arm.enable()
        begun: list[int] = []

        def plan(now_ns: int, _measured: np.ndarray, arm: Arm = arm, begun: list[int] = begun):
            if arm.controller.state == 'run' and not begun:
                begun.append(arm.controller.plan_time_ns(now_ns))
            plan_ns = arm.controller.plan_time_ns(now_ns) - begun[0] if begun else 0
            row = STANDS.copy()
            row[BASE] = DRIVES[BASE] * (0 < plan_ns < 2_000_000_000)
            return row[None]

        commands = arm.run(600, plan)
        base = np.array([command.position[BASE] for command in commands])
        ways.append(base.sum(axis=0) * TICK_NS * 1e-9)
        velocities.append(np.abs(base).max(axis=0))
        assert_stands(arm, commands)
    np.testing.assert_allclose(velocities[0], 2 * velocities[1])
    np.testing.assert_allclose(ways[0], ways[1], rtol=0.03)


def test_a_speed_of_zero_stands_and_another_one_goes_on() -> None:
    arm = driving()
    arm.controller.speed = 0.0
    assert_stands(arm, arm.run(80, drive))
    assert arm.controller.state == 'run'
    arm.controller.speed = 1.0
    assert arm.run(100, drive)[-1].position == pytest.approx(DRIVES)


def test_slowing_down_is_no_slower_under_a_speed_override() -> None:
    chain = GuardChain(ROBOT)
    ticks = []
    for speed in (1.0, 0.05):
        chain.limiter.resume(DRIVES, np.zeros(4))
        count = 0
        while not chain.limiter.at_rest:
            chain.apply(STANDS, None, TICK_NS, speed)
            count += 1
            assert count < 500
        ticks.append(chain.limiter.position[2:].tolist())
        ticks.append(count > 0)
    assert ticks == [[0.0, 0.0], True] * 2


def test_a_policy_that_goes_on_as_it_moves_does_not_come_to_a_stand_at_half_speed() -> None:
    arm = driving()
    arm.controller.speed = 0.5

    def go_on(_now_ns: int, measured: np.ndarray) -> np.ndarray:
        seen = in_plan_time(measured.astype(np.float32), ROBOT, arm.controller.pace)
        return seen[None].astype(np.float64)

    commands = arm.run(200, go_on)
    np.testing.assert_allclose(commands[-1].position[BASE], DRIVES[BASE] / 2, rtol=0.1)
    seen = in_plan_time(np.float32([1, 1, 0.4, 0.1]), ROBOT, 0.1)
    np.testing.assert_allclose(seen, np.float32([1, 1, 0.5, 1.0]))  # not beyond its limits
    assert in_plan_time(seen, ROBOT, 1.0) is seen


def test_a_base_that_rolls_is_not_enabled_and_one_that_creeps_starts_at_zero() -> None:
    arm = Arm(STANDS + [0, 0, 0.3, 0], ROBOT)
    with pytest.raises(UserError, match=r"'base_forward' moves at 0.300.*when the base stands"):
        arm.enable()
    arm.measured = np.array([0.1, 0.2, 0.0, np.nan])
    with pytest.raises(UserError, match='base_turn'):
        arm.enable()
    arm.measured = STANDS + [0, 0, 0.02, -0.04]
    arm.enable()
    first = arm.run(1, None)
    assert first[0].position.tolist() == STANDS.tolist()


def test_enabled_again_while_it_brakes_the_base_slows_down_first() -> None:
    arm = driving()
    arm.controller.disable(arm.now_ns)
    arm.run(5, None)
    arm.enable()
    commands = arm.run(200, drive)
    assert any(not command.position[BASE].any() for command in commands)
    assert commands[-1].position == pytest.approx(DRIVES)
    for each in arm.drives:
        assert not breaches(each, JUDGED)


def test_a_base_that_stands_where_it_is_to_drive_ends_in_disabled() -> None:
    arm = Arm(STANDS, ROBOT)
    arm.follows = False  # somebody holds it, or its own emergency stop is pressed
    arm.enable()
    commands = arm.run(100, lambda *_: (STANDS + [0, 0, 0.45, 0])[None])
    assert arm.controller.state == 'disabled'
    assert "tracking error: joint 'base_forward' moves at 0.000" in arm.controller.reason
    assert_stands(arm, commands)


def test_a_base_that_slips_a_little_drives_on() -> None:
    monitor = TrackingMonitor(ROBOT)
    np.testing.assert_allclose(monitor.tolerance[BASE], [0.25, 0.5])
    arm = Arm(STANDS, ROBOT)
    arm.enable()
    arm.follows = False
    for _ in range(100):
        arm.run(1, drive)
        arm.measured = arm.commands[-1].position * [1, 1, 0.6, 0.6]
    assert arm.controller.state == 'run'


def test_nobody_measures_the_effort_of_a_base() -> None:
    efforts = np.array([1.0, 2.0, np.nan, np.nan])
    assert EffortMonitor(ROBOT, 3.0).check(efforts) == ''
    assert "'elbow'" in EffortMonitor(ROBOT, 1.5).check(efforts)


def test_the_base_drives_as_it_was_wanted_where_a_guard_holds_the_arm() -> None:
    """Else a base that is to stop would drive on beside an arm that is in the way."""
    chain = GuardChain(ROBOT)
    chain.workspace = _Nowhere()  # type: ignore[assignment]
    chain.limiter.resume(DRIVES, np.zeros(4))
    for _ in range(60):
        result = chain.apply(STANDS, None, TICK_NS)
    np.testing.assert_allclose(result.position, [0.15, 0.25, 0, 0], atol=1e-6)


class _Nowhere:
    def nearest_inside(self, inside: np.ndarray, _target: np.ndarray) -> np.ndarray:
        return inside


def test_margin_following_error_and_smoothing_are_of_positions_only() -> None:
    pytest.importorskip('ruckig')
    only_ahead = mobile_robot('[-0.2, 0.5]', '[0.0, 0.5]')
    chain = GuardChain(only_ahead, position_margin=0.2, max_following_error=0.01, max_jerk=20.0)
    plain = GuardChain(only_ahead)
    for each in (chain, plain):
        each.start(STANDS)
    for _ in range(50):
        results = [each.apply(DRIVES, STANDS, TICK_NS) for each in (chain, plain)]
    np.testing.assert_allclose(results[0].position[BASE], results[1].position[BASE])
    assert abs(results[0].position[0] - 0.1) < 0.02 < abs(results[1].position[0] - 0.1)


def test_the_last_action_of_an_episode_is_no_velocity_to_go_on_with() -> None:
    arm = Arm(STANDS, ROBOT, policy_ns=TICK_NS)
    playback = EpisodePlayback(arm.controller, np.tile(DRIVES, (60, 1)))
    arm.enable()
    ended = []

    def give(now_ns: int) -> None:
        if not playback.give_actions(now_ns):
            ended.append(now_ns)
            arm.controller.disable(now_ns)

    for _ in range(300):
        arm.tick_and_then(give)
    assert ended and arm.controller.state == 'disabled'
    assert_stands(arm, arm.commands)
    driven = sum(command.position[2] == DRIVES[2] for command in arm.commands)
    assert 0 < driven <= 60


def test_it_stops_at_exactly_zero_in_bounded_time_whatever_the_ticks() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        fastest, most, jerk = random.uniform([0.1, 0.2, 0.5], [2, 5, 50])
        limits = type(LIMITS)(
            position=((-fastest, fastest),), velocity=(most,), acceleration=(jerk,)
        )
        limiter = MotionLimiter(limits, 0.0, TICK_NS, np.array([True]))
        limiter.start(np.zeros(1))
        target = random.choice([-1, 1]) * np.array([fastest])
        for tick in range(random.integers(1, 60)):
            limiter.step(target if tick < 40 else -target, TICK_NS)
        seconds = 0.0
        while not limiter.at_rest:
            late = random.random() < 0.1
            limiter.stop(TICK_NS * (random.integers(2, 7) if late else 1))
            seconds += TICK_NS * 1e-9
            assert abs(limiter.velocity[0]) <= most and abs(limiter.position[0]) <= fastest
            assert seconds <= limiter.longest_stop_s + 0.1
        assert limiter.position.tolist() == [0.0]


def test_a_controller_without_velocities_has_none() -> None:
    plain = mobile_robot().joints.position_columns
    assert plain == [0, 1]
    assert isinstance(Controller(ROBOT, POLICY_NS), Controller)


@pytest.mark.parametrize('forward', [0.0, 0.02, 0.3, -0.1])
def test_a_frozen_camera_is_noticed_while_the_base_drives_steadily(forward: float) -> None:
    camera = 'cameras: {top: {topic: top, width: 32, height: 24}}\nhome:'
    monitor = CameraMonitor(mobile_robot('home:', camera), frozen_s=1.0)
    image = np.full((24, 32, 3), 90, np.uint8)
    qpos = np.float32([0.1, 0.2, forward, 0.0])
    seen = Observation(qpos, 0 * qpos, None, {'top': image}, None)

    def look() -> None:
        for number in range(20):
            now_ns = 10**9 + number * 100_000_000
            monitor.check(seen, Row(now_ns, {'top': Sample(now_ns, now_ns, None)}, {}))

    if abs(forward) < 0.025:
        look()  # it stands
    else:
        with pytest.raises(StreamError, match=r'same image for 1\.1 s while the arm moved'):
            look()


def test_a_base_alone_is_driven_and_stopped_too() -> None:
    alone = robot_spec_from_yaml(
        """
name: base
rate: 50.0
joints:
  names: [forward, turn]
  velocities: [forward, turn]
  state: {topic: odom, type: nav_msgs/msg/Odometry}
  command: {topic: cmd_vel, type: geometry_msgs/msg/Twist}
  limits: {position: [[0, 0.5], [-1, 1]], velocity: [1, 2], acceleration: [10, 20]}
home: [0, 0]
""",
        'base.yaml',
    )
    chain = GuardChain(alone, position_margin=0.1, max_jerk=5.0)
    arm = Arm(np.zeros(2), alone, guard=chain)
    arm.enable()
    commands = arm.run(60, lambda *_: np.array([[0.4, -0.5]]))
    assert commands[-1].position == pytest.approx([0.4, -0.5])
    arm.go_home()
    assert arm.run(80, None)[-1].position.tolist() == [0.0, 0.0]
    assert arm.controller.state == 'disabled'
