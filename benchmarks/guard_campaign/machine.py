# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""State machine (Hypothesis) of a random robot, operator, clock and policy on one controller.

Nothing here looks into the controller: a drive is judged by what was sent and when, and whether
anybody had given leave. Every rule may come at any moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from guard_campaign.box import Box
from motion_policy.control import INTERPOLATIONS, ChunkExecution, Command, Controller, GuardChain
from motion_policy.control.monitors import LAG_S
from motion_policy.control.workspace import Workspace
from motion_policy.errors import UserError
from motion_policy.rehearsal.judge import (
    Drive,
    Float64Array,
    Limits,
    breaches,
    ends_at_rest,
    send_time_known_to_ns,
)
from motion_policy.robot import RobotSpec, robot_spec_from_yaml

RATES_HZ = (10.0, 50.0, 100.0, 500.0)
START_NS = 1_700_000_000_000_000_000
CALM_NS = 1_000_000_000  # a fault that comes back sooner was never over
SPARE_TICKS = 6  # for a stop: two last commands, ticks that are dropped
FLICKERING_TICKS = 120
COUNTS: Counter[str] = Counter()  # over all runs in this process

# How the time of a tick differs from one period after the last: a factor for both clocks.
JITTERS: dict[str, Callable[[np.random.Generator], float]] = {
    'on time': lambda rng: 1.0,
    'jitter': lambda rng: float(rng.uniform(0.8, 1.25)),
    'late, then on the old grid': lambda rng: float(rng.choice((1.4, 0.6))),
    'hardly there': lambda rng: float(rng.choice((0.02, 0.45, 0.55, 1.98, 2.0))),
    'late': lambda rng: float(rng.uniform(1.0, 9.0)),
    'a gap': lambda rng: float(rng.choice((1.0, 1.0, 1.0, 40.0))),
}


def random_values(rng: np.random.Generator) -> dict[str, Any]:
    """A robot spec: any number of joints, any limits, grippers and monitors now and then."""
    joints = int(rng.integers(1, 8))
    rate = float(rng.choice(RATES_HZ))
    low = -rng.uniform(0.05, 3.0, joints)
    high = rng.uniform(0.05, 3.0, joints)
    velocity = rng.uniform(0.1, 4.0, joints)
    names = [f'joint{j}' for j in range(joints)]
    grippers = {}
    if rng.random() < 0.3:
        span = high[-1] - low[-1]
        grippers[names[-1]] = {
            'closed': float(low[-1]), 'close_at': float(low[-1] + 0.3 * span),
            'open_at': float(low[-1] + 0.6 * span), 'open': float(high[-1]),
        }  # fmt: skip
    values: dict[str, Any] = {
        'name': 'random',
        'rate': rate,
        'home': rng.uniform(low, high).tolist(),
        'joints': {
            'names': names,
            'state': {'topic': 'joint_states', 'type': 'sensor_msgs/msg/JointState'},
            'command': {'topic': 'commands', 'type': 'std_msgs/msg/Float64MultiArray'},
            'grippers': grippers,
            'limits': {
                'position': np.stack((low, high), axis=1).tolist(),
                'velocity': velocity.tolist(),
                'acceleration': rng.uniform(0.5, 40.0, joints).tolist(),
            },
        },
        'cameras': {'top': {'topic': 'top', 'width': 32, 'height': 24}},
    }
    if rng.random() < 0.5:
        values['tracking_error'] = rng.uniform(0.02, 0.5, joints).tolist()
    return values


def random_box(rng: np.random.Generator, around: Float64Array) -> Box:
    """A box around the tip of a planar chain with these joint positions (J,)."""
    links = rng.uniform(0.05, 0.4, len(around))
    tip = complex((links * np.exp(1j * np.cumsum(around))).sum())
    return Box(links, tip, complex(*rng.uniform(0.01, 0.4, 2)))


def chain_urdf(names: list[str], links: list[float]) -> str:
    """The URDF of a planar chain of joints, each at the beginning of its link [m], to `tip`."""
    text, parent, before = '<link name="base"/>', 'base', 0.0
    for name, length in zip(names, links, strict=True):
        text += (
            f'<link name="at_{name}"/><joint name="{name}" type="continuous"><axis xyz="0 0 1"/>'
            f'<parent link="{parent}"/><child link="at_{name}"/>'
            f'<origin xyz="{before!r} 0 0"/></joint>'
        )
        parent, before = f'at_{name}', length
    text += (
        f'<link name="tip"/><joint name="to_tip" type="fixed"><parent link="{parent}"/>'
        f'<child link="tip"/><origin xyz="{before!r} 0 0"/></joint>'
    )
    return f'<robot name="chain">{text}</robot>'


