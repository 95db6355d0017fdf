# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: in doubt the arm stops, it starts where it stands, and limits hold in true time."""

from __future__ import annotations

import numpy as np
import pytest
from control_robots import formula_arm
from controlled_arm import (
    HOME,
    JUDGED_LIMITS,
    LIMITS,
    LOWER,
    POLICY_NS,
    ROBOT,
    START_NS,
    TICK_NS,
    UPPER,
    Arm,
    stay,
    steadily,
)

from motion_policy.control import ChunkExecution, Controller
from motion_policy.control.monitors import LAG_S, TrackingMonitor
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import Drive, breaches, ends_at_rest


@pytest.mark.parametrize('state', ['ramp', 'run', 'hold'])
@pytest.mark.parametrize('lost', ['a fault of its stream', 'no position', 'a doubt', 'NaN'])
def test_an_arm_whose_whereabouts_are_in_doubt_is_disabled_in_any_state(
    state: str, lost: str
) -> None:
    arm = Arm(ramp_speed=0.05 if state == 'ramp' else 1.0)
    arm.enable()
    goal = UPPER[None] - 0.1 if state == 'ramp' else HOME[None] + 0.2
    arm.run(40, lambda now_ns, measured: goal)
    if state == 'hold':
        arm.faults = {'top': 'missing'}
        arm.run(5, None)
    assert arm.controller.state == state
    faults = {**arm.faults, **({'state': 'stale'} if lost == 'a fault of its stream' else {})}
    doubts = {'commands': 'foreign'} if lost == 'a doubt' else {}
    measured = {'no position': None, 'NaN': np.full(3, np.nan)}.get(lost, arm.measured)
    command = arm.controller.tick(arm.now_ns, measured, faults, doubts, steady_ns=arm.steady_ns)
    assert command is not None and command.state == 'brake' and command.reason
    arm.drives[-1].add(arm.steady_ns, command.position)
    arm.wait(TICK_NS)
    arm.faults = {}
    last = arm.run(100, steadily)
    assert {c.state for c in last} <= {'brake', 'disabled'} and last[-1].final
    assert arm.controller.state == 'disabled' and arm.controller.reason == command.reason
    assert arm.run(200, steadily) == []
    arm.assert_safe()


@pytest.mark.parametrize('state', ['ramp', 'run', 'hold'])
def test_an_arm_that_does_not_follow_or_sinks_is_disabled(state: str) -> None:
    """Blocked, or its encoder frozen with fresh stamps; in hold: pushed or sunk."""
    arm = Arm(ramp_speed=0.2 if state == 'ramp' else 1.0)
    arm.enable()
    if state != 'ramp':
        arm.run(30, steadily)
    if state == 'hold':
        arm.faults = {'top': 'missing'}
        arm.run(20, None)
    tolerance = arm.controller.tracking.tolerance
    frozen = arm.measured - (tolerance + 0.01 if state == 'hold' else 0.0)
    for _ in range(300):
        if arm.controller.policy_due(arm.now_ns):
            arm.controller.add_chunk(UPPER[None], arm.now_ns)
        command = arm.controller.tick(arm.now_ns, frozen, arm.faults, steady_ns=arm.steady_ns)
        if command is None:
            break
        arm.drives[-1].add(arm.steady_ns, command.position)
        assert (np.abs(command.position - frozen) < tolerance + LIMITS.velocity_array()).all()
        arm.wait(TICK_NS)
    assert arm.controller.state == 'disabled'
    assert arm.controller.reason.startswith("tracking error: joint 'joint")
    arm.positions += arm.drives[-1].positions
    arm.assert_safe()


def test_an_arm_that_lags_behind_its_commands_has_no_tracking_error() -> None:
    arm = Arm()
    arm.enable()
    behind = [arm.measured] * 12  # ticks: 0.24 s
    for _ in range(200):
        if arm.controller.policy_due(arm.now_ns):
            arm.controller.add_chunk(UPPER[None], arm.now_ns)
        command = arm.controller.tick(arm.now_ns, behind[-12], {})
        assert command is not None
        behind.append(command.position)
        arm.now_ns += TICK_NS
    assert arm.controller.state == 'run'
    assert not arm.controller.tracking.greatest.any()


