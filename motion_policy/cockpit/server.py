# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Web server of the cockpit, in a thread of its own: pages, sessions, WebSockets, bounds.

A path that is asked for is a name in a table, never one of a file.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from motion_policy.cockpit.access import (
    LOOPBACK_NAMES,
    Access,
    RateLimits,
    clean_name,
    is_loopback,
    read_token,
)
from motion_policy.cockpit.arm_link import ArmLink
from motion_policy.cockpit.browser import Browser
from motion_policy.cockpit.camera_frames import jpeg_of
from motion_policy.cockpit.driving import Driving
from motion_policy.cockpit.episode_list import EpisodeList
from motion_policy.cockpit.held_motion import HeldMotion
from motion_policy.cockpit.requests import LONGEST_MESSAGE
from motion_policy.cockpit.seat import Person
from motion_policy.documents import json_mapping
from motion_policy.errors import UserError
from motion_policy.palette import FAIL, FAINT_INK, FREE, INK, POLICY, RULE, TRUTH, WARN
from motion_policy.robot import RobotSpec

STATE_PERIOD_S = 0.1
TICK_PERIOD_S = 0.04
LIST_PERIOD_S = 2.0
MOST_CONNECTIONS, MOST_OF_ADDRESS = 64, 24
FIRST_WORD_S = 10.0  # in which a connection says what it wants
REQUESTS_PER_S, REQUEST_BURST = 20.0, 60.0  # of one address
MOST_BODY = 2048  # bytes
COOKIE = 'cockpit'
PAGE = Path(__file__).parent / 'page'
COLOURS = {
    'ink': INK, 'faint': FAINT_INK, 'rule': RULE, 'truth': TRUTH, 'policy': POLICY, 'free': FREE,
    'warn': WARN, 'fail': FAIL,
}  # fmt: skip
HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
}
# By the path that is asked for: the file, its type, whether everybody may see it.
FILES = {
    '/': ('index.html', 'text/html', False),
    '/login': ('login.html', 'text/html', True),
    '/cockpit.css': ('cockpit.css', 'text/css', True),
    '/cockpit.js': ('cockpit.js', 'text/javascript', False),
    '/motion.js': ('motion.js', 'text/javascript', False),
    '/login.js': ('login.js', 'text/javascript', True),
}
# What aiohttp would say of requests that are none, it says with their bytes: a token, too.
_SILENT = logging.getLogger('motion_policy.cockpit')
_SILENT.disabled = True
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class ServerSettings:
    """Where the page is served, and to whom.

    Beyond this machine (`host` is no loopback address) a `token_file` is demanded, with
    `certificate` and `key` the page is served by TLS. `data` is the folder whose episodes are
    listed.
    """

    host: str = '127.0.0.1'
    port: int = 8500
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    data: Path | None = None

    def access(self) -> Access:
        """Who is let in; UserError where that would be everybody on the network."""
        token = None if self.token_file is None else read_token(self.token_file)
        if token is None and not is_loopback(self.host):
            raise UserError(
                f'--host {self.host} is heard by others, expected --token-file FILE beside it: '
                'openssl rand -hex 16 > FILE'
            )
        names = {*LOOPBACK_NAMES, self.host}
        if not is_loopback(self.host):
            own = socket.gethostname()
            names |= {own, f'{own}.local', socket.getfqdn()}
        return Access(names, token, secure=self.certificate is not None)

    def tls(self) -> ssl.SSLContext | None:
        """The context of the server's TLS; None: without. UserError for what is no certificate."""
        if self.certificate is None:
            if self.key is not None:
                raise UserError('--key without --certificate, expected both or none')
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                f'{self.certificate}: no certificate with its key: {error.strerror or error}'
            ) from None
        return context


