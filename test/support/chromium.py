# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A real Chromium without a screen, driven over its DevTools protocol: mouse, keys, what it shows.

Its calls wait for the browser only; a thread of its own speaks with it.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
PATIENCE_S = 60.0


def chromium_program() -> str:
    """Where it is; the test is skipped where there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f'no Chromium here, expected one of {", ".join(NAMES)}')


class Chromium:
    """The browser, as a context manager; `folder` is for its profile."""

    def __init__(self, folder: Path) -> None:
        command = [
            chromium_program(), '--headless=new', '--no-sandbox', '--disable-gpu',
            '--disable-dev-shm-usage', '--no-first-run', '--disable-extensions',
            '--disable-background-networking', '--ignore-certificate-errors',
            '--remote-debugging-port=0', f'--user-data-dir={folder}', 'about:blank',
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        port_file = folder / 'DevToolsActivePort'
        end_s = time.monotonic() + PATIENCE_S
        while not (port_file.is_file() and port_file.read_text().count('\n')):
            assert time.monotonic() < end_s and self._process.poll() is None, 'no Chromium began'
            time.sleep(0.02)
        port, path = port_file.read_text().splitlines()[:2]
        self._run(self._connect(f'ws://127.0.0.1:{port}{path}'))

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def open(self, url: str, width: int = 1280, height: int = 800, *, phone: bool = False) -> Page:
        """Open a page in a tab of its own."""
        context = self.ask('Target.createBrowserContext')['browserContextId']
        target = self.ask('Target.createTarget', url='about:blank', browserContextId=context)
        page = Page(self, target['targetId'])
        page.ask(
            'Emulation.setDeviceMetricsOverride', width=width, height=height,
            deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        page.ask('Emulation.setTouchEmulationEnabled', enabled=phone)
        page.ask('Emulation.setFocusEmulationEnabled', enabled=True)
        page.ask('Page.navigate', url=url)
        return page

    def ask(self, method: str, session: str = '', **parameters: Any) -> Any:
        """Call a method of the protocol."""
        return self._run(self._ask(method, session, parameters))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _connect(self, url: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            content = json.loads(message.data)
            answer = self._answers.pop(content.get('id', 0), None)
            if answer is not None and not answer.done():
                answer.set_result(content)

    async def _ask(self, method: str, session: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        message = {'id': number, 'method': method, 'params': parameters}
        await self._socket.send_json(message | ({'sessionId': session} if session else {}))
        content = await self._answers[number]
        assert 'error' not in content, f'{method}: {content["error"]}'
        return content['result']


class Page:
    """One tab."""

    def __init__(self, browser: Chromium, target: str) -> None:
        self._browser, self._target = browser, target
        attached = browser.ask('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']

    def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol for this tab."""
        return self._browser.ask(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.ask(
            'Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True
        )
        assert 'exceptionDetails' not in result, result['exceptionDetails']
        return result['result'].get('value')

    def text(self, selector: str) -> str:
        """What an element says; '' where there is none."""
        return str(self.run(f'document.querySelector({selector!r})?.textContent ?? ""'))

    def mouse(self, selector: str, *kinds: str) -> None:
        """Press (mousePressed), let go (mouseReleased) the mouse in the middle of an element."""
        place = self.run(
            f'(() => {{ const e = document.querySelector({selector!r});'
            'e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect();'
            'return [r.x + r.width / 2, r.y + r.height / 2]; })()'
        )
        for kind in kinds or ('mousePressed', 'mouseReleased'):
            self.ask(
                'Input.dispatchMouseEvent', type=kind, x=place[0], y=place[1], button='left',
                buttons=int(kind == 'mousePressed'), clickCount=1,
            )  # fmt: skip

    def key(self, code: str, *kinds: str) -> None:
        """Press (keyDown) and let go (keyUp) a key: KeyE, Digit1, Space."""
        key = {'Space': ' '}.get(code, code.removeprefix('Key').removeprefix('Digit').lower())
        for kind in kinds or ('keyDown', 'keyUp'):
            self.ask('Input.dispatchKeyEvent', type=kind, code=code, key=key)

    def screenshot(self, path: Path) -> None:
        """Write what it shows to a PNG file."""
        path.write_bytes(base64.b64decode(self.ask('Page.captureScreenshot')['data']))

    def close(self) -> None:
        """Close the tab, as somebody who has had enough."""
        self._browser.ask('Target.closeTarget', targetId=self._target)