def test_an_arm_that_plays_trajectories_beside_a_gripper_may_lag_as_long() -> None:
    """Of such an arm two positions are noted in each tick: the command, and its trajectory's."""
    command = (
        '[{topic: arm, type: trajectory_msgs/msg/JointTrajectory, send: chunk, '
        'joints: [joint1, joint2]}, '
        '{topic: hand, type: std_msgs/msg/Float64MultiArray, joints: [joint3]}]'
    )
    robot = formula_arm(command=command)
    monitor, sent = TrackingMonitor(robot), [HOME]
    monitor.start(HOME)
    for _ in range(40):
        sent.append(sent[-1] + TICK_NS * 1e-9 * LIMITS.velocity_array())
        for _ in range(2):
            monitor.sent(sent[-1])
    assert monitor.check(sent[-14]) == ''
    assert not monitor.greatest.any()


def test_the_way_home_is_another_plan_than_the_one_that_is_left_for_it() -> None:
    """Trajectories are sent when the plan is another one."""
    controller = Controller(ROBOT.model_copy(update={'home': (0.5, -0.5, 0.9)}), POLICY_NS)
    controller.enable(START_NS, HOME)
    controller.tick(START_NS, HOME, {})
    assert controller.policy_due(START_NS) and controller.add_chunk(HOME[None] - 0.4, START_NS)
    before = controller.plan()
    controller.go_home(START_NS + TICK_NS, HOME)
    after = controller.plan()
    assert before is not None and after is not None and before.number != after.number


def test_an_arm_that_stays_behind_a_step_of_its_commands_is_noticed_when_its_lag_is_over() -> None:
    """The brother of an arm that plays trajectories: here one position is noted in each tick."""
    monitor = TrackingMonitor(ROBOT)
    monitor.start(HOME)
    ticks = round(LAG_S * ROBOT.rate)
    for tick in range(ticks + 1):
        assert monitor.check(HOME) == '', tick
        monitor.sent(HOME + 2 * monitor.tolerance)
    assert monitor.check(HOME).startswith('tracking error: joint ')


def test_a_joint_that_is_seldom_measured_costs_no_other_the_time_in_which_it_is_noticed() -> None:
    """A gripper's driver that spoke 0.5 s ago, beside an arm's that speaks in each tick."""
    ages_ns = np.array([0, 0, 500_000_000])
    monitor = TrackingMonitor(ROBOT)
    monitor.start(HOME)
    ticks = round(LAG_S * ROBOT.rate)
    told = []
    for _ in range(3 * ticks):
        told.append(monitor.check(HOME, ages_ns))
        monitor.sent(HOME + 2 * monitor.tolerance * [1, 0, 1.5])
    assert not any(told[: ticks + 1])
    assert "joint 'joint1' stands at" in told[ticks + 2] and 'last 0.3 s' in told[ticks + 2]
    # Joint 3 is further away, but no sooner known to stay there.
    first = next(n for n, line in enumerate(told) if "joint 'joint3' stands at" in line)
    assert first == round((LAG_S + 0.5) * ROBOT.rate) + 1 and 'last 0.8 s' in told[first]


def test_of_a_plan_that_led_into_a_hold_nothing_is_left() -> None:
    """The motion that goes on later begins at rest, not at the speed which that plan had."""
    arm = Arm()
    arm.enable()
    arm.run(40, steadily)
    assert arm.controller.state == 'run' and arm.controller.buffer.covers_until_ns is not None
    arm.faults = {'top': 'missing'}
    arm.run(1, None)
    assert arm.controller.state == 'hold' and arm.controller.buffer.covers_until_ns is None


