# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The controller: from action chunks to commands; the state machine of when the arm may move.

One `tick` per control period gives the one command to send. The controller never reads a clock
and never asks which policy it runs, so the robot, the simulation and a bag run the same object.
This is the one place that decides whether the arm may move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np

from motion_policy.control.action_buffer import ActionBuffer, Interpolation
from motion_policy.control.chunk_execution import ChunkExecution, ChunkSchedule
from motion_policy.control.command import Command, ControlState
from motion_policy.control.grippers import Grippers
from motion_policy.control.guard import GuardChain, GuardResult, Reaction, all_finite
from motion_policy.control.lookahead import Plan
from motion_policy.control.monitors import EffortMonitor, TrackingMonitor, checked_home
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.control.plan_clock import PlanClock
from motion_policy.control.ramp import RampMonitor
from motion_policy.control.reasons import recurrence, told
from motion_policy.control.send_times import SendTimes
from motion_policy.control.start_position import RestMonitor, checked_start
from motion_policy.control.turns import TurnMonitor
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams.joints import Int64Array

FRESH_PERIODS = 2  # without a new action for so many policy periods the arm holds
FINAL_COMMANDS = 2  # at rest before silence, so that the held position is surely the last one
AUTO_RESUME_S = 1.0  # for longer nobody expects an arm that stands to set out by itself
CALM_NS = 1_000_000_000  # what lets an arm hold again sooner had not healed: it flickers
# Ticks that come later than both let the arm hold: it has had nothing to follow for too long.
LATE_PERIODS, LATE_NS = 5, 100_000_000
NOTHING: Mapping[str, str] = {}


