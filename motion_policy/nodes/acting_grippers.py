# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers that an action or a service moves: decisions of the controller become goals.

Rule: one goal per decision, the newest one; the tick thread only leaves the decisions here, and
everything else is done in the executor's thread, where nothing is waited for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from action_msgs.msg import GoalStatus
from rclpy.node import Node

from motion_policy.control import Controller
from motion_policy.control.grippers import Decided
from motion_policy.errors import UserError
from motion_policy.nodes import diagnostics
from motion_policy.nodes.executor import take_answer
from motion_policy.nodes.gripper_interface import KEPT_GOALS, ActionServer, SwitchServer
from motion_policy.robot import GripperSpec, RobotSpec
from motion_policy.robot.gripper import GripperAction

LOOK_PERIOD_S = 0.05
ANSWER_S = 2.0  # in which a server answers a goal, and a goal that is cancelled is over
FINISH_S, FINISH_PERIOD_S = 2.0, 0.01  # of waiting, when a node ends
MOST_S = 2 * LOOK_PERIOD_S  # that count from one look to the next: the process may stand still
ENDS = {
    GoalStatus.STATUS_SUCCEEDED: 'succeeded',
    GoalStatus.STATUS_CANCELED: 'was cancelled',
    GoalStatus.STATUS_ABORTED: 'was aborted',
}
ERRORS = ('error', 'message', 'error_string', 'error_msg')  # fields of a result with the reason


@dataclass
class Attempt:
    """A goal that was sent and is not over; `age_s` counts from its last change."""

    opens: bool
    server: ActionServer | SwitchServer
    identity: Any = None
    state: Literal['asked', 'under way', 'overdue', 'cancelled'] = 'asked'
    cancelled: bool = False
    age_s: float = 0.0

    @property
    def does(self) -> str:
        """What it is for."""
        return 'opening' if self.opens else 'closing'


