# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the browsers that are connected ask for: who drives, commands, motion, and STOP.

STOP comes from whoever is there, before everything else, and is repeated until each node has
answered. Every other command needs the driver's seat. Each is logged with who gave it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any

from motion_policy.cockpit.arm_link import ArmLink, NodeAnswer
from motion_policy.cockpit.browser import Browser
from motion_policy.cockpit.camera_frames import width_for
from motion_policy.cockpit.held_motion import HeldMotion
from motion_policy.cockpit.requests import (
    OF_DRIVERS,
    OF_RECORDER,
    NodeCommand,
    read_cameras,
    read_command,
    read_hold,
    read_request,
)
from motion_policy.cockpit.seat import DriverSeat, Person
from motion_policy.errors import UserError
from motion_policy.files import shown

DEADLINE_S = 10.0  # an enable looks for an emergency stop first
RECORDER_DEADLINE_S = 40.0  # it may have to catch up, and closes its file
STOP_DEADLINE_S, STOP_TRIES = 0.5, 6
HANGS_S = 2.0  # who should have told by STOP_DEADLINE_S that there is no answer
MOST_PENDING = 8  # commands of one browser that wait for an answer
NOT_CONFIGURED = 'the node is not configured'  # so that it can send nothing
MOST_LINES = 30  # of what was done, for a page that comes later


