# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The cockpit's server over real connections: who gets what, and what a browser cannot do."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from control_robots import formula_arm

pytest.importorskip('aiohttp')

import aiohttp

from motion_policy.cli.main import main
from motion_policy.cockpit.arm_link import CameraFrame, NodeAnswer
from motion_policy.cockpit.server import MOST_OF_ADDRESS, CockpitServer, ServerSettings
from motion_policy.errors import UserError

ROBOT = formula_arm()
TOKEN = 'correct horse battery staple'
LOGIN = b'POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost'
PATIENCE_S = 60.0


class QuietArm:
    """An arm that answers what it was asked, and keeps what was asked and logged."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.lines: list[str] = []
        self.answers: dict[str, NodeAnswer] = {}
        self.unheard: set[str] = set()
        self.cameras: frozenset[str] = frozenset()

    def about(self) -> dict[str, Any]:
        return {
            'robot': ROBOT.name, 'joints': [], 'cameras': [], 'drivers': ['policy_node'],
            'recorder': 'recorder_node', 'teleop': {},
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {'nodes': []}

    def look_at(self, cameras: frozenset[str]) -> None:
        self.cameras = cameras

    def frame(self, camera: str) -> CameraFrame | None:
        return None

    def ask(
        self, node: str, what: str, value: Any, deadline_s: float,
        done: Callable[[NodeAnswer], None],
    ) -> None:  # fmt: skip
        self.asked.append((node, what, value))
        if what not in self.unheard:
            done(self.answers.get(what, NodeAnswer(True, f'{what} it is')))

    def log(self, line: str) -> None:
        self.lines.append(line)


class Visit:
    """A server, and a client of it that is no browser."""

    def __init__(self, arm: QuietArm, server: CockpitServer) -> None:
        self.arm, self.server = arm, server
        self.url = f'http://127.0.0.1:{server.port}'

    def run(self, work: Callable[[aiohttp.ClientSession], Awaitable[Any]]) -> Any:
        """Do something with a client's session; let it end in any case."""

        async def within() -> Any:
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                return await asyncio.wait_for(work(session), PATIENCE_S)

        return asyncio.run(within())

    async def connect(self, session: aiohttp.ClientSession, name: str = 'Anna') -> Any:
        """A page's WebSocket."""
        return await session.ws_connect(
            f'{self.url}/socket?name={name}', headers={'Origin': self.url}
        )

    async def status(self, session: aiohttp.ClientSession, path: str, **more: Any) -> int:
        """The status of a GET, or of what `method` says."""
        method = more.pop('method', 'GET')
        async with session.request(method, self.url + path, allow_redirects=False, **more) as got:
            return got.status


async def hear(socket_: Any, kind: str) -> dict[str, Any]:
    """The next message of that kind."""
    while True:
        message = await socket_.receive()
        assert message.type == aiohttp.WSMsgType.TEXT, message
        content: dict[str, Any] = message.json()
        if content['kind'] == kind:
            return content


