# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: no trajectory is sent to a controller whose clock is another one than ours."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import yaml
from control_robots import formula_arm

from motion_policy.control.clock_skew import SkewMonitor, SkewMonitors
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from motion_policy.streams import Sample

PERIOD_NS, MS = 20_000_000, 1_000_000
START_NS = 1_700_000_000_000_000_000
SAMPLES = 100  # joint states after which the reference says that a clock behind is noticed


class Clocks:
    """Ticks and joint states at 50 Hz; delays of 0.3 ms and more, now and then very much more."""

    def __init__(self) -> None:
        self.monitor = SkewMonitor(PERIOD_NS)
        self.rng = np.random.default_rng(2)
        self.true_ns, self.ours_ns, self.theirs_ns = START_NS, 0, 0

    def tick(self, ours_ms: float = 0.0, theirs_ms: float = 0.0, before: bool = True) -> str:
        """The clocks are set by so much, `before` or after the joint state of this tick came."""
        self.true_ns += PERIOD_NS
        ours_ns = self.ours_ns
        self.ours_ns += round(ours_ms * MS)
        self.theirs_ns += round(theirs_ms * MS)
        delay_ns = round(self.rng.exponential(0.5) * MS) + 300_000
        receive_ns = self.true_ns + (self.ours_ns if before else ours_ns)
        self.monitor.add(self.true_ns - delay_ns + self.theirs_ns, receive_ns, self.ours_ns)
        return self.monitor.problem(self.ours_ns)


@pytest.fixture
def clocks() -> Clocks:
    """Two clocks that agree."""
    clocks = Clocks()
    assert not any(clocks.tick() for _ in range(300))
    return clocks


@pytest.mark.parametrize('before', [True, False])
@pytest.mark.parametrize(('by_ms', 'side'), [(20.0, 'behind'), (-20.0, 'ahead of')])
def test_ours_that_is_set_is_noticed_within_two_ticks(
    clocks: Clocks, by_ms: float, side: str, before: bool
) -> None:
    told = [clocks.tick(ours_ms=by_ms, before=before), clocks.tick()]
    assert f' {side} ours' in told[1]
    assert all(side in clocks.tick() for _ in range(2 * SAMPLES))


@pytest.mark.parametrize(('by_ms', 'side'), [(1.6, 'behind'), (-1.6, 'ahead of')])
def test_ours_that_is_slewed_is_noticed_as_soon_as_it_is_too_far(
    clocks: Clocks, by_ms: float, side: str
) -> None:
    told = [clocks.tick(ours_ms=by_ms) for _ in range(6)]  # by chrony's greatest rate
    assert not told[1] and side in told[5]


def test_theirs_ahead_is_noticed_at_once_and_behind_when_no_other_is_known_any_more(
    clocks: Clocks,
) -> None:
    assert 'ahead of' in clocks.tick(theirs_ms=10.0)
    for _ in range(SAMPLES):
        told = clocks.tick(theirs_ms=-10.0 if not clocks.theirs_ns < 10 * MS else 0.0)
    assert not told
    clocks.tick(theirs_ms=-20.0)
    told_behind = [clocks.tick() for _ in range(SAMPLES)]
    assert 'behind' in told_behind[-1]
    assert not any(told_behind[: SAMPLES - 2])


@pytest.mark.parametrize('by_ms', [1.6, -1.6])
def test_one_clock_for_both_that_is_slewed_is_none_that_disagrees(
    clocks: Clocks, by_ms: float
) -> None:
    assert not any(clocks.tick(ours_ms=by_ms, theirs_ms=by_ms) for _ in range(3 * SAMPLES))


def test_a_clock_of_which_nothing_is_known_yet_is_waited_for() -> None:
    monitor = SkewMonitor(PERIOD_NS)
    for number in range(10):
        assert 'waiting for 10 joint states' in monitor.unknown()
        monitor.add(START_NS + number * PERIOD_NS, START_NS + number * PERIOD_NS + MS)
    assert monitor.unknown() == ''
    monitor.forget()
    assert 'waiting for 10 joint states' in monitor.unknown()
    monitor.add(0, START_NS)
    assert 'the joint states have no stamps' in monitor.unknown()


CHUNKS = '{topic: arm, type: trajectory_msgs/msg/JointTrajectory, send: chunk%s}'
GRIPPER = '{topic: gripper, type: std_msgs/msg/Float64MultiArray, joints: [joint3]}'
EVERY = formula_arm(command=CHUNKS % '')  # joint1, joint2, joint3
NOT_GRIPPER = formula_arm(command=f'[{CHUNKS % ", joints: [joint1, joint2]"}, {GRIPPER}]')


class Drivers:
    """The sets of joints that come together, and what their monitors say."""

    def __init__(self, robot: RobotSpec) -> None:
        self.monitors, self.now_ns = SkewMonitors(robot), START_NS
        self._parts: dict[tuple[str, ...], Sample] = {}

    def tick(self, count: int = 1, gap_ms: float = 20.0, **behind_ms: float | None) -> str:
        """Messages of `joint1_joint2` and so on, whose clock is so far behind; None: no stamp."""
        for _ in range(count):
            self.now_ns += round(gap_ms * MS)
            for joints, late_ms in behind_ms.items():
                stamp_ns = 0 if late_ms is None else self.now_ns - MS - round(late_ms * MS)
                sample = Sample(stamp_ns, self.now_ns, None)
                self._parts[tuple(joints.split('_'))] = sample
            self.monitors.add('state', self._parts.items())
        return self.monitors.problem()