@pytest.mark.parametrize('state_hz', [100, 5, 2])
def test_an_arm_that_is_seldom_measured_has_no_tracking_error(state_hz: int) -> None:
    """`max_age` of this arm is 1 s: what was measured so long ago is held against its own time."""
    controller = Controller(ROBOT, POLICY_NS)
    controller.enable(START_NS, HOME)
    seen_ns, true, seen = START_NS, HOME, HOME
    for tick in range(500):
        now_ns = START_NS + tick * TICK_NS
        if now_ns - seen_ns >= 1_000_000_000 / state_hz:
            seen_ns, seen = now_ns, true
        if controller.policy_due(now_ns):
            target = 0.9 if tick % 200 < 100 else -0.9
            controller.add_chunk(np.full((1, 3), target), now_ns)
        command = controller.tick(now_ns, seen, {}, age_ns=now_ns - seen_ns)
        assert command is not None and command.state in ('ramp', 'run'), command.reason
        true = command.position
    assert not controller.tracking.greatest.any()


def test_too_much_effort_is_named_and_disables() -> None:
    robot = ROBOT.model_copy(update={'effort_limits': (0.0, 5.0, 0.0)})
    controller = Controller(robot, POLICY_NS)
    controller.enable(START_NS, HOME)
    assert controller.tick(START_NS, HOME, {}, effort=np.array([99.0, 4.9, 0.0])) is not None
    assert controller.enabled
    controller.tick(START_NS + TICK_NS, HOME, {}, effort=np.array([0.0, -5.1, 0.0]))
    assert not controller.enabled
    assert controller.reason == "effort: joint 'joint2' has -5.10, limit 5"
    blind = Controller(robot, POLICY_NS)
    blind.enable(START_NS, HOME)
    blind.tick(START_NS, HOME, {})
    assert not blind.enabled and 'reports none' in blind.reason


def test_home_is_reached_at_the_speed_of_a_ramp_and_ends_disabled() -> None:
    home = (0.5, -0.5, 0.9)
    controller = Controller(ROBOT.model_copy(update={'home': home}), POLICY_NS, ramp_speed=0.2)
    drive, now_ns = Drive(HOME), START_NS
    controller.go_home(now_ns, HOME)
    fastest = np.zeros(3)
    measured = HOME
    while (command := controller.tick(now_ns, measured, {'top': 'missing'})) is not None:
        assert not controller.policy_due(now_ns)
        drive.add(now_ns, command.position)
        fastest = np.maximum(fastest, np.abs(command.velocity))
        measured, now_ns = command.position, now_ns + TICK_NS
    np.testing.assert_allclose(measured, home, atol=1e-9)
    assert (fastest <= 0.2 * LIMITS.velocity_array() + 1e-9).all() and fastest.all()
    assert controller.state == 'disabled' and controller.reason == ''
    assert not breaches(drive, JUDGED_LIMITS) and ends_at_rest(drive)
    with pytest.raises(UserError, match='has no home'):
        Controller(ROBOT, POLICY_NS).go_home(START_NS, HOME)


def test_the_speed_override_slows_a_plan_down_smoothly_and_keeps_its_way() -> None:
    """A plan at a quarter of its speed takes four times as long, over the same points."""

    def ends_after(speed: float, faster_at: int | None = None) -> tuple[float, np.ndarray]:
        arm = Arm(chunks=ChunkExecution(crossfade_s=0.0), speed=speed)
        arm.enable()
        line = HOME + np.linspace(0.02, 0.6, 30)[:, None] * np.array([1.0, -1.0, 0.5])
        asked: list[int] = []

        def once(now_ns: int, measured: np.ndarray) -> np.ndarray | None:
            asked.append(now_ns)
            if len(asked) == 1:
                return measured[None]
            return line if len(asked) == 2 else None

        for tick in range(2000):
            if tick == faster_at:
                arm.controller.speed = 1.0
            arm.run(1, once)
            if np.abs(arm.measured - line[-1]).max() < 1e-3:
                break
        arm.assert_safe()
        return (arm.now_ns - START_NS) * 1e-9, np.array(arm.positions)

    full_s, _ = ends_after(1.0)
    slow_s, slow = ends_after(0.25)
    mixed_s, _ = ends_after(0.25, faster_at=150)
    assert 3.0 < full_s < 3.6 and 4 * 3.0 < slow_s < 4 * 3.6
    assert full_s < mixed_s < slow_s
    way = (slow - HOME) / np.array([1.0, -1.0, 0.5])
    assert np.abs(way - way[:, :1]).max() < 1e-6  # straight on, all joints alike