class ActingGripper:
    """One gripper.

    Attributes:
        failure: why the arm must hold, until `forgive`; ''.
        absence: that nobody serves it; ''.
    """

    def __init__(
        self, node: Node, name: str, spec: GripperSpec, joint: str, on_others: Callable[[], None]
    ) -> None:
        interface = spec.interface
        assert interface is not None
        self.name = name
        self._log = node.get_logger()
        self._reaction = interface.on_failure
        self._timeout_s = interface.timeout
        self._replaces = isinstance(interface, GripperAction) and interface.supersede == 'replace'
        self._servers: dict[bool, ActionServer | SwitchServer] = {}
        self._goals: dict[bool, Any] = {True: True, False: False}
        try:
            if isinstance(interface, GripperAction):
                told = joint, on_others, deque[bytes](maxlen=KEPT_GOALS)
                opening = closing = ActionServer(node, interface, *told)
                self._servers = {True: opening, False: closing}
                if interface.closing is not None:
                    closing = ActionServer(node, interface.closing, *told)
                    self._servers[False] = closing
                self._goals = {True: opening.goal(spec.open), False: closing.goal(spec.closed)}
                if opening is closing and self._goals[True] == self._goals[False]:
                    raise UserError(
                        f"'{interface.position}' is {interface.value(spec.open):g} to open and "
                        f'{interface.value(spec.closed):g} to close, the same when rounded, '
                        'expected a scale that tells them apart'
                    )
            else:
                switch = SwitchServer(node, interface)
                self._servers = {True: switch, False: switch}
        except UserError as error:
            self.destroy()
            raise UserError(f'joints.grippers.{name}: {error}') from None
        self._handled = 0  # the number of the decision that was followed last
        self._attempt: Attempt | None = None
        self._goals_sent = 0
        self._result = ''
        self.failure = ''
        self.absence = ''

    @property
    def fault(self) -> str:
        """Why the arm must hold now; ''."""
        return self.failure or (self.absence if self._reaction == 'hold' else '')

    def problems(self) -> list[str]:
        """Why the arm must not be enabled."""
        servers = {id(server): server for server in self._servers.values()}.values()
        lines = [
            server.unfit() or ('' if server.ready else f'nobody serves {server}')
            for server in servers
        ]
        return [*(f'gripper {self.name}: {line}' for line in lines if line), *self.others()]

    def others(self) -> list[str]:
        """Say where goals of other nodes are under way."""
        servers = {id(server): server for server in self._servers.values()}.values()
        lines = [server.others() for server in servers if isinstance(server, ActionServer)]
        return [f'gripper {self.name}: {line}' for line in lines if line]

    def forgive(self) -> None:
        """Forget what failed."""
        self.failure = ''
        self._watch_servers()  # the last look may be from before one came

    def look(self, decided: Decided, moving: bool, passed_s: float) -> None:
        """Follow what was decided; `passed_s` went by since the last look.

        Unless the arm is `moving` only what its stop has decided is followed.
        """
        self._watch_servers()
        if self._attempt is not None:
            self._attempt.age_s += passed_s
            self._watch(self._attempt)
        if decided.number != self._handled and self._follow(decided.decision, moving):
            self._handled = decided.number

    def is_stopping(self, decided: Decided) -> bool:
        """Whether what a stop of the arm has decided has not reached the server yet."""
        if decided.decision not in ('cancel', 'release'):
            return False
        attempt = self._attempt
        waits = attempt is not None and attempt.state in ('asked', 'cancelled')
        return waits or decided.number != self._handled

    def take_answers(self) -> None:
        """Take what servers have answered, while nobody spins."""
        for server in self._servers.values():
            for client in server.clients:
                take_answer(client)

    def values(self, decided: Decided) -> diagnostics.Values:
        """What `/diagnostics` says of it."""
        attempt = self._attempt
        return {
            f'{self.name} decided': decided.decision,
            f'{self.name} goal': f'{attempt.does}, {attempt.state}' if attempt else 'none',
            f'{self.name} goals sent': self._goals_sent,
            f'{self.name} last result': self._result,
            f'{self.name} fault': self.failure or self.absence,
        }

    def destroy(self) -> None:
        """Remove it from the node; a goal under way goes on."""
        for server in {id(server): server for server in self._servers.values()}.values():
            server.destroy()
        self._servers = {}

    def _watch_servers(self) -> None:
        absent = [server for server in self._servers.values() if not server.ready]
        absence = f'nobody serves {absent[0]}' if absent else ''
        if absence and not self.absence and self._goals_sent:
            self._log.warning(f'gripper {self.name}: {absence}')
        self.absence = absence

    def _follow(self, decision: str, moving: bool) -> bool:
        """Whether nothing is left to be done for a decision."""
        attempt = self._attempt
        if decision == 'none':
            return True
        if decision == 'cancel':
            if attempt is not None:
                self._cancel(attempt)
            return True
        if (self.failure or not moving) and decision != 'release':
            return False  # when the arm goes on
        opens = decision != 'closed'
        if attempt is None:
            self._send(opens)
            return True
        if attempt.opens == opens and not attempt.cancelled and attempt.state != 'overdue':
            return True
        if attempt.state == 'asked':
            return False  # it is not known yet what there is to replace
        if self._replaces and not attempt.cancelled:
            self._send(opens)
            return True
        self._cancel(attempt)
        return False

    def _send(self, opens: bool) -> None:
        server = self._servers[opens]
        self._attempt = None
        if not server.ready:
            self._fail(f'not {"opened" if opens else "closed"}: nobody serves {server}')
            return
        attempt = self._attempt = Attempt(opens, server)
        self._goals_sent += 1
        goal = self._goals[opens]
        attempt.identity = server.send(goal, lambda answer: self._take_answer(attempt, answer))

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.cancelled or not isinstance(attempt.server, ActionServer):
            return
        attempt.cancelled = True
        attempt.server.cancel(attempt.identity)
        if attempt.state != 'asked':
            attempt.state, attempt.age_s = 'cancelled', 0.0

    def _watch(self, attempt: Attempt) -> None:
        server, does = attempt.server, attempt.does
        if not server.ready:
            self._attempt = None
            self._fail(f'{does}: {server} went away with its goal under way')
            return
        waits_s = ANSWER_S if isinstance(server, ActionServer) else self._timeout_s
        if attempt.state == 'asked' and attempt.age_s > waits_s:
            self._attempt = None
            self._fail(f'{does}: no answer of {server} within {waits_s:g} s')
        elif attempt.state == 'under way' and attempt.age_s > self._timeout_s:
            attempt.state = 'overdue'  # what it does is not known, so it is the one to supersede
            self._fail(f'{does}: no result of {server} within {self._timeout_s:g} s')
        elif attempt.state == 'cancelled' and attempt.age_s > ANSWER_S:
            self._attempt = None
            self._fail(f'{does}: cancelled, but not over after {ANSWER_S:g} s: {server}')

    def _take_answer(self, attempt: Attempt, answer: Any) -> None:
        if isinstance(attempt.server, SwitchServer):
            if attempt is self._attempt:
                self._attempt = None
                self._end(attempt, GoalStatus.STATUS_SUCCEEDED, answer)
            return
        if attempt is not self._attempt:
            if answer.accepted:
                attempt.server.cancel(attempt.identity)
                self._log.warning(
                    f'gripper {self.name}: {attempt.server} accepted a goal when nobody waited '
                    'for it any more: cancelled'
                )
            return
        if not answer.accepted:
            self._attempt = None
            self._fail(f'{attempt.does}: {attempt.server} rejected the goal')
            return
        attempt.state, attempt.age_s = 'under way', 0.0
        attempt.server.result(attempt.identity, lambda result: self._take_result(attempt, result))
        if attempt.cancelled:  # before it was accepted
            attempt.cancelled = False
            self._cancel(attempt)

    def _take_result(self, attempt: Attempt, answer: Any) -> None:
        if attempt is self._attempt:
            self._attempt = None
            self._end(attempt, answer.status, answer.result)

    def _end(self, attempt: Attempt, status: int, result: Any) -> None:
        stalled = bool(getattr(result, 'stalled', False))
        told = next(filter(None, (str(getattr(result, key, '')) for key in ERRORS)), '')
        done = 'opened' if attempt.opens else 'closed'
        short = not getattr(result, 'reached_goal', True)
        how = ', stalled' if stalled else ', short of its goal' if short else ''
        if status == GoalStatus.STATUS_CANCELED and attempt.cancelled:
            self._tell(f'{attempt.does}: cancelled')
        elif status == GoalStatus.STATUS_SUCCEEDED and getattr(result, 'success', True):
            self._tell(f'{done}{how}', doubtful=short and (attempt.opens or not stalled))
        elif status == GoalStatus.STATUS_ABORTED and stalled:
            # So a gripper ends that has an object between its fingers.
            self._tell(f'{attempt.does} ended, stalled', doubtful=attempt.opens)
        else:
            ended = ENDS.get(status, f'ended with status {status}')
            if status == GoalStatus.STATUS_SUCCEEDED:
                ended = 'had no success'
            elif status == GoalStatus.STATUS_CANCELED:
                ended += ', not by this node'
            why = f': {told}' if told else ''
            self._fail(f'{attempt.does} {ended} on {attempt.server}{why}')

    def _tell(self, text: str, doubtful: bool = False) -> None:
        self._result = text
        say = self._log.warning if doubtful else self._log.info
        say(f'gripper {self.name}: {text}')

    def _fail(self, text: str) -> None:
        self._result = text
        if self._reaction == 'hold':
            self.failure = text
            self._log.error(f'gripper {self.name}: {text}')
        else:
            self._log.warning(f'gripper {self.name}: {text}')


