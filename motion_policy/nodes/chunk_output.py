# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes whole plans as trajectories, for controllers that interpolate them.

Rule: whenever the arm has to hold, a trajectory that brakes replaces the one under way at once,
and nothing that was planned before is sent after it.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher

from motion_policy.control import Command, Controller, GuardChain
from motion_policy.control.lookahead import Lookahead, Plan, Trajectory
from motion_policy.control.motion_limiter import Float64Array
from motion_policy.errors import UserError
from motion_policy.nodes.commands import CommandPublishers
from motion_policy.nodes.parameters.arm import MAX_SEND_AHEAD_S, SEND_AHEAD_S
from motion_policy.robot import RobotSpec

# So many periods of travel from where its last trajectory ended, the arm goes on from there: soon
# after it, when the arm may still be on its way, and later, when somebody may have moved it.
NEAR_SOON, NEAR_LATER, SOON_NS = 2.0, 0.25, 1_000_000_000
LEAD_MARGIN = 1.5  # times what the last computation took, the next one may take
BRAKE_ATTEMPTS = 3  # to send a brake before its beginning; then late
SPARE_PERIODS = 0.5  # before its beginning a trajectory is sent: its way takes time, too
ERROR_PERIOD_S = 5.0
STAYS_NS = 1_000_000_000  # a late message that ends in the past would be refused: it stays there
# Beyond the way to rest, so that there is time to send what follows: at least, and usually.
RESENDING_S, RESENDING_PERIODS, USUAL_SHARE = 0.2, 10, 3
NANOSECONDS_PER_S = 1_000_000_000

Messages = list[tuple[Publisher, bytes]]


def send_ahead_ns(node: Node, robot: RobotSpec, asked_s: float) -> int | None:
    """How far ahead trajectories may reach, if `chunk.send_ahead` is `asked_s`; None: to the end
    of the plan.

    UserError if that is too short for the arm to reach its full speed and to brake again.
    """
    if not any(topic.send == 'chunk' for topic in robot.joints.command):
        return None
    limits = robot.joints.limits
    brake_s = float((limits.velocity_array() / limits.acceleration_array()).max())
    resending_s = max(RESENDING_S, RESENDING_PERIODS / robot.rate)
    takes = f"'{robot.name}' takes {brake_s:.2f} s to brake from full speed"
    ahead_s = asked_s
    if asked_s < 0:
        ahead_s = max(SEND_AHEAD_S, brake_s + USUAL_SHARE * resending_s)
    if ahead_s > MAX_SEND_AHEAD_S:
        raise UserError(
            f'chunk.send_ahead: {takes}, expected that trajectories reach at most '
            f'{MAX_SEND_AHEAD_S:g} s ahead: give joints.limits with less velocity or more '
            'acceleration, or 0 for all that is planned'
        )
    if ahead_s and ahead_s < brake_s + resending_s:
        raise UserError(
            f'chunk.send_ahead is {ahead_s:g} s, expected 0, -1 or at least '
            f'{brake_s + resending_s:.2f} s: {takes}'
        )
    reach = f'{ahead_s:.2f} s ahead' if ahead_s else 'to the end of the plan'
    node.get_logger().info(f'trajectories reach {reach}: {takes}')
    return round(ahead_s * NANOSECONDS_PER_S) if ahead_s else None