def test_the_speed_override_has_its_effect_in_half_a_second_and_at_once_where_nothing_moves() -> (
    None
):
    arm = Arm(speed=0.5)
    assert arm.controller.pace == 0.5
    arm.controller.speed = 1.0
    assert arm.controller.pace == 1.0
    arm.enable()
    arm.run(40, steadily)
    for speed in (0.0, 1.0):
        before, arm.controller.speed = arm.controller.pace, speed
        paces = [before]
        for _ in range(30):
            arm.run(1, steadily)
            paces.append(arm.controller.pace)
        share = np.minimum(np.arange(31) * TICK_NS / 500_000_000, 1.0)
        np.testing.assert_allclose(paces, before + share * (speed - before), atol=1e-9)


def test_plan_time_is_the_clock_s_until_the_override_slows_it_down() -> None:
    """What was seen before belongs to where the plan was then, however late the answer comes."""
    arm = Arm()
    arm.enable()
    arm.run(30, steadily)
    full_ns, arm.controller.speed = arm.now_ns - TICK_NS, 0.25
    arm.run(40, steadily)
    slow_ns = arm.now_ns - TICK_NS
    assert arm.controller.plan_time_ns(full_ns) == full_ns
    assert arm.controller.plan_time_ns(START_NS) == START_NS
    plan_ns = [arm.controller.plan_time_ns(t) for t in range(full_ns, slow_ns + 1, TICK_NS)]
    steps = np.diff(plan_ns) / TICK_NS
    assert (np.diff(steps) <= 1e-9).all() and 0.9 < steps[0] < 1.0
    np.testing.assert_allclose(steps[25:], 0.25)


def test_a_speed_of_zero_stops_the_arm_where_it_is_and_keeps_its_plan() -> None:
    arm = Arm()
    arm.enable()
    arm.run(60, steadily)
    assert arm.commands[-1].velocity.any()
    arm.controller.speed = 0.0
    arm.run(100, steadily)
    standing = arm.run(300, steadily)
    assert {c.state for c in standing} == {'run'}
    assert not any(c.velocity.any() for c in standing)
    arm.controller.speed = 1.0
    assert arm.run(60, steadily)[-1].velocity.any()
    arm.assert_safe()


@pytest.mark.parametrize('late_ms', [8, 18, 50, 150])
def test_limits_hold_in_true_time_when_a_tick_is_late(late_ms: int) -> None:
    """After it the next one comes on its old grid, some within a few milliseconds."""
    arm = Arm(HOME - 0.9)
    arm.enable()
    arm.run(60, lambda now_ns, measured: UPPER[None])
    for _ in range(3):
        arm.wait(late_ms * 1_000_000)
        arm.run(1, lambda now_ns, measured: UPPER[None])
        arm.wait(-(late_ms * 1_000_000 % TICK_NS))
        arm.run(5, lambda now_ns, measured: UPPER[None])
    assert any('control tick' in c.reason for c in arm.commands) == (late_ms == 150)
    arm.assert_safe()