class ActingGrippers:
    """Those of a robot. `on_others(line)` is called when another node moves one of them."""

    def __init__(self, node: Node, robot: RobotSpec, on_others: Callable[[str], None]) -> None:
        self._node = node
        self._on_others = on_others
        self._grippers: list[ActingGripper] = []
        self._wanted: tuple[Mapping[str, Decided], bool] = ({}, False)
        self._faults: dict[str, str] = {}
        self._looked_s = time.monotonic()
        called = {
            joint: name
            for topic in robot.joints.state
            for joint, name in zip(topic.joints, topic.message_names, strict=True)
        }
        try:
            for name in robot.joints.acting_grippers:
                spec = robot.joints.grippers[name]
                self._grippers.append(
                    ActingGripper(node, name, spec, called[name], self._tell_others)
                )
        except UserError:
            self.destroy()
            raise

    def __bool__(self) -> bool:
        return bool(self._grippers)

    def follow(self, controller: Controller) -> None:
        """Take what the controller has decided; tick thread."""
        if self._grippers:
            moving = controller.state in ('ramp', 'run')
            self._wanted = dict(controller.grippers.decided), moving

    def faults(self) -> dict[str, str]:
        """What lets the arm hold, by name; any thread."""
        return self._faults

    def problems(self) -> list[str]:
        """Why the arm must not be enabled."""
        return [line for gripper in self._grippers for line in gripper.problems()]

    def forgive(self) -> None:
        """Forget what failed: somebody enables the arm, or resets it."""
        for gripper in self._grippers:
            gripper.forgive()
        self._note_faults()

    def look(self) -> None:
        """Send and cancel what is due, give up what took too long."""
        now_s = time.monotonic()
        passed_s, self._looked_s = min(now_s - self._looked_s, MOST_S), now_s
        decided, moving = self._wanted
        for gripper in self._grippers:
            gripper.look(decided.get(gripper.name, Decided()), moving, passed_s)
        self._note_faults()

    def finish(self) -> None:
        """Let what a stop of the arm has decided go out, while nobody spins; that has an end."""
        until_s = time.monotonic() + FINISH_S
        self.look()
        while time.monotonic() < until_s and self._are_stopping():
            time.sleep(FINISH_PERIOD_S)
            for gripper in self._grippers:
                gripper.take_answers()
            self.look()

    def _are_stopping(self) -> bool:
        decided = self._wanted[0]
        return any(g.is_stopping(decided.get(g.name, Decided())) for g in self._grippers)

    def statuses(self, node_name: str, robot_name: str) -> list[Any]:
        """What `/diagnostics` says of them; nothing without any."""
        if not self._grippers:
            return []
        values: diagnostics.Values = {}
        faults = []
        for gripper in self._grippers:
            values |= gripper.values(self._wanted[0].get(gripper.name, Decided()))
            if gripper.failure or gripper.absence:
                faults.append(f'{gripper.name}: {gripper.failure or gripper.absence}')
        told = '; '.join(faults)
        name = f'{node_name}: grippers'
        return [diagnostics.status(name, robot_name, told or 'all obey', values, not faults)]

    def destroy(self) -> None:
        """Remove them from the node."""
        for gripper in self._grippers:
            gripper.destroy()
        self._grippers = []

    def _note_faults(self) -> None:
        self._faults = {f'gripper {g.name}': g.fault for g in self._grippers if g.fault}

    def _tell_others(self) -> None:
        lines = [line for gripper in self._grippers for line in gripper.others()]
        if lines:
            self._on_others('; '.join(lines))
