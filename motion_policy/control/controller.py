# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From action chunks to commands: when the policy acts, when the arm moves, when it holds.

One `tick` per control period gives the one command to send. The controller never reads a clock
and never asks which policy it runs, so the robot, the simulation and a bag run the same object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import numpy as np

from motion_policy.control.action_buffer import ActionBuffer, Interpolation
from motion_policy.control.chunk_execution import ChunkExecution, ChunkSchedule
from motion_policy.control.command import Command, State
from motion_policy.control.grippers import Grippers
from motion_policy.control.guard import GuardChain, GuardResult, Reaction
from motion_policy.control.lookahead import Plan
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec

FRESH_PERIODS = 2  # without a new action for so many policy periods the arm holds
START_TOLERANCE = 0.01  # of a joint's range: how far outside its limits it may stand at enable
ARRIVED = 0.1  # of one control period's travel: the ramp is over when every joint is this near
SETTLING_NS = 1_000_000_000  # after the last command an arm is at rest
SETTLING_PERIODS = 2  # of travel: how far it may be behind that command
FINAL_COMMANDS = 2  # at rest before silence, so that the held position is surely the last one


class Controller:
    """idle -> enable -> ramp -> run -> disable -> idle; hold whenever something is wrong.

    hold: brake, stay, and go on by itself with a ramp once the faults are gone and a new action
    is there; with `latch_faults` only after `reset` or a new `enable`.

    Without `chunks` an action is asked for once per policy period. With it, the policy answers
    chunks of many rows, row 0 being due `first_due_ns` after the observation (default: one
    policy period), and is asked when the next one is wanted.

    A `guard` with more stages comes ready made, in place of one with the settings given here.
    """

    def __init__(
        self,
        robot: RobotSpec,
        policy_period_ns: int,
        *,
        interpolation: Interpolation = 'linear',
        ramp_speed: float = 0.25,
        latch_faults: bool = False,
        max_following_error: float | Sequence[float] | None = None,
        on_violation: Mapping[str, Reaction] | None = None,
        chunks: ChunkExecution | None = None,
        first_due_ns: int | None = None,
        guard: GuardChain | None = None,
    ) -> None:
        self.robot = robot
        self.policy_period_ns = policy_period_ns
        self.control_period_ns = robot.period_ns
        self.buffer = ActionBuffer(interpolation)
        self.guard = guard or GuardChain(
            robot, max_following_error=max_following_error, on_violation=on_violation
        )
        self.grippers = Grippers(robot)
        self.state: State = 'idle'
        self.reason = ''
        self.policy_steps = 0
        self.skipped_periods = 0
        self.dropped_chunks = 0
        self._ramp_speed = ramp_speed
        self._latch_faults = latch_faults
        self._latched = ''
        self._stopping = False
        self._final_commands = 0
        self._now_ns = 0
        self._silent_since_ns: int | None = None
        self.plan_number = 0  # another one with every change of what lies ahead
        self._ramp_target: Float64Array | None = None
        self._chunk_problem = ''
        self._fresh_until_ns = 0
        self._grid_start_ns = 0
        self._next_index = 0
        self.epoch_ns = 0  # what was seen before is not to be acted on any more
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

    @property
    def enabled(self) -> bool:
        """Whether commands may move the arm; False also while it brakes after `disable`."""
        return self.state != 'idle' and not self._stopping

    def enable(self, now_ns: int, measured: Float64Array) -> None:
        """Start from the measured position (J,), at rest; UserError when it is not usable.

        Within a second of the last command start from that one, and only once the arm is there.
        """
        if self.enabled:
            return
        if self.state == 'idle':
            self.guard.start(self._where_to_start(now_ns, self._checked_start(measured)))
            self.grippers.start(self.guard.sent)
            self._now_ns = now_ns
        self._stopping = False
        self._grid_start_ns, self._next_index = now_ns, 0
        self._restart(now_ns)
        self.state = 'ramp'

    def disable(self, now_ns: int) -> None:
        """Brake, hold, send that as the last command, then be idle."""
        if self.state == 'idle':
            return
        self._restart(now_ns)
        self._hold('disabled')
        self._stopping = True
        self._final_commands = 0

    def reset(self) -> None:
        """Forget the plan, the chunk in flight and a latched fault; go on with a new ramp."""
        if not self.enabled:
            return
        self._restart(self._now_ns + 1)
        self._hold('reset')

    def policy_due(self, now_ns: int) -> bool:
        """Return True once per policy period, when an observation of `now_ns` is to be acted on.

        Periods stand on an absolute grid from `enable`. Not due while the arm ramps, faults
        last, or the answer to the last request is still out: such a period counts as skipped.
        With `chunks`, due in those periods only in which the next chunk is wanted.
        """
        index = (now_ns - self._grid_start_ns) // self.policy_period_ns
        if not self._wants_action():
            self._next_index = max(self._next_index, index + 1)
            return False
        if index < self._next_index:
            return False
        if self.schedule is not None and not self._chunk_wanted(self.schedule, index, now_ns):
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
        return self._grid_start_ns + index * self.policy_period_ns

    def add_chunk(self, chunk: Float64Array, observation_ns: int) -> bool:
        """Take the chunk (k, J) that answers the observation of `observation_ns`.

        Return False for a chunk that is not used: from before a reset, hold or enable, entirely
        late, not finite or of the wrong width. The last two hold the arm at the next tick. An arm
        at rest does not set out for a single row that is older than the watchdog's patience.
        """
        # A clock that went back leaves answers to what is yet to come.
        ahead = observation_ns > max(self._now_ns, self._asked_ns)
        if ahead or observation_ns < self.epoch_ns or not self.enabled:
            self.dropped_chunks += 1
            return False
        self._awaiting = False
        chunk = np.asarray(chunk)
        problem = self.guard.chunk_problem(chunk)
        if problem:
            self._chunk_problem = problem
            return False
        if self.schedule is not None:
            latency_ns = self._now_ns - observation_ns + self.control_period_ns
            self.schedule.answered(len(chunk), max(0, latency_ns))
        if self.state == 'run':
            return self._extend_plan(chunk.astype(np.float64), observation_ns)
        stale = self.schedule is None and self._now_ns - observation_ns > self._patience_ns
        if stale or (self.state == 'hold' and (self._faulty or self._latched)):
            self.dropped_chunks += 1
            return False
        if self._ramp_target is None:
            lower, upper = self.guard.limiter.lower, self.guard.limiter.upper
            self._ramp_target = np.clip(chunk[0].astype(np.float64), lower, upper)
            self.state, self.reason = 'ramp', ''
            self.plan_number += 1
        return True

    def policy_failed(self, reason: str, observation_ns: int) -> None:
        """Say that the request for `observation_ns` will not be answered; the arm holds."""
        if observation_ns >= self.epoch_ns:
            self._awaiting = False
            self._chunk_problem = f'policy: {reason}'

    def plan(self) -> Plan | None:
        """Return what is followed from now on; None while the arm waits for it, or holds."""
        if self.state == 'ramp' and self._ramp_target is not None:
            buffer = ActionBuffer('hold')
            buffer.add(self._ramp_target[None], 0, 1, join_position=self._ramp_target)
            return Plan(self.plan_number, buffer, self._ramp_speed)
        if self.state != 'run' or self.buffer.covers_until_ns is None:
            return None
        return Plan(self.plan_number, copy(self.buffer))

    def tick(
        self, now_ns: int, measured: Float64Array | None, faults: Mapping[str, str]
    ) -> Command | None:
        """Return the command for `now_ns`, one control period after the last; None when idle.

        `measured` (J,) is the newest joint position; `faults` maps a stream to what is wrong.
        """
        self.look(now_ns, faults)
        return self.command(now_ns, measured)

    def look(self, now_ns: int, faults: Mapping[str, str]) -> None:
        """Take note of the time and of what is wrong: the first part of a tick.

        After it, and before the command, `policy_due` may be asked: a policy then has the time in
        which the command is made.
        """
        if self.state == 'idle':
            return
        went_back = now_ns < self._now_ns
        if went_back:
            self._grid_start_ns, self._next_index = now_ns, 0
            self._restart(now_ns)
        self._now_ns = now_ns
        if self._stopping:
            return
        problem = self._problem(faults) or ('the clock went back' if went_back else '')
        if problem:
            self._fault(problem, now_ns)

    def command(self, now_ns: int, measured: Float64Array | None) -> Command | None:
        """Return the command of a tick: its second part."""
        if self.state == 'idle':
            return None
        if self._stopping:
            return self._last_commands()
        result = self._move(now_ns, measured)
        if result.stopped_by:
            self._fault(result.stopped_by, now_ns)
        return self._command(result)

    def _checked_start(self, measured: Float64Array) -> Float64Array:
        names = self.robot.joints.names
        if measured.shape != (len(names),):
            raise UserError(f'measured position has shape {measured.shape}, expected {len(names)}')
        limits = self.robot.joints.limits.position_array()
        slack = START_TOLERANCE * (limits[:, 1] - limits[:, 0])
        for name, value, (low, high), more in zip(names, measured, limits, slack, strict=True):
            if not low - more <= value <= high + more:
                raise UserError(
                    f"joint '{name}' stands at {value:.4f}, expected within its limits "
                    f'[{low}, {high}]: move it there first'
                )
        return measured

    def _where_to_start(self, now_ns: int, measured: Float64Array) -> Float64Array:
        """Return where the arm stands, or soon after the last command that one.

        Controllers of arms keep their last command: a start elsewhere would be a jump for them,
        and an arm on its way there does not stand where it is measured.
        """
        since_ns, sent = self._silent_since_ns, self.guard.sent
        # Whoever enables may have read the clock before the last tick did.
        if since_ns is None or abs(now_ns - since_ns) > SETTLING_NS:
            return measured
        reach = self.guard.limiter.max_velocity * self.control_period_ns * 1e-9 * SETTLING_PERIODS
        far = np.flatnonzero(np.abs(measured - sent) > reach)
        if len(far):
            name, wait_ns = self.robot.joints.names[far[0]], since_ns + SETTLING_NS - now_ns
            raise UserError(
                f"joint '{name}' stands at {measured[far[0]]:.3f} and was told "
                f'{sent[far[0]]:.3f} a moment ago: it is on its way, or was moved; '
                f'ask again in {wait_ns * 1e-9:.1f} s'
            )
        return sent

    def _wants_action(self) -> bool:
        if not self.enabled or self._faulty or self._latched:
            return False
        return self.state != 'ramp' or self._ramp_target is None

    def _chunk_wanted(self, schedule: ChunkSchedule, index: int, now_ns: int) -> bool:
        if self._awaiting:
            return False
        end_ns = self.buffer.covers_until_ns
        if end_ns is None:
            return True
        return index >= schedule.next_index() or schedule.runs_out(now_ns, end_ns)

    def _restart(self, epoch_ns: int) -> None:
        """Forget everything an earlier observation has led to."""
        self.buffer.clear()
        self._ramp_target = None
        self._chunk_problem = ''
        self._latched = ''
        self._faulty = False
        self._awaiting = False
        self._asked_ns = epoch_ns
        self._all_rows_late = False
        self.epoch_ns = epoch_ns
        self.reason = ''

    def _extend_plan(self, chunk: Float64Array, observation_ns: int) -> bool:
        join_ns, join_position = self._now_ns, self.guard.sent
        if observation_ns > join_ns:
            planned = self.buffer.target(observation_ns)
            join_ns, join_position = observation_ns, join_position if planned is None else planned
        in_time = self.buffer.add(
            chunk,
            observation_ns - self._early_ns,
            self.policy_period_ns,
            join_ns=join_ns,
            join_position=join_position,
            fade_ns=self._fade_ns(join_ns - observation_ns),
        )
        self._all_rows_late = not in_time
        self.plan_number += bool(in_time)
        until_ns = self.buffer.covers_until_ns
        if in_time and until_ns is not None:
            self._fresh_until_ns = until_ns + (FRESH_PERIODS - 1) * self.policy_period_ns
        return in_time > 0

    def _fade_ns(self, late_ns: int) -> int:
        if self.schedule is None:
            return 0
        fade_ns = self.schedule.execution.fade_ns
        # From rest, the way that the lost rows would have gone is made up in as much time.
        return fade_ns if self.buffer.covers_until_ns is not None else max(fade_ns, late_ns)

    def _problem(self, faults: Mapping[str, str]) -> str:
        self._faulty = bool(faults)
        if faults:
            return '; '.join(f'{name}: {fault}' for name, fault in faults.items())
        if self._chunk_problem:
            problem, self._chunk_problem = self._chunk_problem, ''
            return problem
        silent = self._now_ns > self._fresh_until_ns
        if self.state != 'run':
            silent = self._awaiting and self._now_ns > self._asked_ns + self._patience_ns
        return self._silence(self.schedule) if silent else ''

    @property
    def _patience_ns(self) -> int:
        """How long a policy may think while there is no plan."""
        if self.schedule is None:
            return FRESH_PERIODS * self.policy_period_ns
        return self.schedule.execution.timeout_ns

    def _silence(self, schedule: ChunkSchedule | None) -> str:
        """Say how the policy has kept the arm waiting."""
        if schedule is None:
            return f'policy: no new action for {FRESH_PERIODS} periods'
        latency = f'inference takes up to {schedule.latency_ns * 1e-9:.2f} s'
        if self._all_rows_late:
            return f'policy: the last chunk was over when it came, {latency}'
        if self.buffer.covers_until_ns is not None:
            return f'policy: the plan ended before the next chunk came, {latency}'
        return f'policy: no chunk for {schedule.execution.timeout_s:g} s'

    def _fault(self, reason: str, now_ns: int) -> None:
        if self._latch_faults and not self._latched:
            self._latched = reason
        if self.state != 'hold' and (self._faulty or self.schedule is not None):
            # A chunk that was asked for before the fault is not an answer to what is there now.
            self.epoch_ns = now_ns + 1 if self._faulty else now_ns
            self._awaiting = False
        self._hold(self._latched or reason)

    def _hold(self, reason: str) -> None:
        self.state, self.reason = 'hold', reason
        self.buffer.clear()
        self._ramp_target = None

    def _move(self, now_ns: int, measured: Float64Array | None) -> GuardResult:
        period_ns = self.control_period_ns
        if self.state == 'ramp' and self._ramp_target is not None:
            target = self._decided(self._ramp_target)
            result = self.guard.apply(target, measured, period_ns, self._ramp_speed)
            if not result.stopped_by and self._arrived(target):
                self._run(now_ns)
            return result
        planned = self.buffer.target(now_ns) if self.state == 'run' else None
        if planned is None:
            return self.guard.stop(period_ns)
        return self.guard.apply(self._decided(planned), measured, period_ns)

    def _decided(self, target: Float64Array) -> Float64Array:
        limiter = self.guard.limiter
        return self.grippers.decide(target, limiter.lower, limiter.upper)

    def _arrived(self, target: Float64Array) -> bool:
        near = self.guard.limiter.max_velocity * self.control_period_ns * 1e-9 * ARRIVED
        return bool((np.abs(target - self.guard.sent) <= near).all())

    def _run(self, now_ns: int) -> None:
        self.state = 'run'
        self._ramp_target = None
        self._fresh_until_ns = now_ns + self._patience_ns
        if self.schedule is not None:
            self.epoch_ns = now_ns  # what was planned before the ramp is not to be averaged in

    def _last_commands(self) -> Command:
        result = self.guard.stop(self.control_period_ns)
        if self.guard.limiter.at_rest:
            self._final_commands += 1
        final = self._final_commands >= FINAL_COMMANDS
        command = self._command(result, final)
        if final:
            self._stopping = False
            self._silent_since_ns = self._now_ns
            self.state = 'idle'
        return command

    def _command(self, result: GuardResult, final: bool = False) -> Command:
        return Command(
            result.position.copy(),
            result.velocity.copy(),
            self.state,
            result.violations,
            self.reason,
            final,
        )
