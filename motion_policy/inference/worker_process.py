# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Client of a worker process: starts it, sends requests, reports its end.

Images go there in shared memory. A process that died or hangs is a failure of the question that
waited for it; the next question begins it anew, and is a failure too: what it is about is old by
then.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from motion_policy.errors import UserError
from motion_policy.inference.child_process import start_child
from motion_policy.inference.shared_frames import SharedFrames, unnamed_memory
from motion_policy.inference.worker import COMPUTE_NS, QUICK_BYTES, RESET, Job
from motion_policy.streams.images import RgbImage

WORKER = 'motion_policy.inference.worker'
POLL_S = 0.1
END_S = 1.0
START_TIMEOUT_S = 300.0  # loading and trying back ends may take a minute, compiling several


class WorkerProcess:
    """Does `job` in a process; `say` gets a line about slow work, `name` is that of the process.

    An answer that takes longer than `timeout_s` counts as hung, and so does a beginning that takes
    longer than `start_timeout_s`, which is a UserError. Made, used and closed in one thread, with
    which the process ends; only `close` may come from another.
    """

    def __init__(
        self,
        job: Job,
        say: Callable[[str], None],
        timeout_s: float,
        name: str = 'worker',
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._job = job
        self._say = say
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._ended = ''
        self._memory = unnamed_memory()
        self._frames = SharedFrames(job.robot, job.cameras, self._memory)
        self.compute_ns = 0  # of the last answer, in the process
        self.facts: Any = self._begin()

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        return None if self._process is None else self._process.pid

    def reset(self) -> None:
        """Let it begin anew; a process that is started anew does so anyway."""
        self._drop_answer()
        if self._connection is not None:
            try:
                self._connection.send(RESET)
            except OSError:
                self._end('it was gone at a reset')

    def ask(self, images: Mapping[str, RgbImage], *question: Any) -> Any:
        """What the job answers. RuntimeError names what became of the process."""
        self._drop_answer()
        if self._connection is None:
            why = self._ended
            # The question that waits may be of no interest any more: a reset, for one, ends that.
            self._say(f'the {self.name} process is begun anew: {why}')
            self.facts = self._begin()
            raise RuntimeError(f'the {self.name} process was begun anew: {why}')
        self._send((self._frames.write(images), *question))
        return self._take_answer()

    def _ask_ahead(self, places: Mapping[str, int], *question: Any) -> bool:
        """Ask about images that are there; `_take_answer` follows. False: ask the usual way.

        Any thread may do this while the one of this process does nothing with it.
        """
        return self._put(lambda: self._connection.send((places, *question)))

    def _ask_quickly(self, question: bytes) -> bool:
        """The same in bytes, which `QuickWork` answers; the answer is bytes, too."""
        # The control tick may ask, which must not wait.
        return self._put(lambda: self._quick.send(question, socket.MSG_DONTWAIT))

    def _put(self, send: Callable[[], object]) -> bool:
        if self._connection is None or self._question_out:
            return False
        try:
            send()
        except OSError:
            return False
        self._question_out = True
        return True

    def _take_answer(self) -> Any:
        """Wait for the answer to the question that is out."""
        self._question_out = False
        answer, self.compute_ns = self._answer(time.monotonic() + self._timeout_s)
        return answer

    def _drop_answer(self) -> None:
        """An answer that nobody took is of no use any more, and neither is why there was none."""
        if self._question_out and self._connection is not None:
            with suppress(UserError, RuntimeError):
                self._take_answer()

    def close(self) -> None:
        """End the process; a question that waits for it fails."""
        self._closed = True
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()

    def _begin(self) -> Any:
        ours, theirs = socket.socketpair()
        our_quick, their_quick = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs, their_quick:
            descriptors = (theirs.fileno(), their_quick.fileno(), self._memory)
            words = [sys.executable, '-m', WORKER, *map(str, (*descriptors, os.getpid()))]
            self._process = start_child(words, pass_fds=descriptors)
            self._connection = Connection(ours.detach())
        self._quick = our_quick
        self._arrivals = select.poll()
        for end in (self._connection, self._quick):
            self._arrivals.register(end.fileno(), select.POLLIN)
        self._question_out = False
        late = UserError(
            f'the {self.name} process was not ready after {self._start_timeout_s:g} s '
            '(inference.start_timeout) and was ended'
        )
        try:
            self._send(self._job)
            return self._answer(time.monotonic() + self._start_timeout_s, late)
        except BaseException:
            self._end('it could not begin')
            raise

    def _send(self, message: Any) -> None:
        assert self._connection is not None
        try:
            self._connection.send(message)
        except OSError:
            self._fail(self._words_of_the_end())

    def _answer(self, until: float, late: UserError | None = None) -> Any:
        """What the process answers, at the latest at `until` of the monotonic clock.

        Later is a failure, or `late`.
        """
        assert self._connection is not None
        while True:
            try:
                news = self._wait_for_news(POLL_S)
                if self._quick.fileno() in news:
                    return self._quick_answer()
                if not news:
                    if self._closed:
                        self._fail('it was closed')
                    if time.monotonic() > until:
                        if late is not None:
                            raise late
                        self._fail(f'no response for {self._timeout_s:g} s')
                    continue
                kind, content = self._connection.recv()
            except (EOFError, OSError):
                self._fail(self._words_of_the_end())
            if kind == 'said':
                self._say(content)
            elif kind == 'user_error':
                raise UserError(content)
            elif kind == 'error':
                raise RuntimeError(content)
            else:
                return content

    def _wait_for_news(self, seconds: float) -> list[int]:
        """Where anything came; the connection's own poll makes a selector for each wait."""
        return [number for number, _ in self._arrivals.poll(seconds * 1e3)]

    def _quick_answer(self) -> tuple[bytes, int]:
        data = self._quick.recv(QUICK_BYTES)
        return data[COMPUTE_NS.size :], COMPUTE_NS.unpack_from(data)[0]

    def _words_of_the_end(self) -> str:
        process = self._process
        if process is None:
            return 'it was closed'
        try:
            code = process.wait(END_S)
        except subprocess.TimeoutExpired:
            return 'it closed its connection'
        return f'signal {-code}' if code < 0 else f'exit code {code}'

    def _fail(self, why: str) -> None:
        self._end(why)
        raise RuntimeError(f'the {self.name} process ended: {why}')

    def _end(self, why: str) -> None:
        self._ended = why
        if self._connection is not None:
            self._connection.close()
            self._quick.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