class ChunkOutput:
    """The trajectories of one arm; the tick thread says what happens, another one computes.

    `guard` is a chain of its own, in which nothing is counted for the diagnostics. No trajectory
    reaches further than `ahead_ns` from when it is sent; what lies beyond is sent in time.
    `before_sending(positions)` sees each one (n, J) before it goes out. `prepare_thread` is called
    in the thread that computes and sends them.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        publishers: CommandPublishers,
        guard: GuardChain,
        ahead_ns: int | None = None,
        before_sending: Callable[[Float64Array], None] = lambda positions: None,
        prepare_thread: Callable[[], None] = lambda: None,
    ) -> None:
        self._node = node
        self._controller = controller
        self._publishers = publishers
        self._ahead_ns = ahead_ns
        self._before_sending = before_sending
        self._prepare_thread = prepare_thread
        playing = [t.joints for t in controller.robot.joints.command if t.send == 'chunk']
        played = {joint for joints in playing for joint in joints}
        self._plays = np.array([name in played for name in controller.robot.joints.names])
        self._lookahead = Lookahead(controller.robot, guard)
        self._period_ns = controller.control_period_ns
        self._spare_ns = round(SPARE_PERIODS * self._period_ns)
        self._lead_ns = self._period_ns
        self._reach = guard.limiter.max_velocity * self._period_ns * 1e-9
        self._changed = threading.Condition()
        self._asked: Plan | None = None
        self._request = 0  # another one with every plan and every brake
        self._answered = 0  # the request that was sent last
        self._dropped = 0  # up to this request nothing is sent any more: the arm braked since
        self._number: int | None = None  # of the plan that is followed; None: the arm rests
        self._idle = True
        self._closed = False
        self._thread = threading.Thread(target=self._run, name='lookahead', daemon=True)
        self._thread.start()

    def follow(self, now_ns: int, command: Command | None, *, clocks_agree: bool = True) -> None:
        """Take what was decided in a tick; called in the tick thread.

        Unless `clocks_agree`, the arm is braked by the clock of nobody, as soon as that is heard.
        """
        if command is None:
            return
        with self._changed:
            if self._idle:
                self._rest(now_ns, command)
            # Where the arm will be measured is not known ahead: that stage can only stop it.
            blocked = 'following_error' in command.violations
            plan = None if blocked else self._controller.plan()
            if plan is None:
                self._brake(now_ns, at_once=not clocks_agree)
            elif plan.number != self._number or self._runs_out(now_ns):
                self._ask(plan)
            self._idle = command.final
            if command.final:
                self._controller.rests_at(self._held(command))
            sent = self._lookahead.sent
            if sent is not None:
                self._controller.tracking.sent(sent.position_at(now_ns))

    def shift(self, by_ns: int) -> None:
        """Take part in a jump of the clock."""
        with self._changed:
            self._lookahead.shift(by_ns)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _rest(self, now_ns: int, command: Command) -> None:
        """Begin where the last trajectory ended, unless the arm is elsewhere.

        A tick that was missed lets the commands lag behind the trajectory, which the arm follows.
        """
        position, sent = command.position, self._lookahead.sent
        if sent is not None:
            end = sent.points[-1].position
            near = NEAR_SOON if now_ns - sent.end_ns <= SOON_NS else NEAR_LATER
            if (np.abs(end - position) <= near * self._reach).all():
                position = end
        self._lookahead.rest(now_ns, position)
        self._number, self._asked = None, None

    def _held(self, command: Command) -> Float64Array:
        """Where the arm is held (J,): at the end of its trajectory, or at its last command."""
        sent = self._lookahead.sent
        if sent is None:
            return command.position
        return np.where(self._plays, sent.points[-1].position, command.position)

    def _runs_out(self, now_ns: int) -> bool:
        """Whether to send more of a plan: half of what was sent is played, or hardly more is
        left than computing takes.
        """
        sent = self._lookahead.sent
        if sent is None or sent.brakes_ns is None or self._request != self._answered:
            return False
        half_ns = (sent.brakes_ns - sent.start_ns) // 2
        return sent.brakes_ns - now_ns <= max(half_ns, 2 * self._lead_ns)

    def _ask(self, plan: Plan) -> None:
        self._request += 1
        self._asked, self._number = plan, plan.number
        self._changed.notify()

    def _brake(self, now_ns: int, at_once: bool) -> None:
        if self._number is None:
            return
        self._request += 1
        self._dropped = self._request
        self._asked, self._number = None, None
        self._publish(*self._brake_messages(now_ns, at_once))

    def _brake_messages(self, now_ns: int, at_once: bool) -> tuple[Float64Array, Messages]:
        """Brake from the next point on, or from a later one when that is over before it is sent.

        The controller counts from when it gets it, which is later than the tick's own time.
        """
        clock, before = self._node.get_clock(), self._lookahead.sent
        now_ns, lead_ns = max(now_ns, clock.now().nanoseconds), 0
        for _ in range(BRAKE_ATTEMPTS):
            self._lookahead.sent = before
            new = self._lookahead.braked(now_ns + lead_ns)
            whole = self._lookahead.take(new, now_ns)
            outgoing = self._messages(whole, now_ns, at_once=at_once, stays=True)
            later_ns = max(now_ns, clock.now().nanoseconds)
            if later_ns < new.start_ns:
                break
            now_ns, lead_ns = later_ns, later_ns - now_ns
        return outgoing

    def _send_in_time(self, new: Trajectory, now_ns: int) -> bool:
        """Send a trajectory, but not when its beginning is near or over: the controller would be
        beyond it when it hears of it, and hurry to the next point.
        """
        before = self._lookahead.sent
        outgoing = self._messages(self._lookahead.take(new, now_ns), now_ns)
        if self._node.get_clock().now().nanoseconds + self._spare_ns > new.start_ns:
            self._lookahead.sent = before
            return False
        self._publish(*outgoing)
        return True

    def _messages(
        self, whole: Trajectory, now_ns: int, *, at_once: bool = False, stays: bool = False
    ) -> tuple[Float64Array, Messages]:
        since_ns = now_ns if at_once else self._lookahead.back_ns(now_ns)
        times_ns, positions, velocities = whole.points_after(since_ns)
        until_ns = now_ns + (self._ahead_ns or STAYS_NS)
        if stays and until_ns > times_ns[-1]:
            times_ns = np.append(times_ns, until_ns)
            positions, velocities = (
                np.concatenate((rows, rows[-1:])) for rows in (positions, velocities)
            )
        return positions, self._publishers.trajectories(
            positions, velocities, times_ns, since_ns, at_once=at_once
        )

    def _publish(self, positions: Float64Array, messages: Messages) -> None:
        self._before_sending(positions)
        for publisher, message in messages:
            publisher.publish(message)

    def _run(self) -> None:
        self._prepare_thread()
        while True:
            with self._changed:
                while self._asked is None and not self._closed:
                    self._changed.wait()
                if self._closed or self._asked is None:
                    return
                plan, self._asked = self._asked, None
                request = self._request
            try:
                self._look_ahead(plan, request)
            except Exception:
                if not self._node.context.ok():
                    return
                self._node.get_logger().error(
                    f'no trajectory: {traceback.format_exc()}',
                    throttle_duration_sec=ERROR_PERIOD_S,
                )

    def _look_ahead(self, plan: Plan, request: int) -> None:
        """Compute and send; again if it took so long that the arm is at its beginning.

        A plan that changed meanwhile is sent all the same, and the new one next: plans may change
        more often than one is computed, and the arm would never be sent any.
        """
        clock = self._node.get_clock()
        while request > self._dropped and not self._closed:
            begin_ns = clock.now().nanoseconds
            end_ns = None if self._ahead_ns is None else begin_ns + self._ahead_ns
            trajectory = self._lookahead.planned(
                plan, begin_ns + self._lead_ns, lambda: time.sleep(0), end_ns
            )
            with self._changed:
                if request <= self._dropped:
                    return
                in_time = self._send_in_time(trajectory, clock.now().nanoseconds)
                took_ns = max(0, clock.now().nanoseconds - begin_ns)
                self._lead_ns = max(self._period_ns, self._spare_ns + round(LEAD_MARGIN * took_ns))
                if in_time:
                    self._answered = request
                    return
                if self._asked is not None:
                    return