class CockpitServer:
    """Serves the page while it is open; `link` is the arm."""

    def __init__(self, link: ArmLink, robot: RobotSpec, settings: ServerSettings) -> None:
        self.held = HeldMotion()
        self.port = settings.port  # the one that it got, where 0 was asked for
        self._link, self._robot, self._settings = link, robot, settings
        self._access, self._tls = settings.access(), settings.tls()
        self._pages = {path: _page(name) for path, (name, *_) in FILES.items()}
        self._cameras = tuple(robot.cameras)
        self._driving: Driving
        self._limits = RateLimits(REQUESTS_PER_S, REQUEST_BURST)
        self._numbers = itertools.count(1)
        self._list = None if settings.data is None else EpisodeList(settings.data)
        self._episodes: list[dict[str, Any]] = []
        self._list_is_whole = True
        self._encoder = ThreadPoolExecutor(1, 'encoder')
        self._spoke: set[Any] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: Exception | None = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._work, name='cockpit')
        self._thread.start()
        self._began.wait()
        if self._failure is not None:
            self.close()
            raise self._failure

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host = self._settings.host
        shown_host = f'[{host}]' if ':' in host else host
        return f'{"https" if self._tls else "http"}://{shown_host}:{self.port}'

    def close(self) -> None:
        """End all connections, and the thread."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._encoder.shutdown()

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
        finally:
            self._began.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._driving = Driving(self._link, self.held)
        application = web.Application(client_max_size=MOST_BODY, middlewares=[self._guard()])
        for path in FILES:
            application.router.add_get(path, self._serve_file)
        application.router.add_post('/login', self._log_in)
        application.router.add_post('/logout', self._log_out)
        application.router.add_post('/stop', self._stop_at_once)
        application.router.add_get('/socket', self._socket)
        runner = web.AppRunner(
            application, access_log=None, logger=_SILENT, handle_signals=False,
            keepalive_timeout=15.0, max_line_size=2048, max_field_size=4096, shutdown_timeout=1.0,
        )  # fmt: skip
        await runner.setup()
        try:
            server = await self._listen(runner)
            works = (
                (self._tell, lambda: STATE_PERIOD_S),
                (self._tick, lambda: TICK_PERIOD_S),
                (self._look, lambda: LIST_PERIOD_S if self._list_is_whole else STATE_PERIOD_S),
            )
            tasks = [asyncio.ensure_future(self._again(*work)) for work in works]
            self._began.set()
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            server.close()
            for browser in list(self._driving.browsers.values()):
                browser.drop()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server:
        protocols = runner.server
        assert protocols is not None and self._loop is not None
        host, port = self._settings.host, self._settings.port
        patience_s = None if self._tls is None else FIRST_WORD_S
        try:
            server: asyncio.Server = await self._loop.create_server(
                lambda: _Door(protocols, self._spoke), host, port, ssl=self._tls, backlog=64,
                ssl_handshake_timeout=patience_s,
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f'cannot serve at {host}, port {port}: {error.strerror or error}; --port takes '
                'another one'
            ) from None
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._spoke.add(request.protocol)
            problem = self._problem(request)
            response: web.StreamResponse | None = None
            if problem is not None:
                response = web.Response(status=problem[0], text=problem[1])
                if problem[0] == 401 and request.path == '/':
                    response = web.Response(status=303, headers={'Location': '/login'})
            if response is None:
                try:
                    response = await handler(request)
                except web.HTTPException as error:
                    response = web.Response(status=error.status, text=error.reason)
                except Exception as error:
                    self._link.log(f'defect of the page: {type(error).__name__}')
                    response = web.Response(status=500, text='a defect of the cockpit')
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guard

    def _problem(self, request: web.Request) -> tuple[int, str] | None:
        """Why a request is refused, before anything is done for it."""
        hosts = request.headers.getall('Host', [])
        host = hosts[0] if len(hosts) == 1 else ''
        wrong = self._access.host_problem(host, _local_address(request))
        if wrong:
            return 421, wrong
        changes = request.method not in ('GET', 'HEAD') or request.path == '/socket'
        if changes:
            wrong = self._access.origin_problem(request.headers.get('Origin'), host)
            if wrong:
                return 403, wrong
        # STOP is never one too many.
        if request.path != '/stop' and not self._limits.allows(
            _address(request), time.monotonic()
        ):
            return 429, 'too many requests'
        open_to_all = request.path == '/login' or FILES.get(request.path, ('', '', False))[2]
        if open_to_all or self._is_in(request):
            return None
        return 401, 'log in first: /login'

    def _is_in(self, request: web.Request) -> bool:
        return self._access.is_in(request.cookies.get(COOKIE, ''), time.monotonic())

    async def _serve_file(self, request: web.Request) -> web.Response:
        _, kind, _ = FILES[request.path]
        return web.Response(body=self._pages[request.path], content_type=kind, charset='utf-8')

    async def _log_in(self, request: web.Request) -> web.Response:
        address = _address(request)
        try:
            token = json_mapping((await request.read()).decode('utf-8'), 'login').get('token')
            identity = self._access.log_in(str(token), address, time.monotonic())
        except (UserError, UnicodeError) as error:
            reason = 'not UTF-8' if isinstance(error, UnicodeError) else str(error)
            self._link.log(f'{address} was not let in: {reason}')
            return web.Response(status=401, text=reason)
        self._link.log(f'{address} was let in')
        response = web.Response(text='welcome')
        response.set_cookie(
            COOKIE, identity, httponly=True, samesite='Strict', secure=self._tls is not None,
            path='/',
        )  # fmt: skip
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        self._access.log_out(request.cookies.get(COOKIE, ''))
        response = web.Response(text='logged out')
        response.del_cookie(COOKIE)
        return response

    async def _stop_at_once(self, request: web.Request) -> web.Response:
        self._driving.stop(Person(0, clean_name(request.query.get('name', '')), _address(request)))
        return web.Response(text='STOP is on its way')

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket_ = web.WebSocketResponse(
            max_msg_size=LONGEST_MESSAGE, compress=False, autoping=True, timeout=1.0
        )
        await socket_.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):  # it is gone already
            return socket_
        name = clean_name(request.query.get('name', ''))
        browser = Browser(socket_, transport, Person(next(self._numbers), name, _address(request)))
        browser.say('about', **self._link.about(), you=browser.person.number)
        browser.show('episodes', rows=self._episodes, there=self._list is not None)
        self._driving.come(browser)
        sender = asyncio.ensure_future(browser.send())
        try:
            async for message in socket_:
                if message.type != WSMsgType.TEXT:
                    break
                self._driving.take(browser, message.data)
        finally:
            sender.cancel()
            self._driving.go(browser)
        return socket_

    async def _again(
        self, work: Callable[[], Awaitable[None]], period_s: Callable[[], float]
    ) -> None:
        """Do something again and again; what goes wrong is logged, and tried again."""
        while True:
            began_s = time.monotonic()
            try:
                await work()
            except Exception as error:
                self._link.log(f'defect of the page: {type(error).__name__}: {error}')
                await asyncio.sleep(1.0)
            await asyncio.sleep(max(0.01, period_s() - (time.monotonic() - began_s)))

    async def _tell(self) -> None:
        """Show every browser the newest state and images."""
        browsers = list(self._driving.browsers.values())
        self._link.look_at(frozenset[str]().union(*(b.cameras for b in browsers)))
        if browsers:
            self._show_state(browsers, time.monotonic())
            await self._show_frames(browsers)

    def _show_state(self, browsers: list[Browser], now_s: float) -> None:
        driver = self._driving.watch_seat(now_s)
        state = self._link.state()
        moves = self.held.wanted(now_s) is not None
        for browser in browsers:
            browser.show(
                'state', **state, driver=None if driver is None else str(driver),
                yours=driver is not None and driver.number == browser.person.number,
                watching=len(browsers), moves=moves, let_go=self.held.reason,
            )  # fmt: skip

    async def _show_frames(self, browsers: list[Browser]) -> None:
        assert self._loop is not None
        made: dict[tuple[str, int], bytes | None] = {}
        for browser in browsers:
            if not browser.cameras or not browser.has_room:
                continue
            frames: dict[int, bytes] = {}
            for place, camera in enumerate(self._cameras):
                frame = self._link.frame(camera) if camera in browser.cameras else None
                if frame is None or browser.sent_frames.get(camera) == frame.number:
                    continue
                key = camera, browser.width
                if key not in made:
                    made[key] = await self._loop.run_in_executor(
                        self._encoder, jpeg_of, frame.message, self._robot.cameras[camera],
                        browser.width,
                    )  # fmt: skip
                browser.sent_frames[camera] = frame.number
                jpeg = made[key]
                if jpeg is not None:
                    frames[place] = jpeg
            if frames:
                browser.show_frames(frames)

    async def _tick(self) -> None:
        """Send the driver a tick, which is returned while the dead-man key is held."""
        now_s = time.monotonic()
        driver = self._driving.watch_seat(now_s)
        browser = None if driver is None else self._driving.browsers.get(driver.number)
        if browser is not None and self._driving.can_move:
            browser.show('tick', number=self.held.tick(now_s))

    async def _look(self) -> None:
        """Look at the folder of episodes, while somebody is there."""
        assert self._loop is not None
        if self._list is None or not self._driving.browsers:
            return
        rows, self._list_is_whole = await self._loop.run_in_executor(
            self._encoder, self._list.look
        )
        if rows != self._episodes:
            self._episodes = rows
            for browser in self._driving.browsers.values():
                browser.show('episodes', rows=rows, there=True)


class _Door(asyncio.Protocol):
    """Lets a connection in while there is room, and out again if it says nothing."""

    def __init__(self, protocols: web.Server, spoke: set[Any]) -> None:
        self._protocols, self._spoke = protocols, spoke

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        there = self._protocols.connections
        self._spoke.intersection_update(there)
        name = transport.get_extra_info('peername') or ('',)
        same = sum(_peer(handler) == name[0] for handler in there)
        if len(there) >= MOST_CONNECTIONS or same >= MOST_OF_ADDRESS:
            transport.abort()
            return
        handler = self._protocols()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        asyncio.get_running_loop().call_later(
            FIRST_WORD_S, self._end_if_silent, handler, transport
        )

    def _end_if_silent(self, handler: Any, transport: asyncio.Transport) -> None:
        if handler not in self._spoke:
            transport.abort()


def _peer(handler: Any) -> str:
    transport = handler.transport
    name = None if transport is None else transport.get_extra_info('peername')
    return str(name[0]) if name else ''


def _address(request: web.Request) -> str:
    name = None if request.transport is None else request.transport.get_extra_info('peername')
    return str(name[0]) if name else ''


def _local_address(request: web.Request) -> str:
    name = None if request.transport is None else request.transport.get_extra_info('sockname')
    return str(name[0]) if name else ''


def _page(name: str) -> bytes:
    content = (PAGE / name).read_bytes()
    if name.endswith('.css'):
        colours = ''.join(f'--{name}:{value};' for name, value in COLOURS.items())
        return f':root{{{colours}}}\n'.encode() + content
    return content