class Driving:
    """Serves the requests of all browsers, in the thread of one event loop."""

    def __init__(self, link: ArmLink, held: HeldMotion) -> None:
        self.link = link
        self.held = held
        self.seat = DriverSeat()
        self.browsers: dict[int, Browser] = {}
        about = link.about()
        self.drivers: tuple[str, ...] = tuple(about['drivers'])
        self.recorder: str = about['recorder']
        self.can_move = about['teleop'] is not None
        self.lines: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
        self._pending: dict[int, int] = {}
        self._stopping: asyncio.Task[None] | None = None
        self._told_reason = ''

    def come(self, browser: Browser) -> None:
        """A browser is connected."""
        self.browsers[browser.person.number] = browser
        browser.say('lines', lines=list(self.lines))

    def go(self, browser: Browser) -> None:
        """It is not any more: what it held is let go."""
        if self.seat.drives(browser.person, time.monotonic()):
            self.held.release('released: the page is gone')
        self.seat.leave(browser.person)
        self.browsers.pop(browser.person.number, None)
        self._pending.pop(browser.person.number, None)

    def take(self, browser: Browser, text: str) -> None:
        """Do what a message asks for."""
        now_s = time.monotonic()
        try:
            request = read_request(text)
            kind = request.get('do')
            if kind == 'stop':
                self.stop(browser.person)
            elif browser.messages.allows(now_s):
                self._serve(browser, str(kind), request, now_s)
        except UserError as error:
            if browser.commands.allows(now_s):
                browser.say('answer', number=0, ok=False, text=shown(error)[:300])

    def stop(self, person: Person) -> None:
        """Disable every node that drives, whatever else is asked for."""
        self.held.release('released: STOP')
        if self._stopping is None or self._stopping.done():
            self._note(person, 'STOP')
            self._stopping = asyncio.ensure_future(self._stop_all(person))

    def watch_seat(self, now_s: float) -> Person | None:
        """Who drives; called often, for whoever lost the seat moves nothing."""
        driver = self.seat.driver(now_s)
        if driver is None:
            self.held.release('released: nobody drives')
        reason = self.held.reason
        if reason != self._told_reason:
            self._told_reason = reason
            if reason and driver is not None:
                self._note(driver, reason)
        return driver

    def tell(self, browsers: Iterable[Browser], kind: str, **content: Any) -> None:
        """Say something to some browsers."""
        for browser in browsers:
            browser.say(kind, **content)

    def _serve(self, browser: Browser, kind: str, request: dict[str, Any], now_s: float) -> None:
        person = browser.person
        self.seat.heard(person, now_s)
        if kind == 'hold':
            if self.can_move and self.seat.drives(person, now_s):
                hold = read_hold(request)
                self.held.hold(hold.press, hold.echo, hold.shares, now_s)
        elif kind == 'release':
            if self.seat.drives(person, now_s):
                self.held.release()
        elif kind == 'look':
            browser.cameras = read_cameras(request)
            browser.width = width_for(request.get('width'))
        elif kind == 'seen':
            number = request.get('number')
            browser.seen(number if isinstance(number, int) else 0)
        elif kind == 'seat':
            self._change_seat(person, bool(request.get('take')), now_s)
        elif kind == 'command':
            self._command(browser, read_command(request), now_s)
        elif kind != 'alive':
            raise UserError(f"a page asks for '{shown(kind)[:40]}', which is not known here")

    def _change_seat(self, person: Person, take: bool, now_s: float) -> None:
        before = self.seat.driver(now_s)
        if take and self.seat.take(person, now_s):
            if before is None:
                self.held.begin()
                self._note(person, 'drives')
        elif not take and self.seat.drives(person, now_s):
            self.held.release()
            self.seat.leave(person)
            self._note(person, 'drives no more')

    def _command(self, browser: Browser, command: NodeCommand, now_s: float) -> None:
        def answer(ok: bool, text: str) -> None:
            browser.say('answer', number=command.number, what=command.what, ok=ok, text=text)

        refusal = self._refusal(browser, command, now_s)
        if refusal:
            answer(False, refusal)
            return
        person, loop = browser.person, asyncio.get_running_loop()
        self._pending[person.number] = self._pending.get(person.number, 0) + 1
        value = '' if command.value is None else f' {command.value}'.lower()
        told = f'{command.what}{value}'

        def finish(result: NodeAnswer) -> None:
            if person.number in self._pending:
                self._pending[person.number] -= 1
            text = shown(result.text)[:500]
            self._note(person, f'{told} of {command.node}: {text}', ok=result.ok)
            answer(result.ok, text)

        self.link.log(f'{person} asks {command.node} for {told}')
        deadline_s = RECORDER_DEADLINE_S if command.what in OF_RECORDER else DEADLINE_S
        self.link.ask(
            command.node, command.what, command.value, deadline_s,
            partial(_in_loop, loop, finish),
        )  # fmt: skip

    def _refusal(self, browser: Browser, command: NodeCommand, now_s: float) -> str:
        """Why a command is not passed on, '' if it is."""
        nodes = self.drivers if command.what in OF_DRIVERS else (self.recorder,)
        if command.node not in nodes:
            return f'{shown(command.node)[:80]} is no node for {command.what}, expected ' + (
                ' or '.join(nodes)
            )
        if not browser.commands.allows(now_s):
            return 'too many commands at once'
        if self._pending.get(browser.person.number, 0) >= MOST_PENDING:
            return 'too many commands wait for an answer'
        if not self.seat.drives(browser.person, now_s):
            driver = self.seat.driver(now_s)
            return 'take the seat first' if driver is None else f'{driver} drives'
        return ''

    async def _stop_all(self, person: Person) -> None:
        unanswered = await asyncio.gather(*(self._stop_one(node) for node in self.drivers))
        told = [text for text in unanswered if text]
        lost = [text for text in told if text.startswith('!')]
        text = '; '.join(one.removeprefix('!') for one in told) or 'no node that drives is there'
        self._note(person, f'STOP: {text}', ok=not lost)
        self.tell(self.browsers.values(), 'stopped', ok=not lost, text=text)

    async def _stop_one(self, node: str) -> str:
        """Disable one node; what came of it, '' where it is not there, with ! if it may move."""
        loop = asyncio.get_running_loop()
        for _ in range(STOP_TRIES):
            answered: asyncio.Future[NodeAnswer] = loop.create_future()
            self.link.ask(
                node, 'halt', None, STOP_DEADLINE_S, partial(_in_loop, loop, _settle, answered)
            )
            try:
                result = await asyncio.wait_for(answered, HANGS_S)
            except asyncio.TimeoutError:
                return f'!{node}: the cockpit hangs: press the emergency stop of the arm'
            if result.ok:
                return f'{node}: {shown(result.text)[:300]}'
            if not result.text:
                return ''
            if result.text.startswith(NOT_CONFIGURED):
                return f'{node}: is not configured'
        return f'!{node}: {shown(result.text)[:300]}: press the emergency stop of the arm'

    def _note(self, person: Person, text: str, *, ok: bool = True) -> None:
        line = {'time': time.strftime('%H:%M:%S'), 'who': str(person), 'text': text, 'ok': ok}
        self.lines.append(line)
        self.link.log(f'{person}: {text}')
        self.tell(self.browsers.values(), 'lines', lines=[line])


def _settle(future: asyncio.Future[NodeAnswer], result: NodeAnswer) -> None:
    if not future.done():
        future.set_result(result)


def _in_loop(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # the server has ended
        return