@pytest.fixture
def make_visit(tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    servers: list[CockpitServer] = []

    def make(**settings: Any) -> Visit:
        arm = QuietArm()
        servers.append(CockpitServer(arm, ROBOT, ServerSettings(port=0, **settings)))
        return Visit(arm, servers[-1])

    yield make
    for server in servers:
        server.close()
    assert not [t for t in threading.enumerate() if t.name in ('cockpit', 'encoder')]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / 'token'
    path.write_text(TOKEN + '\n')
    return path


def test_nobody_gets_anything_without_the_token_and_it_is_never_said(
    make_visit: Callable[..., Visit], token_file: Path
) -> None:
    visit = make_visit(token_file=token_file)

    async def work(session: aiohttp.ClientSession) -> None:
        origin = {'Origin': visit.url}
        assert await visit.status(session, '/') == 303
        assert await visit.status(session, '/cockpit.js') == 401
        assert await visit.status(session, '/login') == 200
        assert await visit.status(session, '/stop', method='POST', headers=origin) == 401
        with pytest.raises(aiohttp.WSServerHandshakeError, match='401'):
            await visit.connect(session)
        for token, status in ((TOKEN[:-1], 401), (TOKEN, 200)):
            login = {'method': 'POST', 'json': {'token': token}, 'headers': origin}
            assert await visit.status(session, '/login', **login) == status
        [cookie] = session.cookie_jar
        assert cookie['httponly'] and cookie['samesite'] == 'Strict'
        assert await visit.status(session, '/') == 200
        await (await visit.connect(session)).close()
        assert await visit.status(session, '/logout', method='POST', headers=origin) == 200
        assert await visit.status(session, '/') == 303

    visit.run(work)
    assert visit.arm.lines and not any(TOKEN in line for line in visit.arm.lines)


def test_another_site_another_name_and_paths_that_lead_out_get_nothing(
    make_visit: Callable[..., Visit],
) -> None:
    visit = make_visit()

    async def work(session: aiohttp.ClientSession) -> None:
        evil = {'Host': f'evil.example:{visit.server.port}'}
        assert await visit.status(session, '/', headers=evil) == 421
        for origin in ({}, {'Origin': 'http://evil.example'}, {'Origin': 'null'}):
            assert await visit.status(session, '/stop', method='POST', headers=origin) == 403
            with pytest.raises(aiohttp.WSServerHandshakeError, match='403'):
                await session.ws_connect(f'{visit.url}/socket', headers=origin)
        for path in ('/../setup.py', '/%2e%2e/setup.py', '/page/index.html', '//etc/passwd',
                     '/cockpit.js/..%2f..%2faccess.py'):  # fmt: skip
            assert await visit.status(session, path) == 404
        large = {'method': 'POST', 'data': b'x' * 100_000, 'headers': {'Origin': visit.url}}
        assert await visit.status(session, '/login', **large) == 413
        async with session.get(visit.url) as answer:
            assert "default-src 'none'" in answer.headers['Content-Security-Policy']

    visit.run(work)
    assert visit.arm.asked == []


@pytest.mark.parametrize(
    ('sent', 'status'),
    [
        (b'\x16\x03\x01' + TOKEN.encode(), b'400'),
        (b'GET / HTTP/9.9 ' + TOKEN.encode(), b'400'),
        (b'GET /' + b'a' * 20_000 + b' HTTP/1.1', b'400'),
        (b'GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost', b'400'),
        (LOGIN + b'\r\nTransfer-Encoding: chunked\r\n\r\n' + TOKEN.encode(), b'400'),
        (LOGIN + b'\r\nContent-Length: 29\r\n\r\n\xff' + TOKEN.encode(), b'401'),
        (LOGIN + b'\r\nContent-Type: x; charset=zz\r\nContent-Length: 2\r\n\r\n[]', b'401'),
    ],
)
def test_bytes_that_are_no_request_are_refused_and_nothing_of_them_is_logged(
    make_visit: Callable[..., Visit], token_file: Path, capfd: pytest.CaptureFixture[str],
    sent: bytes, status: bytes,
) -> None:  # fmt: skip
    visit = make_visit(token_file=token_file)
    with socket.create_connection(('127.0.0.1', visit.server.port)) as client:
        client.sendall(sent + b'\r\n\r\n')
        client.settimeout(PATIENCE_S)
        assert client.recv(100).split()[1] == status
    said = ''.join(capfd.readouterr()) + ''.join(visit.arm.lines)
    assert 'Traceback' not in said and TOKEN not in said and len(said) < 200


def test_one_drives_the_other_sees_who_and_may_stop_always(
    make_visit: Callable[..., Visit],
) -> None:
    visit = make_visit()
    enable = {'do': 'command', 'number': 1, 'node': 'policy_node', 'what': 'enable'}

    async def work(session: aiohttp.ClientSession) -> None:
        anna, ben = await visit.connect(session), await visit.connect(session, 'Ben')
        await anna.send_json(enable)
        assert (await hear(anna, 'answer'))['text'] == 'take the seat first'
        await anna.send_json({'do': 'seat', 'take': True})
        await anna.send_json(enable)
        assert (await hear(anna, 'answer'))['text'] == 'enable it is'
        await ben.send_json({'do': 'seat', 'take': True})
        await ben.send_json(enable)
        assert (await hear(ben, 'answer'))['text'] == 'Anna (127.0.0.1) drives'
        while (await hear(ben, 'state'))['driver'] != 'Anna (127.0.0.1)':
            pass
        await ben.send_json({'do': 'stop'})
        assert (await hear(anna, 'stopped'))['text'] == 'policy_node: halt it is'
        for node in ('sim_node', 'policy_node/../x', '/policy_node'):
            await anna.send_json({**enable, 'node': node})
            assert 'is no node for enable' in (await hear(anna, 'answer'))['text']
        await anna.close()
        while (await hear(ben, 'state'))['driver'] is not None:
            pass

    visit.run(work)
    assert visit.arm.asked == [('policy_node', 'enable', None), ('policy_node', 'halt', None)]
    assert 'Ben (127.0.0.1): STOP' in visit.arm.lines
    assert 'Anna (127.0.0.1): enable of policy_node: enable it is' in visit.arm.lines


def test_a_driver_who_says_nothing_more_holds_nothing_and_loses_the_seat(
    make_visit: Callable[..., Visit],
) -> None:
    visit = make_visit()
    held = visit.server.held
    forward = {'do': 'hold', 'press': 1, 'shares': [0.5, 0, 0, 0, 0, 0]}

    async def work(session: aiohttp.ClientSession) -> None:
        # The connection stays, nothing is read of it and nothing said: it is half open.
        anna, ben = await visit.connect(session), await visit.connect(session, 'Ben')
        await anna.send_json({'do': 'seat', 'take': True})
        while held.wanted(time.monotonic()) is None:
            tick = await hear(anna, 'tick')
            await anna.send_json({**forward, 'echo': tick['number']})
        while held.wanted(time.monotonic()) is not None:
            await asyncio.sleep(0.01)
        assert 'nothing was heard of the page' in held.reason
        last = await hear(anna, 'tick')  # it comes back, the key still down
        await anna.send_json({**forward, 'echo': last['number']})
        while (await hear(ben, 'state'))['driver'] is not None:
            assert held.wanted(time.monotonic()) is None
        await ben.send_json({'do': 'seat', 'take': True})
        while (await hear(ben, 'state'))['yours'] is not True:
            pass

    visit.run(work)


def test_stop_comes_through_a_flood_and_connections_are_bounded(
    make_visit: Callable[..., Visit],
) -> None:
    visit = make_visit()
    speed = {'do': 'command', 'node': 'policy_node', 'what': 'speed', 'value': 0.5}

    async def work(session: aiohttp.ClientSession) -> None:
        anna = await visit.connect(session)
        await anna.send_json({'do': 'seat', 'take': True})
        for number in range(500):
            await anna.send_json({**speed, 'number': number})
        statuses = [await visit.status(session, '/login') for _ in range(100)]
        assert 200 in statuses and 429 in statuses
        stop = {'method': 'POST', 'headers': {'Origin': visit.url}}
        assert await visit.status(session, '/stop', **stop) == 200
        await hear(anna, 'stopped')
        open_ones = [socket.create_connection(('127.0.0.1', visit.server.port)) for _ in range(60)]
        try:
            await anna.send_json({'do': 'stop'})  # who is in is heard
            await hear(anna, 'stopped')
            there = 0
            for one in open_ones:
                one.settimeout(0.05)
                try:
                    there += one.recv(1) != b''
                except TimeoutError:
                    there += 1
                except ConnectionError:
                    pass
            assert there < MOST_OF_ADDRESS
        finally:
            for one in open_ones:
                one.close()

    visit.run(work)
    assert visit.arm.asked.count(('policy_node', 'speed', 0.5)) <= 20
    assert visit.arm.asked.count(('policy_node', 'halt', None)) == 2


@pytest.mark.parametrize(
    ('said', 'tries', 'told', 'ok'),
    [
        ('', 1, 'no node that drives is there', True),
        ('the node is not configured: configure', 1, 'policy_node: is not configured', True),
        ('no answer of /policy_node/enable', 6, 'press the emergency stop of the arm', False),
        (None, 1, 'policy_node: the cockpit hangs: press the emergency stop', False),
    ],
)
def test_a_node_that_may_move_and_does_not_answer_stop_is_named(
    make_visit: Callable[..., Visit], said: str | None, tries: int, told: str, ok: bool
) -> None:
    visit = make_visit()
    if said is None:
        visit.arm.unheard.add('halt')
    visit.arm.answers['halt'] = NodeAnswer(False, said or '')

    async def work(session: aiohttp.ClientSession) -> None:
        anna = await visit.connect(session)
        await anna.send_json({'do': 'stop'})
        stopped = await hear(anna, 'stopped')
        assert told in stopped['text'] and stopped['ok'] is ok

    visit.run(work)
    assert visit.arm.asked == [('policy_node', 'halt', None)] * tries


@pytest.mark.skipif(shutil.which('openssl') is None, reason='no openssl here')
def test_with_a_certificate_all_goes_by_tls(
    make_visit: Callable[..., Visit], token_file: Path, tmp_path: Path
) -> None:
    names = {'-keyout': tmp_path / 'key.pem', '-out': tmp_path / 'certificate.pem'}
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost',
         *(word for pair in names.items() for word in pair)],
        check=True, capture_output=True,
    )  # fmt: skip
    certificate, key = names['-out'], names['-keyout']
    visit = make_visit(host='0.0.0.0', token_file=token_file, certificate=certificate, key=key)
    visit.url = f'https://127.0.0.1:{visit.server.port}'

    async def work(session: aiohttp.ClientSession) -> None:
        trust = ssl.create_default_context(cafile=str(certificate))
        trust.check_hostname = False
        login = {'method': 'POST', 'json': {'token': TOKEN}, 'ssl': trust}
        plain = {'Origin': f'http://127.0.0.1:{visit.server.port}'}
        assert await visit.status(session, '/login', **login, headers=plain) == 403
        origin = {'Origin': visit.url}
        assert await visit.status(session, '/login', **login, headers=origin) == 200
        [cookie] = session.cookie_jar
        assert cookie['secure']
        assert await visit.status(session, '/', ssl=trust) == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f'http://127.0.0.1:{visit.server.port}/login')

    visit.run(work)


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'host': '0.0.0.0'}, '--host 0.0.0.0 is heard by others, expected --token-file'),
        ({'host': 'arm.example'}, '--host arm.example is heard by others'),
        ({'key': Path('key.pem')}, '--key without --certificate'),
        ({'certificate': Path('none.pem')}, 'none.pem: no certificate with its key'),
        ({'token_file': Path('none')}, 'none: no such file, expected a token'),
    ],
)
def test_settings_that_would_let_everybody_in_are_refused(
    make_visit: Callable[..., Visit], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        make_visit(**settings)


def test_a_port_that_is_taken_is_named(make_visit: Callable[..., Visit]) -> None:
    port = make_visit().server.port
    with pytest.raises(UserError, match=f'cannot serve at 127.0.0.1, port {port}: .*in use'):
        CockpitServer(QuietArm(), ROBOT, ServerSettings(port=port))


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--port', '70000'], '--port is 70000, expected a number from 0 to 65535'),
        (['--data', __file__], 'test_server.py: is no folder, expected one of episodes'),
        (['--node', 'a b'], "'a b' is no name of a node"),
        (['--host', '0.0.0.0'], 'expected --token-file FILE'),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rclpy')
    assert main(['cockpit', '--robot', 'tabletop_sim', '--port', '0', *arguments]) == 2
    [line] = capfd.readouterr().err.splitlines()
    assert words in line