def workspace_of(box: Box, robot: RobotSpec) -> Workspace:
    """The guard's own idea of the box, by the URDF of the chain of joints that are no base."""
    names = [robot.joints.names[column] for column in robot.joints.position_columns]
    low, high = box.middle - box.half, box.middle + box.half
    sides = (low.real, high.real, low.imag, high.imag, -1.0, 1.0)
    with TemporaryDirectory() as folder:
        urdf = Path(folder) / 'chain.urdf'
        urdf.write_text(chain_urdf(names, box.links.tolist()), encoding='utf-8')
        return Workspace(urdf, 'tip', sides, robot.joints.names)


def robot_of(values: dict[str, Any]) -> RobotSpec:
    """The robot of a spec."""
    import yaml

    return robot_spec_from_yaml(str(yaml.safe_dump(values)), 'random.yaml')


class ControllerMachine(RuleBasedStateMachine):
    """Ticks, faults and buttons in any order."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """A new robot with a new controller."""
        self.rng = rng = np.random.default_rng(seed)
        self.robot = robot = robot_of(self.random_values(seed, rng))
        self.base = robot.joints.are_velocities
        limits = robot.joints.limits
        self.limits = Limits(
            limits.position_array(), limits.velocity_array(), limits.acceleration_array(),
            robot.period_ns,
        )  # fmt: skip
        grippers = [name in robot.joints.grippers for name in robot.joints.names]
        self.watched = ~np.array(grippers) | (robot.tracking_error is not None)
        chunks = ChunkExecution(timeout_s=0.5) if rng.random() < 0.5 else None
        low, high = np.where(self.base, 0.0, self.limits.position.T)  # a base begins at rest
        spans = (high - low)[~self.base]
        margin = float(rng.choice((0.0, 0.0, 0.2 * spans.min())))
        apart = np.random.default_rng((seed, 1))
        inside = apart.uniform(low, high)
        self.box = random_box(apart, inside[~self.base]) if apart.random() < 0.25 else None
        guard = GuardChain(
            robot,
            max_following_error=float(rng.uniform(0.05, 0.5)) if rng.random() < 0.3 else None,
            on_violation={'velocity': 'stop'} if rng.random() < 0.1 else None,
            position_margin=margin,
            max_jerk=float(rng.uniform(10, 1000)) if rng.random() < 0.25 else None,
            workspace=workspace_of(self.box, robot) if self.box else None,
        )
        self.auto_resume_s = float(rng.choice((0.0, 0.3, 1.0)))
        policy_period_ns = robot.period_ns * int(rng.choice((1, 1, 5)))
        self.controller = Controller(
            robot,
            policy_period_ns,
            interpolation=rng.choice(INTERPOLATIONS),
            ramp_speed=float(rng.uniform(0.05, 1.0)),
            auto_resume_s=self.auto_resume_s,
            chunks=chunks,
            first_due_ns=0 if chunks else None,
            guard=guard,
        )
        self.rows = 1 if chunks is None else int(rng.integers(2, 40))
        self.now_ns, self.steady_ns = START_NS, 10**9
        self.latency = float(rng.choice((0.0, rng.uniform(0.01, 0.3))))  # in periods
        self.late_ns, self.sent_ns = 0, 0
        self.measured = rng.uniform(low, high) if self.box is None else inside
        self.follows, self.away = True, np.zeros(len(self.measured))
        self.faults: dict[str, str] = {}
        self.fault_since_ns: int | None = None
        self.faulty_ns = 0
        self.doubts: dict[str, str] = {}
        self.state_streams = [name for name, _ in robot.joint_streams('state')]
        self.leave = False
        self.ticks_without_leave = 0
        self.drive: Drive | None = None
        self.requests: list[int] = []

    # The operator.

    @rule()
    def enable(self) -> None:
        """Press enable."""
        self._press(lambda: self.controller.enable(self.now_ns, self.measured))

    @rule()
    def home(self) -> None:
        """Press home."""
        self._press(lambda: self.controller.go_home(self.now_ns, self.measured))

    @rule()
    def disable(self) -> None:
        """Press disable."""
        self.controller.disable(self.now_ns)
        self._take_leave()

    @rule()
    def stop(self) -> None:
        """An emergency stop, or a defect."""
        self.controller.disable(self.now_ns, 'stopped', lost=bool(self.rng.integers(2)))
        self._take_leave()

    @rule()
    def reset(self) -> None:
        """Press reset."""
        self.controller.reset()
        self.fault_since_ns = None

    @rule(speed=st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    def set_speed(self, speed: float) -> None:
        """Turn the override."""
        self.controller.speed = speed

    # What goes wrong.

    @rule(name=st.sampled_from(('top', 'policy', 'dead_man')), lasts=st.booleans())
    def fault(self, name: str, lasts: bool) -> None:
        """Something that may heal begins, or all of it is over."""
        self.faults = {name: 'gone'} if lasts else {}

    @rule(gone=st.integers(1, 20), there=st.integers(1, 20))
    def flicker(self, gone: int, there: int) -> None:
        """Something goes and comes and goes again, in time for the arm to set out in between."""
        for tick in range(FLICKERING_TICKS):
            self.faults = {'policy': 'gone'} if tick % (gone + there) < gone else {}
            self._pass(1.0, 1.0)
            self._tick(self.measured, self.faults, {}, answers=True)
        self.faults = {}

    @rule(kind=st.sampled_from(('state', 'doubt', 'none', 'nan')))
    def lose_the_arm(self, kind: str) -> None:
        """One tick in which nobody knows where the arm is."""
        measured: Float64Array | None = self.measured
        faults, doubts = dict(self.faults), {}
        if kind == 'state':
            faults[self.state_streams[-1]] = 'stale'
        elif kind == 'doubt':
            doubts['commands'] = 'foreign'
        elif kind == 'none':
            measured = None
        else:
            measured = np.full(len(self.measured), np.nan)
        self._pass(1.0, 1.0)
        before = len(self.drive.positions) if self.drive else 0
        self._tick(measured, faults, doubts)
        # A measured position that is lost is noticed with the command that follows from it.
        sent = self.drive is not None and len(self.drive.positions) > before
        if doubts or self.state_streams[-1] in faults or sent:
            self._take_leave()

    @rule(kind=st.sampled_from(('blocked', 'follows', 'sinks', 'jumps')))
    def touch_the_arm(self, kind: str) -> None:
        """Somebody holds it, or it sinks."""
        self.follows = kind == 'follows'
        if kind == 'sinks':
            self.measured = self.measured - self.rng.uniform(0, 0.2, len(self.measured))
        elif kind == 'jumps':
            low, high = self.limits.position.T
            self.measured = self.rng.uniform(low, high)
        self.away = np.abs(self.controller.guard.sent - self.measured)

    @rule(by_s=st.sampled_from((-5.0, -0.05, 0.05, 5.0)))
    def set_the_clock(self, by_s: float) -> None:
        """The clock of observations is set; the steady one is not."""
        self.now_ns += round(by_s * 1e9)

    # The policy.

    @precondition(lambda self: self.requests)
    @rule(kind=st.sampled_from(('near', 'far', 'huge', 'nan', 'width', 'fails')))
    def answer(self, kind: str) -> None:
        """The policy answers what it was asked, rightly or not."""
        asked_ns = self.requests.pop()
        if kind == 'fails':
            self.controller.policy_failed('raised', asked_ns)
        else:
            self.controller.add_chunk(self._chunk(kind), asked_ns)

    # Time.

    @rule(
        count=st.integers(1, 80), kind=st.sampled_from(tuple(JITTERS)), answers=st.booleans(),
        enables=st.booleans(),
    )  # fmt: skip
    def tick(self, count: int, kind: str, answers: bool, enables: bool) -> None:
        """Ticks come, as they do, mostly to an arm that somebody has enabled."""
        if enables and self.controller.state == 'disabled':
            self.faults = {}
            self.follows = True
            self.measured = np.where(self.base, 0.0, self.measured)
            self.enable()
        for _ in range(count):
            factor = JITTERS[kind](self.rng)
            self._pass(factor, factor)
            self._tick(self.measured, self.faults, {}, answers)

    @rule()
    def tick_again(self) -> None:
        """The same tick twice, or one from before."""
        now_ns, steady_ns = self.now_ns, self.steady_ns
        back_ns = int(self.rng.integers(0, 2)) * self.robot.period_ns
        self.now_ns, self.steady_ns = now_ns - back_ns, steady_ns - back_ns
        self._tick(self.measured, self.faults, {})
        self.now_ns, self.steady_ns = now_ns, steady_ns

    @precondition(lambda self: self.latency)
    @rule()
    def publish_late(self) -> None:
        """The next command takes its time to leave."""
        self.late_ns = int(self.rng.integers(0, self.robot.period_ns))

    @invariant()
    def silent_when_disabled(self) -> None:
        """A controller that says it is disabled sends nothing more: its drive is over."""
        if hasattr(self, 'controller') and self.controller.state == 'disabled':
            self._end_drive()

    def teardown(self) -> None:
        """Judge what was sent."""
        if hasattr(self, 'limits') and self.drive is not None:
            self._judge(self.drive)
        COUNTS['runs'] += 1

    def _press(self, press: Callable[[], None]) -> None:
        begins = self.controller.state == 'disabled'
        try:
            press()
        except UserError:
            COUNTS['enables refused'] += 1
            return
        if begins:
            self._end_drive()
            self.drive = Drive(self.controller.guard.sent.copy())
            near = np.abs(self.drive.start - self.measured)
            near[~self.watched | self.base] = 0.0  # a gripper may hold an object
            assert not self.drive.start[self.base].any(), 'the base would not start at zero'
            reach = 2 * self.limits.velocity * self.limits.period_ns * 1e-9
            assert (near <= reach + 1e-9).all(), 'the arm would jump at its start'
        self.leave, self.ticks_without_leave = True, 0
        self.fault_since_ns = None
        COUNTS['enables'] += 1

    def _take_leave(self) -> None:
        if self.leave:
            COUNTS['stops'] += 1
        self.leave, self.ticks_without_leave = False, 0

    def _pass(self, steady: float, clock: float) -> None:
        self.steady_ns += round(steady * self.robot.period_ns)
        self.steady_ns = max(self.steady_ns, self.sent_ns)  # one thread ticks and sends
        self.now_ns += round(clock * self.robot.period_ns)

    def _tick(
        self,
        measured: Float64Array | None,
        faults: dict[str, str],
        doubts: dict[str, str],
        answers: bool = False,
    ) -> None:
        COUNTS['ticks'] += 1
        controller = self.controller
        command = self.command_in_tick(measured, faults, doubts)
        self._watch_faults(faults)
        if not self.leave and controller.state != 'disabled':
            self.ticks_without_leave += 1
        if command is not None:
            COUNTS['commands'] += 1
            COUNTS[f'commands in {command.state}'] += 1
            self._take_command(command.position)
        if controller.policy_due(self.now_ns):
            assert self.leave or controller.enabled
            self.requests.append(self.now_ns)
            if answers:
                self.requests.pop()
                controller.add_chunk(self._chunk('near'), self.now_ns)

    def _watch_faults(self, faults: dict[str, str]) -> None:
        """Once a fault lasted longer than auto_resume, come and go, nobody's leave is left."""
        faulty = bool(faults.keys() - {'top'})  # a camera does not matter on the way home
        calm = self.steady_ns - self.faulty_ns > CALM_NS
        if faulty:
            if calm or self.fault_since_ns is None:
                self.fault_since_ns = self.steady_ns
            self.faulty_ns = self.steady_ns
        since_ns = self.fault_since_ns if faulty else None
        spare_ns = 2 * self.robot.period_ns
        if since_ns is None or not self.leave:
            return
        if self.steady_ns - since_ns > self.auto_resume_s * 1e9 + spare_ns:
            assert not self.controller.enabled, 'it still waits for a fault to heal'
            self._take_leave()

    def _take_command(self, position: Float64Array) -> None:
        assert self.drive is not None, 'a command before anybody enabled'
        drive = self.drive
        before = drive.positions[-1] if drive.positions else drive.start
        drive.add(self._send(), position)
        if not self.controller.enabled and self.leave:
            self._take_leave()  # for a reason of its own, which is told
            assert self.controller.reason or self.controller.robot.home is not None
        if not self.leave:
            braking = self.limits.velocity / self.limits.acceleration
            slowing = np.abs(self.limits.position).max(axis=1) / self.limits.velocity + 3 * braking
            braking_s = float(np.where(self.base, slowing, braking).max())
            most = braking_s / (self.limits.period_ns * 1e-9) + SPARE_TICKS
            assert self.ticks_without_leave <= 3 * most, 'commands without leave'
        if self.follows:
            self.measured = position.copy()
        else:
            self._assert_near(position, before)

    def _send(self) -> int:
        """Return when the command of now leaves, which the controller knows roughly."""
        period_ns, left_ns = self.robot.period_ns, self.steady_ns
        if self.latency:
            usual = self.latency * self.rng.uniform(0.9, 1.2)
            first_ns = self.steady_ns + round(usual * period_ns) + self.late_ns
            self.sent_ns = first_ns + int(self.rng.choice((0, self.late_ns)))
            left_ns = int(self.rng.integers(first_ns, self.sent_ns, endpoint=True))
            self.late_ns = 0
            self.controller.was_sent(first_ns, self.sent_ns)
        return left_ns

    def _assert_near(self, position: Float64Array, before: Float64Array) -> None:
        """An arm that stands is not left behind by more than it may be, and the lag."""
        if self.robot.tracking_error is None or (position == before).all():
            return
        window_s = LAG_S + 3 * self.limits.period_ns * 1e-9
        allowed = np.array(self.robot.tracking_error) + self.limits.velocity * window_s
        allowed[self.base] = np.inf  # of positions
        braking = self.limits.velocity**2 / (2 * self.limits.acceleration)
        further = np.abs(position - self.measured) - self.away
        assert (further <= allowed + braking).all(), 'the arm is pushed ever further'

    def _chunk(self, kind: str) -> Float64Array:
        joints, rows, rng = len(self.measured), self.rows, self.rng
        low, high = self.limits.position.T
        if kind == 'nan':
            return np.full((rows, joints), rng.choice((np.nan, np.inf, -np.inf)))
        if kind == 'width':
            return np.zeros((rows, joints + 1))
        if kind == 'huge':
            return np.asarray(rng.choice((-1e300, -1e9, 0.0, 1e9, 1e300), (rows, joints)))
        if kind == 'far':
            return rng.uniform(2 * low, 2 * high, (rows, joints))
        step = self.limits.velocity * self.controller.policy_period_ns * 1e-9
        way = np.cumsum(rng.uniform(-step, step, (rows, joints)), axis=0)
        return self.near(np.asarray(self.controller.guard.sent + way))

    def _end_drive(self) -> None:
        drive, self.drive = self.drive, None
        if drive is None:
            return
        self._judge(drive)
        assert ends_at_rest(drive), 'the last command leaves the arm in motion'
        if drive.positions:
            assert not drive.positions[-1][self.base].any(), 'the base is left driving'
        self.leave, self.ticks_without_leave = False, 0

    def _judge(self, drive: Drive) -> None:
        COUNTS['drives'] += 1
        unsure_ns = send_time_known_to_ns(self.robot.period_ns) if self.latency else 0
        found = self.breaches(drive, unsure_ns)
        if self.box is not None and drive.positions:
            COUNTS['drives in a box'] += 1
            positions = np.array(drive.positions)[:, ~self.base]
            outside = int(self.box.outside(positions).sum())
            found |= {'workspace': outside} if outside else {}
        assert not found, found

    # What is another for robots, or commands, of another kind.

    def command_in_tick(
        self, measured: Float64Array | None, faults: dict[str, str], doubts: dict[str, str]
    ) -> Command | None:
        """The command of a tick."""
        return self.controller.tick(
            self.now_ns, measured, faults, doubts, steady_ns=self.steady_ns
        )

    def random_values(self, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        """The spec of the robot."""
        return random_values(rng)

    def near(self, rows: Float64Array) -> Float64Array:
        """Actions (k, J) of a policy that does as it should, made from `rows` near the arm."""
        return rows

    def breaches(self, drive: Drive, unsure_ns: int) -> dict[str, int]:
        """What the drive breaks."""
        return breaches(drive, self.limits, unsure_ns)