class Controller:
    """disabled -> `enable` -> ramp -> run; hold, brake and disabled when something is wrong.

    | state    | commands                          | left for                                     |
    |----------|-----------------------------------|----------------------------------------------|
    | disabled | none                              | ramp by `enable` or `go_home`                |
    | ramp     | to the first target, or home      | run there; home: brake; brake if it is stuck |
    | run      | follow the plan                   | hold, brake                                  |
    | hold     | brake, then the held point        | ramp, by itself; brake after `auto_resume_s` |
    | brake    | brake, then twice where it stands | disabled                                     |

    `faults`, by name, are what may heal by itself (a camera, a late policy): hold, and within
    `auto_resume_s` on again with a ramp. That time counts from the first of holds that follow
    each other within `CALM_NS`: what flickers does not let an arm set out for ever. Every doubt
    about where the arm is or what it does ends in disabled, with the reason kept: `doubts`, a
    joint state that is lost, a tracking error, too much effort, a defect (`disable` with a
    reason). Only `enable` starts again, where the arm stands, or at its last command as long as
    it is there.

    Without `chunks` an action is asked for once per policy period. With it, the policy answers
    chunks of many rows, row 0 being due `first_due_ns` after the observation (default: one
    policy period), and is asked when the next one is wanted.

    Limits hold in the time between two commands, `steady_ns` (default: `now_ns`), which no clock
    that is set may change. A tick within half a period of the last command gives none.

    `speed` in [0, 1] slows everything down, smoothly: the plan's time goes on that much slower,
    and the velocity limits are that much lower.

    A `guard` with more stages comes ready made, in place of one with the settings given here.

    After `take_over` a person drives: what `lead` is given in a tick is followed through the same
    guards, and the plan of the policy only goes on beside it, until `give_back`, or `enable`.
    """

    def __init__(
        self,
        robot: RobotSpec,
        policy_period_ns: int,
        *,
        interpolation: Interpolation = 'linear',
        ramp_speed: float = 0.25,
        auto_resume_s: float = AUTO_RESUME_S,
        max_following_error: float | Sequence[float] | None = None,
        on_violation: Mapping[str, Reaction] | None = None,
        chunks: ChunkExecution | None = None,
        first_due_ns: int | None = None,
        guard: GuardChain | None = None,
        effort_limit: float | None = None,
        speed: float = 1.0,
    ) -> None:
        self.robot = robot
        self.policy_period_ns = policy_period_ns
        self.control_period_ns = robot.period_ns
        self.buffer = ActionBuffer(interpolation)
        self.guard = guard or GuardChain(
            robot, max_following_error=max_following_error, on_violation=on_violation
        )
        self.grippers = Grippers(robot)
        self.tracking = TrackingMonitor(robot)
        self._rest = RestMonitor(robot, np.isfinite(self.tracking.tolerance))
        self._turns = TurnMonitor(robot)
        self.effort = EffortMonitor(robot, effort_limit)
        self.state: ControlState = 'disabled'
        self.reason = ''
        self.policy_steps = 0
        self.skipped_periods = 0
        self.dropped_chunks = 0
        self.dropped_ticks = 0
        self._state_streams = frozenset(name for name, _ in robot.joint_streams('state'))
        self._ramp_speed = ramp_speed
        self._auto_resume_ns = round(auto_resume_s * NANOSECONDS_PER_S)
        self._final_commands = 0
        self._now_ns = 0
        self._hold_since_ns = 0  # the first of holds that follow each other, in steady time
        self._hold_recurs = False
        self._held_ns: int | None = None  # the last of them; None: none since the arm set out
        self._sends = SendTimes(robot.period_ns)
        self._where_sent = False  # whether the last command still says where the arm is held
        self._silent_since_ns = 0
        self.plan_number = 0  # another one with every change of what lies ahead
        self._ramp_target: Float64Array | None = None
        self.homing = False  # on the way home, where nobody looks through a camera
        self.by_hand = False  # a person drives, not the policy
        self._led_to: Float64Array | None = None  # in this tick
        self._ramp = RampMonitor(self.guard, robot.period_ns)
        self._chunk_problem = ''
        self._fresh_until_ns = 0
        self._grid_start_ns = 0
        self._next_index = 0
        self.valid_since_ns = 0  # what was seen before is not to be acted on any more
        self.schedule: ChunkSchedule | None = None
        if chunks is not None:
            self.schedule = ChunkSchedule(chunks, self.control_period_ns)
        # `hold` plays a row from its own time on, the others are there at its time.
        due_ns = policy_period_ns if first_due_ns is None else first_due_ns
        self._early_ns = 0 if interpolation == 'hold' else policy_period_ns - due_ns
        self._all_rows_late = False
        self._awaiting = False
        self._asked_ns = 0
        self._faulty = False
        self._clock = PlanClock()
        self.speed = speed

    @property
    def enabled(self) -> bool:
        """Whether commands may move the arm; False also while it brakes after `disable`."""
        return self.state not in ('disabled', 'brake')

    @property
    def speed(self) -> float:
        """The speed override, in [0, 1]; UserError for another one."""
        return self._clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not 0.0 <= speed <= 1.0:
            raise UserError(f'speed is {speed:g}, expected a number from 0 to 1')
        self._clock.speed = speed
        if self.state == 'disabled':
            self._clock.restart()

    @property
    def pace(self) -> float:
        """The speed override as it is now, on its way to `speed`."""
        return self._clock.pace

    def plan_time_ns(self, time_ns: int) -> int:
        """The time of the plan in `buffer` at a time."""
        return self._clock.at(time_ns)

    def enable(self, now_ns: int, measured: Float64Array) -> None:
        """Start at rest from the measured position (J,); UserError when it is not usable.

        Where that is near the last command, start from that one: the arm is held there, and
        stands below it by what it sags. Soon after the last command start only near it. Elsewhere
        start only an arm that stands.
        """
        if self.enabled:
            return
        self._begin(now_ns, measured)

    def go_home(self, now_ns: int, measured: Float64Array) -> None:
        """Drive from the measured position (J,) to the spec's `home` as in a ramp, then disable.

        An arm that is enabled leaves its plan for that. UserError as of `enable`, without a home,
        or for one where a guard would not let the arm be.
        """
        home = self.grippers.stay(checked_home(self.robot), np.asarray(measured))
        home = self.guard.checked_goal(home, 'home')
        if not self.enabled:
            self._begin(now_ns, measured)
        self._set_out(self._now_ns + 1)
        self.homing, self._ramp_target = True, home
        self.plan_number += 1

    def disable(self, now_ns: int, reason: str = '', *, lost: bool = False) -> None:
        """Brake, hold, send that as the last command, then be silent; `reason` is kept.

        `lost`: nobody knows any more whether the arm is held where it was sent.
        """
        if lost:
            self.forget_place()
        if not self.enabled:
            self.reason = reason or self.reason
            return
        if self.state != 'hold':
            self.grippers.stop()
        self._brake(now_ns, reason)

    def _brake(self, now_ns: int, reason: str) -> None:
        self._restart(now_ns)
        self.state, self.reason = 'brake', reason
        self._final_commands = 0

    def forget_place(self) -> None:
        """Say that the arm may have been moved by others: the next start is where it stands."""
        self._where_sent = False

    def reset(self) -> None:
        """Forget the plan, the chunk in flight and the reason of a stop; go on with a new ramp."""
        if not self.enabled:
            self.reason = ''
            self._turns.forget()
            return
        self._set_out(self._now_ns + 1)

    def take_over(self) -> None:
        """Let a person drive from the next command on; UserError while nobody may, or it homes."""
        if not self.enabled:
            raise UserError('the arm is not enabled: nobody drives it, expected ~/enable before')
        if self.homing:
            raise UserError('the arm drives home, expected ~/enable again when it is there')
        if self.by_hand:
            return
        self.by_hand, self._held_ns, self._chunk_problem = True, None, ''
        self.plan_number += 1
        if self.state == 'ramp':
            self.state, self._ramp_target = 'run', None
            self._ramp.forget()

    def give_back(self) -> None:
        """Let the policy drive again: by a ramp to what it answers to what is seen from now on."""
        if self.by_hand and self.enabled and not self.homing:
            self._set_out(self._now_ns)
        self.by_hand = False

    def lead(self, target: Float64Array) -> None:
        """Take where a person wants the arm (J,) in this tick, after `look`; see `take_over`."""
        self._chunk_problem = self.guard.chunk_problem(target[None])
        if self._chunk_problem:
            return
        self._led_to = target
        waits = self.state == 'ramp' or (self.state == 'hold' and not self._faulty)
        if self.by_hand and waits and self._ramp_target is None:
            self._ramp_target = self._ramp.target(target)
            self.state, self.reason = 'ramp', ''

    @property
    def policy_action(self) -> Float64Array | None:
        """What the policy wants now (J,), before guards; None in ramps and without a plan."""
        plan_ns = self._clock.at(self._now_ns)
        follows = self.state == 'run' or (self.by_hand and self.enabled)
        return self.buffer.target(plan_ns) if follows and plan_ns <= self._fresh_until_ns else None

    def policy_due(self, now_ns: int) -> bool:
        """Return True once per policy period, when an observation of `now_ns` is to be acted on.

        Periods stand on an absolute grid from `enable`. Not due while the arm ramps, faults
        last, or the answer to the last request is still out: such a period counts as skipped.
        With `chunks`, due in those periods only in which the next chunk is wanted.
        """
        plan_ns = self._clock.at(now_ns)
        index = (plan_ns - self._grid_start_ns) // self.policy_period_ns
        if not self._wants_action():
            self._next_index = max(self._next_index, index + 1)
            return False
        if index < self._next_index:
            return False
        if self.schedule is not None and not self._chunk_wanted(self.schedule, index, plan_ns):
            self._next_index = index + 1
            return False
        self.skipped_periods += index - self._next_index
        self._next_index = index + 1
        if self._awaiting:
            self.skipped_periods += 1
            return False
        self._awaiting = True
        self._asked_ns = now_ns
        self.policy_steps += 1
        if self.schedule is not None:
            self.schedule.asked(index)
        return True

    @property
    def next_request_ns(self) -> int:
        """Before this time `policy_due` stays false unless a stream becomes faulty."""
        index, end_ns = self._next_index, self.buffer.covers_until_ns
        undisturbed = self.state == 'run' and not self._awaiting and not self._chunk_problem
        if self.schedule is not None and undisturbed and end_ns is not None:
            runs_out_ns = end_ns - self.schedule.lead_ns - self._grid_start_ns
            first = min(self.schedule.next_index(), runs_out_ns // self.policy_period_ns)
            index = max(index, first)
        return self._clock.behind_ns + self._grid_start_ns + index * self.policy_period_ns

    def add_chunk(self, chunk: Float64Array, observation_ns: int) -> bool:
        """Take the chunk (k, J) that answers the observation of `observation_ns`.

        Return False for a chunk that is not used: from before a reset, hold or enable, entirely
        late, not finite or of the wrong width. The last two hold the arm at the next tick. An arm
        at rest does not set out for a single row that is older than the watchdog's patience.
        """
        # A clock that went back leaves answers to what is yet to come.
        ahead = observation_ns > max(self._now_ns, self._asked_ns)
        if ahead or observation_ns < self.valid_since_ns or not self.enabled or self.homing:
            self.dropped_chunks += 1
            return False
        self._awaiting = False
        chunk = np.asarray(chunk)
        problem = self.guard.chunk_problem(chunk)
        if problem:
            self._chunk_problem = '' if self.by_hand else problem
            return False
        if self.schedule is not None:
            latency_ns = self._now_ns - observation_ns + self.control_period_ns
            self.schedule.answered(len(chunk), max(0, latency_ns))
        if self.by_hand or self.state == 'run':
            return self._extend_plan(chunk.astype(np.float64), observation_ns)
        stale = self.schedule is None and self._now_ns - observation_ns > self._patience_ns
        if stale or (self.state == 'hold' and self._faulty):
            self.dropped_chunks += 1
            return False
        if self._ramp_target is None:
            self._ramp_target = self._ramp.target(chunk[0].astype(np.float64))
            self.state, self.reason = 'ramp', ''
            self.plan_number += 1
        return True

    def policy_failed(self, reason: str, observation_ns: int) -> None:
        """Say that the request for `observation_ns` will not be answered; the arm holds."""
        if observation_ns >= self.valid_since_ns:
            self._awaiting = False
            self._chunk_problem = '' if self.by_hand else f'policy: {reason}'

    def plan(self) -> Plan | None:
        """Return what is followed from now on; None while the arm waits for it, or holds."""
        if self.state == 'ramp' and self._ramp_target is not None:
            buffer = ActionBuffer('hold')
            buffer.add(self._ramp_target[None], 0, 1, join_position=self._ramp_target)
            return Plan(self.plan_number, buffer, self._ramp_speed * self._clock.pace)
        if self.by_hand or self.state != 'run' or self.buffer.covers_until_ns is None:
            return None
        now_ns = self._now_ns
        return Plan(
            self.plan_number, copy(self.buffer), self._clock.pace, now_ns, self._clock.at(now_ns),
            self._clock.pace,
        )  # fmt: skip

    def tick(
        self,
        now_ns: int,
        measured: Float64Array | None,
        faults: Mapping[str, str],
        doubts: Mapping[str, str] = NOTHING,
        *,
        effort: Float64Array | None = None,
        steady_ns: int | None = None,
        age_ns: int | Int64Array = 0,
    ) -> Command | None:
        """Return the command for `now_ns`; None when disabled, or too soon after the last one.

        Args:
            now_ns: the time on the clock of observations and plans.
            measured: newest joint positions (J,); None when they are lost.
            faults: what is wrong, by stream or source, that may heal by itself; that of a joint
                state may not.
            doubts: likewise, what must end in `disabled`.
            effort: newest joint efforts (J,) [N m or N]; None where they are not reported.
            steady_ns: the time on a clock that nobody sets.
            age_ns: how long ago that was measured; (J,) where joints are measured apart.
        """
        self.look(now_ns, faults, doubts, steady_ns=steady_ns)
        return self.command(now_ns, measured, effort=effort, steady_ns=steady_ns, age_ns=age_ns)

    def look(
        self,
        now_ns: int,
        faults: Mapping[str, str],
        doubts: Mapping[str, str] = NOTHING,
        *,
        steady_ns: int | None = None,
    ) -> None:
        """Take note of the time and of what is wrong: the first part of a tick.

        After it, and before the command, `policy_due` may be asked: a policy then has the time in
        which the command is made.
        """
        doubts, self._led_to = {**doubts, **self._lost(faults)}, None
        if doubts and not self.enabled:
            self.forget_place()
        if self.state == 'disabled':
            self._now_ns = now_ns
            return
        back_ns = self._now_ns - now_ns
        if 0 < back_ns <= self._late_ns:
            now_ns, back_ns = self._now_ns, 0  # corrected a little: time stands meanwhile
        self.plan_number += self._clock.advance(now_ns, max(0, -back_ns))
        self._now_ns = now_ns
        if not self.enabled:
            return
        set_back = back_ns > 0 and steady_ns is None
        steady_ns = now_ns if steady_ns is None else steady_ns
        if back_ns > 0:
            self._grid_start_ns, self._next_index = self._clock.at(now_ns), 0
            self._restart(now_ns)
            if set_back:  # with the time between two commands
                self._sends.make(steady_ns - self.control_period_ns)
        if doubts:
            self.disable(now_ns, told(doubts), lost=True)
            return
        problem = self._problem(faults) or ('the clock went back' if back_ns > 0 else '')
        if problem:
            self._fault(problem, now_ns, steady_ns)
        elif self.state == 'hold':
            self._go_on_holding(now_ns, steady_ns)
            if self.homing:
                self.state, self.reason = 'ramp', ''

    def command(
        self,
        now_ns: int,
        measured: Float64Array | None,
        *,
        effort: Float64Array | None = None,
        steady_ns: int | None = None,
        age_ns: int | Int64Array = 0,
    ) -> Command | None:
        """Return the command of a tick: its second part. `measured` (J,) is `age_ns` old."""
        self._rest.look(measured)
        if self.state == 'disabled':
            return None
        steady_ns = now_ns if steady_ns is None else steady_ns
        dt_ns = self._sends.since_last_ns(steady_ns)
        if 2 * dt_ns < self.control_period_ns:
            self.dropped_ticks += 1
            return None
        self._sends.make(steady_ns)
        if dt_ns > self._late_ns:
            self.guard.limiter.was_silent(dt_ns)
        if self.enabled:
            doubt = self._doubt(measured, effort, age_ns)
            if doubt:
                self.disable(now_ns, doubt, lost=True)
        if not self.enabled:
            return self._last_commands(dt_ns)
        if dt_ns > self._late_ns:
            limit = f'limit {self._late_ns * 1e-9:.2f} s'
            late = f'control tick: {dt_ns * 1e-9:.2f} s after the last command, {limit}'
            self._fault(late, now_ns, steady_ns - dt_ns)  # it has held since the last command
        result = self._move(self._now_ns, measured, dt_ns)
        if result.stopped_by:
            self._fault(result.stopped_by, now_ns, steady_ns)
        return self._command(result)

    def rests_at(self, position: Float64Array) -> None:
        """Say where (J,) the arm is held after the last command, where that is another place.

        A controller that plays trajectories holds the end of the last one.
        """
        if self.state == 'disabled':
            self.guard.limiter.start(position)

    def was_sent(self, first_ns: int, last_ns: int) -> None:
        """Say that the last command left at some time from `first_ns` to `last_ns` (steady)."""
        longer_ns = self._sends.sent(first_ns, last_ns)
        if longer_ns:
            self.guard.limiter.took_longer(longer_ns)

    def _begin(self, now_ns: int, measured: Float64Array) -> None:
        if self.state == 'brake' and (self.reason or not self._where_sent):
            why = f': {self.reason}' if self.reason else ''
            raise UserError(f'the arm still brakes{why}; ask again when it stands')
        position = checked_start(self.robot, measured)
        if self.state == 'disabled':
            self._turns.start(position)
            silent_ns = now_ns - self._silent_since_ns if self._where_sent else None
            position = self._rest.start(position, np.asarray(measured), self.guard.sent, silent_ns)
            self.guard.start(position)
            self.grippers.start(position)
            self.tracking.start(position)
            self._now_ns = now_ns
            self._sends.restart()
            self._where_sent = True
        self._clock.restart()
        self._grid_start_ns, self._next_index = now_ns, 0
        self.by_hand = False
        self._set_out(now_ns)

    def _set_out(self, valid_since_ns: int) -> None:
        """Somebody asks the arm to move."""
        self._restart(valid_since_ns)
        self.state = 'ramp'
        self._held_ns = None
        self._ramp.forget()

    def _doubt(
        self, measured: Float64Array | None, effort: Float64Array | None, age_ns: int | Int64Array
    ) -> str:
        """Why the arm must not move on, by what is measured; '' if it may."""
        if measured is None:
            return 'joint state: lost'
        if not all_finite(measured):
            return 'joint state: the measured position holds NaN or infinity'
        turned = self._turns.check(measured)
        return turned or self.tracking.check(measured, age_ns) or self.effort.check(effort)

    def _lost(self, faults: Mapping[str, str]) -> dict[str, str]:
        """Those of `faults` that are of a joint state."""
        return {name: fault for name, fault in faults.items() if name in self._state_streams}

    def _wants_action(self) -> bool:
        if not self.enabled or self._faulty or self.homing or not self._clock.pace:
            return False
        return self.by_hand or self.state != 'ramp' or self._ramp_target is None

    def _chunk_wanted(self, schedule: ChunkSchedule, index: int, plan_ns: int) -> bool:
        if self._awaiting:
            return False
        end_ns = self.buffer.covers_until_ns
        if end_ns is None:
            return True
        return index >= schedule.next_index() or schedule.runs_out(plan_ns, end_ns)

    def _restart(self, valid_since_ns: int) -> None:
        """Forget everything an earlier observation has led to."""
        self.buffer.clear()
        self._ramp_target = None
        self.homing = False
        self._chunk_problem = ''
        self._faulty = False
        self._awaiting = False
        self._asked_ns = valid_since_ns
        self._all_rows_late = False
        self.valid_since_ns = valid_since_ns
        self.reason = ''

    def _extend_plan(self, chunk: Float64Array, observation_ns: int) -> bool:
        observed_ns = self._clock.at(observation_ns)
        join_ns, join_position = self._clock.at(self._now_ns), self.guard.sent
        planned = self.buffer.target(max(join_ns, observed_ns))
        predicted = chunk[0] if planned is None else planned
        if self.by_hand:  # where the arm is says nothing of what the policy wants
            join_position = predicted
        if observed_ns > join_ns:
            join_ns, join_position = observed_ns, join_position if planned is None else planned
        join_position = self.grippers.as_predicted(join_position, predicted)
        if planned is not None:  # what was sent of a velocity is less under a speed override
            are_velocities = self.guard.limiter.are_velocities
            join_position = np.where(are_velocities, planned, join_position)
        in_time = self.buffer.add(
            chunk,
            observed_ns - self._early_ns,
            self.policy_period_ns,
            join_ns=join_ns,
            join_position=join_position,
            fade_ns=0
            if self.schedule is None
            else self.schedule.fade_ns(
                join_ns - observed_ns, planned=self.buffer.covers_until_ns is not None
            ),
        )
        self._all_rows_late = not in_time
        self.plan_number += bool(in_time)
        until_ns = self.buffer.covers_until_ns
        if in_time and until_ns is not None:
            self._fresh_until_ns = until_ns + (FRESH_PERIODS - 1) * self.policy_period_ns
        return in_time > 0

    def _problem(self, faults: Mapping[str, str]) -> str:
        if self.homing:
            cameras = self.robot.image_topics
            faults = {name: what for name, what in faults.items() if name not in cameras}
        self._faulty = bool(faults)
        if faults:
            return told(faults)
        if self.homing:
            return ''
        if self._chunk_problem:
            problem, self._chunk_problem = self._chunk_problem, ''
            return problem
        if self.by_hand:
            return ''
        silent = self._clock.at(self._now_ns) > self._fresh_until_ns
        if self.state != 'run':
            silent = self._awaiting and self._now_ns > self._asked_ns + self._patience_ns
        return self._silence() if silent else ''

    @property
    def _late_ns(self) -> int:
        return max(LATE_NS, LATE_PERIODS * self.control_period_ns)

    @property
    def _patience_ns(self) -> int:
        """How long a policy may infer while there is no plan."""
        if self.schedule is None:
            return FRESH_PERIODS * self.policy_period_ns
        return self.schedule.execution.timeout_ns

    def _silence(self) -> str:
        """Say how the policy has kept the arm waiting."""
        if self.schedule is None:
            return f'policy: no new action for {FRESH_PERIODS} periods'
        planned = self.buffer.covers_until_ns is not None
        return self.schedule.silence(planned=planned, late=self._all_rows_late)

    def _fault(self, reason: str, now_ns: int, steady_ns: int) -> None:
        """Hold for what may heal by itself."""
        if self.state != 'hold':
            self.grippers.stop()
            self._hold_recurs = self._held_ns is not None and steady_ns - self._held_ns <= CALM_NS
            if not self._hold_recurs:
                self._hold_since_ns = steady_ns
            if self._faulty or self.schedule is not None:
                # A chunk that was asked for before is not an answer to what is there now.
                self.valid_since_ns = now_ns + 1 if self._faulty else now_ns
                self._awaiting = False
        self.state, self.reason = 'hold', reason
        self.buffer.clear()
        if not self.homing:
            self._ramp_target = None
        self._go_on_holding(now_ns, steady_ns)

    def _go_on_holding(self, now_ns: int, steady_ns: int) -> None:
        self._held_ns = steady_ns
        since_first_ns = steady_ns - self._hold_since_ns
        if since_first_ns >= self._auto_resume_ns:
            again = recurrence(CALM_NS, since_first_ns, self._auto_resume_ns)
            self.disable(now_ns, self.reason + (again if self._hold_recurs else ''))

    def _move(self, now_ns: int, measured: Float64Array | None, dt_ns: int) -> GuardResult:
        pace = self._clock.pace
        if self.state == 'ramp' and self._ramp_target is not None and pace:
            target = self._decided(self._ramp_target)
            result = self.guard.apply(target, measured, dt_ns, self._ramp_speed * pace)
            if result.stopped_by:
                return result
            if self._ramp.arrived(target):
                self._arrive(now_ns)
            elif self._ramp.stuck(self._sends.last_ns or 0):
                what = 'home' if self.homing else 'first target'
                self.disable(now_ns, self._ramp.why_stuck(target, result, what))
            return result
        self._ramp.forget()
        planned = None
        if self.state == 'run' and pace:
            planned = self._led_to if self.by_hand else self.buffer.target(self._clock.at(now_ns))
        if planned is None:
            return self.guard.stop(dt_ns)
        return self.guard.apply(self._decided(planned), measured, dt_ns, pace)

    def _decided(self, target: Float64Array) -> Float64Array:
        if self.homing:
            return target
        limiter = self.guard.limiter
        ramping = self.state == 'ramp'
        decided = self.grippers.decide(target, limiter.lower, limiter.upper, ramping)
        return self.grippers.stay(decided, self.guard.sent) if ramping else decided

    def _arrive(self, now_ns: int) -> None:
        if self.homing:
            if self.guard.limiter.at_rest:
                self._brake(now_ns, '')
            return
        self.state = 'run'
        self._ramp_target = None
        self._fresh_until_ns = self._clock.at(now_ns) + self._patience_ns
        if self.schedule is not None:
            # What was planned before the ramp is not to be averaged in.
            self.valid_since_ns = now_ns

    def _last_commands(self, dt_ns: int) -> Command:
        result = self.guard.stop(dt_ns)
        if self.guard.limiter.at_rest:
            self._final_commands += 1
        final = self._final_commands >= FINAL_COMMANDS
        command = self._command(result, final)
        if final:
            self._silent_since_ns = self._now_ns
            self.state = 'disabled'
        return command

    def _command(self, result: GuardResult, final: bool = False) -> Command:
        self.tracking.sent(result.position)
        position, velocity = result.position.copy(), result.velocity.copy()
        return Command(position, velocity, self.state, result.violations, self.reason, final)