def test_a_second_tick_at_once_and_one_that_goes_back_send_nothing() -> None:
    arm = Arm()
    arm.enable()
    arm.run(60, steadily)
    for by_ns in (-TICK_NS, -TICK_NS // 2 - 1_000_000, -2 * TICK_NS):
        steady_ns = arm.steady_ns + by_ns
        again = arm.controller.tick(arm.now_ns + by_ns, arm.measured, {}, steady_ns=steady_ns)
        assert again is None
    assert arm.controller.dropped_ticks == 3
    assert arm.run(20, steadily)[-1].state == 'run'
    arm.assert_safe()


@pytest.mark.parametrize('back_ns', [TICK_NS // 2, 2 * TICK_NS])
def test_a_doubt_disables_also_where_the_clock_went_back_a_little(back_ns: int) -> None:
    arm = Arm()
    arm.enable()
    arm.run(60, steadily)
    doubts = {'clock': 'jumped back'}
    command = arm.controller.tick(
        arm.now_ns - back_ns, arm.measured, {}, doubts, steady_ns=arm.steady_ns
    )
    assert command is not None and command.state == 'brake'
    assert command.reason == 'clock: jumped back'


def test_the_time_between_commands_is_that_of_the_steady_clock() -> None:
    """The clock of observations is set by 0.3 s: neither a jump nor a gap for the limits."""
    controller = Controller(ROBOT, POLICY_NS)
    controller.enable(START_NS, HOME)
    drive, measured, steady_ns = Drive(HOME), HOME, 55
    for tick in range(200):
        now_ns = START_NS + tick * TICK_NS + (90_000_000 if tick > 100 else 0)
        if controller.policy_due(now_ns):
            controller.add_chunk(UPPER[None], now_ns)
        command = controller.tick(now_ns, measured, {}, steady_ns=steady_ns)
        assert command is not None and command.state in ('ramp', 'run')
        drive.add(steady_ns, command.position)
        measured, steady_ns = command.position, steady_ns + TICK_NS
    assert not breaches(drive, JUDGED_LIMITS)


def arm_that_has_just_stopped() -> Arm:
    arm = Arm()
    arm.enable()
    arm.run(20, lambda now_ns, measured: UPPER[None])
    arm.controller.disable(arm.now_ns)
    while arm.controller.state != 'disabled':
        arm.run(1, None)
    return arm


@pytest.mark.parametrize('read_before_ns', [0, 3 * TICK_NS])  # of the last tick
def test_enabled_again_before_the_arm_is_there_it_goes_on_from_its_last_command(
    read_before_ns: int,
) -> None:
    arm = arm_that_has_just_stopped()
    arm.measured = arm.positions[-1] - 0.01
    arm.controller.enable(arm.now_ns - read_before_ns, arm.measured)
    arm.run(20, lambda now_ns, measured: UPPER[None])
    arm.assert_safe()


def test_an_arm_that_is_still_on_its_way_is_not_enabled_until_it_is_there() -> None:
    arm = arm_that_has_just_stopped()
    there = arm.positions[-1]
    arm.measured = there - np.array([0.0, 0.14, 0.0])  # many periods of travel behind
    arm.wait(300_000_000)
    with pytest.raises(UserError, match=r"joint 'joint2' .*on its way.*again in 0\.[67] s"):
        arm.enable()
    assert arm.run(5, None) == []
    arm.measured = there - 0.01
    arm.enable()
    arm.run(20, lambda now_ns, measured: UPPER[None])
    arm.assert_safe()


def disabled_at_rest(**options: object) -> Arm:
    """An arm that was driven somewhere, disabled, and stands there."""
    arm = Arm(**options)  # type: ignore[arg-type]
    arm.enable()
    arm.run(60, lambda now_ns, measured: HOME[None] + 0.3)
    arm.controller.disable(arm.now_ns)
    arm.run(80, None)
    assert arm.controller.state == 'disabled'
    return arm


@pytest.mark.parametrize('cause', ['joint state', 'clock', 'others'])
def test_an_arm_that_was_out_of_sight_while_disabled_starts_where_it_stands(cause: str) -> None:
    """Its driver may have begun anew: a start at the last command would be a jump for it."""
    arm = disabled_at_rest()
    controller = arm.controller
    if cause == 'others':
        controller.forget_place()
    else:
        faults = {'state': 'stale'} if cause == 'joint state' else {}
        doubts = {} if faults else {'clock': 'jumped'}
        controller.tick(arm.now_ns, None, faults, doubts, steady_ns=arm.steady_ns)
    arm.wait(10_000_000_000)
    arm.measured = arm.measured - 0.015  # less than what an arm may sag
    arm.enable()
    np.testing.assert_array_equal(controller.guard.sent, arm.measured)


def test_an_arm_that_is_said_to_stand_in_two_places_is_not_enabled() -> None:
    """Two publishers of one joint: whichever spoke last, the other may be right."""
    controller = Controller(ROBOT, POLICY_NS)
    places = [HOME, HOME + [0.0, 0.5, 0.0]]
    for tick in range(10):
        now_ns = START_NS + tick * TICK_NS
        assert controller.tick(now_ns, places[tick % 2], {}) is None
    with pytest.raises(UserError, match=r"joint 'joint2' jumped .* two nodes"):
        controller.enable(now_ns, places[1])
    for tick in range(60):
        now_ns += TICK_NS
        controller.tick(now_ns, HOME, {})
        if tick * TICK_NS < 480_000_000:  # half a second in all
            with pytest.raises(UserError, match='two nodes'):
                controller.enable(now_ns, HOME)
    controller.enable(now_ns, HOME)


def test_a_joint_that_was_not_measured_for_a_tick_neither_jumped_nor_moves() -> None:
    controller = Controller(ROBOT, POLICY_NS)
    for tick in range(10):
        measured = HOME + [0.0, np.nan if tick == 5 else 0.0, 0.0]
        controller.tick(START_NS + tick * TICK_NS, measured, {})
    controller.enable(START_NS + 10 * TICK_NS, HOME)
    assert controller.enabled


@pytest.mark.parametrize('doubt', ['joint state', 'tracking error', 'others'])
def test_after_a_doubt_an_arm_that_still_moves_is_not_enabled(doubt: str) -> None:
    """It would be told to be at once where it was measured a moment ago."""
    arm = Arm()
    arm.enable()
    arm.run(60, stay)
    controller, measured = arm.controller, arm.measured
    sinks = np.array([0.0, -0.4 * TICK_NS * 1e-9, 0.0])

    def tick(position: np.ndarray | None, doubts: dict[str, str]) -> None:
        controller.tick(arm.now_ns, position, {}, doubts, steady_ns=arm.steady_ns)
        arm.wait(TICK_NS)

    if doubt != 'tracking error':
        lost = doubt == 'joint state'
        tick(None if lost else measured, {} if lost else {doubt: 'there'})
    while controller.state != 'disabled':
        measured = measured + sinks
        tick(measured, {})
    for _ in range(3):  # further than an encoder swings
        measured = measured + sinks
        tick(measured, {})
    for _ in range(40):
        with pytest.raises(UserError, match=r"joint 'joint2' still moves at 0\.[0-4]"):
            controller.enable(arm.now_ns, measured)
        measured = measured + sinks
        tick(measured, {})
    noise = np.random.default_rng(3)
    for _ in range(60):  # it stands; its encoders have 12 bits
        seen = measured + noise.integers(-1, 2, 3) * 2 * np.pi / 4096
        tick(seen, {})
    controller.enable(arm.now_ns, seen)
    np.testing.assert_array_equal(controller.guard.sent, seen)


def test_an_arm_that_was_seen_to_move_between_two_ticks_is_not_enabled() -> None:
    controller, speed = Controller(ROBOT, POLICY_NS), 0.9 * LIMITS.velocity_array()
    for tick in range(2):
        measured = HOME + tick * TICK_NS * 1e-9 * speed
        controller.tick(START_NS + tick * TICK_NS, measured, {})
    with pytest.raises(UserError, match='still moves at'):
        controller.enable(START_NS + 2 * TICK_NS, measured)


def test_an_arm_that_is_seldom_measured_and_moves_is_not_enabled() -> None:
    """`max_age` of this arm is 1 s: between two joint states it seems to stand."""
    controller, state_ticks = Controller(ROBOT, POLICY_NS), 25
    for tick in range(100):
        now_ns = START_NS + tick * TICK_NS
        controller.tick(now_ns, HOME + 0.05 * (tick // state_ticks), {})
    with pytest.raises(UserError, match='still moves at'):
        controller.enable(now_ns, HOME + 0.15)


def test_an_arm_in_doubt_is_not_enabled_before_it_stands_even_after_a_reset() -> None:
    arm = Arm()
    arm.enable()
    arm.run(30, lambda now_ns, measured: HOME[None] + 0.6)
    arm.controller.disable(arm.now_ns, 'commands of another', lost=True)
    arm.run(1, None)
    assert arm.controller.state == 'brake'
    arm.controller.reset()
    with pytest.raises(UserError, match='still brakes'):
        arm.enable()
    arm.run(80, None)
    arm.enable()
    arm.assert_safe()


@pytest.mark.parametrize('gap_s', [0.3, 0.5, 1.1, 60.0])
def test_after_a_tick_that_is_later_than_auto_resume_the_arm_is_disabled(gap_s: float) -> None:
    """A process that stood still for a minute must not let the arm set out by itself."""
    arm = Arm()
    arm.enable()
    arm.run(60, lambda now_ns, measured: HOME[None] + 0.3)
    arm.wait(round(gap_s * 1e9))
    commands = arm.run(60, lambda now_ns, measured: HOME[None] - 0.3)
    assert commands[0].state == 'hold'
    assert arm.controller.state in ({'ramp', 'run'} if gap_s < 1.0 else {'disabled'})
    if gap_s > 1.0:
        assert 'control tick' in arm.controller.reason
        assert all((c.position == commands[-1].position).all() for c in commands[20:])


def test_a_doubt_counts_also_while_the_clock_is_a_little_behind() -> None:
    arm = Arm()
    arm.enable()
    arm.run(40, lambda now_ns, measured: HOME[None] + 0.3)
    arm.now_ns -= 50_000_000
    doubts = {'clock': 'jumped 0.05 s back'}
    arm.controller.tick(arm.now_ns, arm.measured, {}, doubts, steady_ns=arm.steady_ns)
    assert arm.controller.state == 'brake'
    assert arm.controller.reason == 'clock: jumped 0.05 s back'


def test_an_arm_that_was_moved_meanwhile_starts_where_it_stands() -> None:
    arm = arm_that_has_just_stopped()
    for _ in range(10):
        arm.measured = arm.measured - 0.05
        arm.run(1, None)
    arm.run(60, None)
    standing = arm.measured.copy()
    arm.enable()
    np.testing.assert_array_equal(arm.run(1, None)[0].position, standing)


def test_enable_refuses_a_pose_outside_the_limits_and_names_the_joint() -> None:
    for bad in (UPPER[1] + 0.5, np.nan):
        with pytest.raises(UserError, match='joint2'):
            Arm(np.array([0.0, bad, 0.0])).enable()


def test_a_pose_just_outside_its_limit_starts_there_and_only_comes_in() -> None:
    stands = UPPER + 0.009 * (UPPER - LOWER)
    arm = Arm(stands)
    arm.enable()
    np.testing.assert_array_equal(arm.run(1, stay)[0].position, stands)
    arm.run(60, lambda now_ns, measured: UPPER[None] - 0.1)
    arm.run(60, lambda now_ns, measured: UPPER[None] + 1.0)
    np.testing.assert_allclose(arm.measured, UPPER, atol=1e-6)
    assert (np.diff(np.maximum(arm.positions, UPPER), axis=0) <= 0).all()
    arm.assert_safe()


def test_an_arm_that_sags_starts_at_its_last_command_again_and_again() -> None:
    arm = arm_that_has_just_stopped()
    held = arm.positions[-1].copy()
    for _ in range(10):
        arm.wait(30_000_000_000)
        arm.measured = held - np.array([0.0, 0.05, 0.0])
        arm.enable()
        np.testing.assert_array_equal(arm.run(1, None)[0].position, held)
        arm.controller.disable(arm.now_ns)
        while arm.controller.state != 'disabled':
            arm.run(1, None)


def test_an_arm_that_plays_trajectories_starts_where_the_last_one_ended() -> None:
    """Its commands fell behind the trajectory by less than an arm may sag."""
    arm = arm_that_has_just_stopped()
    ended = arm.positions[-1] + np.array([0.01, -0.01, 0.02])
    arm.controller.rests_at(ended)
    arm.measured = ended - 0.005
    arm.enable()
    np.testing.assert_array_equal(arm.run(1, None)[0].position, ended)
    arm.run(20, lambda now_ns, measured: UPPER[None])
    arm.assert_safe()