@pytest.mark.parametrize(('by_ms', 'side'), [(40.0, 'behind'), (-9.0, 'ahead of')])
def test_of_two_drivers_the_one_whose_clock_is_another_is_named(by_ms: float, side: str) -> None:
    drivers = Drivers(EVERY)
    assert not drivers.tick(120, joint1=0.0, joint3_joint2=0.0)
    assert not drivers.monitors.unknown()
    told = drivers.tick(120, joint1=0.0, joint3_joint2=by_ms)
    assert told.startswith("the clock of the joint states of joints 'joint2', 'joint3' is 0.0")
    assert f's {side} ours' in told and told.count('clock of') == 1
    both = drivers.tick(120, joint1=by_ms, joint3_joint2=by_ms)
    assert "joint 'joint1' is" in both and "joints 'joint2', 'joint3' is" in both


def test_one_driver_of_all_joints_is_told_of_without_their_names() -> None:
    drivers = Drivers(EVERY)
    told = drivers.tick(20, joint1_joint2_joint3=40.0)
    assert told.startswith('the clock of the joint states is 0.041 s behind ours')
    assert drivers.tick(1, joint1_joint2_joint3=0.0) == ''


def test_of_two_topics_each_clock_is_compared() -> None:
    first, second = (
        {'joints': joints, 'message_names': joints, 'scale': [1.0] * n, 'offset': [0.0] * n}
        for n, joints in ((1, ['joint1']), (2, ['joint2', 'joint3']))
    )
    fields = yaml.safe_load(EVERY.to_yaml())
    (state,) = fields['joints']['state']
    fields['joints']['state'] = [{**state, **first}, {**state, **second, 'topic': 'other'}]
    monitors = SkewMonitors(robot_spec_from_yaml(yaml.safe_dump(fields), 'two.yaml'))

    def tick(number: int, behind_ms: int) -> None:
        now_ns = START_NS + number * PERIOD_NS
        monitors.add('state_0', [(('joint1',), Sample(now_ns, now_ns, None))])
        behind = Sample(now_ns - behind_ms * MS, now_ns, None)
        monitors.add('state_1', [(('joint2', 'joint3'), behind)])

    for number in range(20):
        assert bool(monitors.unknown()) == (number < 10)
        tick(number, 0)
    for number in range(20, 20 + SAMPLES):
        assert not monitors.problem()
        tick(number, 40)
    assert "of joints 'joint2', 'joint3' is 0.040 s behind ours" in monitors.problem()


def test_only_the_clocks_of_joints_that_are_sent_trajectories_matter() -> None:
    drivers = Drivers(NOT_GRIPPER)
    assert not drivers.tick(20, joint1_joint2=0.0, joint3=40.0)
    assert not drivers.tick(20, joint1_joint2=0.0, joint3=None)
    assert not drivers.monitors.unknown()
    assert 'is 0.041 s behind ours' in drivers.tick(120, joint1_joint2=40.0, joint3=None)


def test_every_joint_has_to_be_known_and_is_named_until_then() -> None:
    drivers = Drivers(EVERY)
    assert drivers.monitors.unknown().startswith('waiting for 10 joint states, to')
    drivers.tick(20, joint1=0.0)
    told = "waiting for 10 joint states of joints 'joint2', 'joint3', to"
    assert drivers.monitors.unknown().startswith(told)
    drivers.tick(5, joint1=0.0, joint2=0.0)
    told = drivers.monitors.unknown()
    assert "10 joint states of joint 'joint2', to" in told and "of joint 'joint3', to" in told
    drivers.tick(10, joint1=0.0, joint2=None, joint3=0.0)
    assert drivers.monitors.unknown().startswith("the joint states of joint 'joint2' have no")
    assert 'joint3' not in drivers.monitors.unknown()
    # Of a joint in two sets, one whose clock is known is enough.
    drivers.tick(10, joint1_joint2=0.0)
    assert not drivers.monitors.unknown()


def test_a_joint_that_only_sometimes_comes_with_the_others_keeps_nobody_waiting() -> None:
    drivers = Drivers(EVERY)
    for _ in range(30):
        assert not drivers.tick(9, joint1_joint2=0.0)
        assert not drivers.tick(joint1_joint2_joint3=0.0)
    assert not drivers.monitors.unknown()


def test_a_driver_that_was_begun_anew_is_compared_anew() -> None:
    """On another machine, whose clock is behind: 100 joint states of the old one say nothing."""
    drivers = Drivers(EVERY)
    assert not drivers.tick(120, joint1_joint2=0.0, joint3=0.0)
    drivers.tick(60, joint1_joint2=0.0)  # 1.2 s without the gripper
    drivers.tick(1, joint1_joint2=0.0, joint3=40.0)
    assert "waiting for 10 joint states of joint 'joint3'" in drivers.monitors.unknown()
    told = drivers.tick(9, joint1_joint2=0.0, joint3=40.0)
    assert "joint 'joint3' is 0.041 s behind" in told
    # One that sends other joints than before leaves nothing behind.
    drivers._parts.clear()
    assert drivers.tick(60, joint1=0.0, joint2_joint3=0.0) == ''


def test_a_service_may_ask_while_the_tick_adds_and_forgets() -> None:
    monitor, over = SkewMonitor(PERIOD_NS), threading.Event()

    def add() -> None:
        for number in range(1000 * SAMPLES):
            monitor.add(START_NS + number * PERIOD_NS, START_NS + number * PERIOD_NS + MS)
            if number % (5 * SAMPLES) == 0:
                monitor.forget()
        over.set()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=add)
        thread.start()
        while not over.is_set():
            assert monitor.skew_ns() in (0, MS)
        thread.join()
    finally:
        sys.setswitchinterval(interval_s)
