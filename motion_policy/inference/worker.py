# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Worker process of a policy or frame predictor: main loop and protocol.

`python -m` this module; it ends when the node does, however that ends: with the connection, or by
the kernel's signal.

One loop serves two sockets. A pipe (`Connection`) carries pickled messages of any size: the job,
questions, resets, results and errors. A datagram socket carries small questions in bytes: the
control tick sends one at once without ever waiting, and no array is pickled. A quick question is
answered there; its error comes through the pipe.
"""

from __future__ import annotations

import gc
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol, runtime_checkable

from motion_policy.errors import UserError
from motion_policy.inference.parent_process import end_with_parent
from motion_policy.inference.shared_frames import SharedFrames
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.robot import RobotSpec
from motion_policy.streams.images import RgbImage

QUICK_BYTES = 1 << 16  # of the longest question or answer in bytes
COMPUTE_NS = struct.Struct('q')  # before such an answer: how long it took
RESET = None  # the message; any other is a question: where its images are, and what it asks


class Work(Protocol):
    """What a process does."""

    @property
    def facts(self) -> Any:
        """What its user must know before it asks."""

    def reset(self) -> None:
        """Begin anew."""

    def answer(self, images: Mapping[str, RgbImage], *question: Any) -> Any:
        """Answer one question about these images, which are there until then."""


@runtime_checkable
class QuickWork(Work, Protocol):
    """Work that can also be asked in bytes: arrays take long to be packed for a connection."""

    def quick_answer(self, frames: SharedFrames, question: bytes) -> bytes:
        """Answer one question, which tells where its images are."""


class Job(Protocol):
    """What a process is there for, as plain data that it is sent."""

    @property
    def robot(self) -> RobotSpec:
        """Whose images it sees."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Which of them."""

    def begin(self, say: Callable[[str], None]) -> Work:
        """Load, check and warm up; UserError says what is wrong, `say` gets lines meanwhile."""


def main(connection_fd: int, quick_fd: int, frames_fd: int, node_pid: int) -> None:
    """Serve one node until it is gone."""
    end_with_parent(node_pid, signal.SIGKILL)
    keep_freed_memory()
    connection = Connection(connection_fd)
    try:
        serve(connection, socket.socket(fileno=quick_fd), frames_fd)
    except (EOFError, ConnectionError):  # the node is gone
        return


def serve(connection: Connection, quick: socket.socket, frames_fd: int) -> None:
    """Begin the job that is the first message, then answer every question."""
    job: Job = connection.recv()
    with _told(connection) as done:
        work = job.begin(lambda line: connection.send(('said', line)))
        gc.collect()
        gc.freeze()
        done.append(work.facts)
    if not done:
        return
    frames = SharedFrames(job.robot, job.cameras, frames_fd)
    arrivals = select.poll()
    for end in (connection, quick):
        arrivals.register(end.fileno(), select.POLLIN)
    while True:
        arrived = [number for number, _ in arrivals.poll()]
        # A reset comes before the question that follows it.
        if connection.fileno() in arrived:
            _answer_message(connection, work, frames)
        if quick.fileno() in arrived and isinstance(work, QuickWork):
            with _told(connection):
                question = quick.recv(QUICK_BYTES)
                begin_ns = time.perf_counter_ns()
                answer = work.quick_answer(frames, question)
                quick.send(COMPUTE_NS.pack(time.perf_counter_ns() - begin_ns) + answer)


def _answer_message(connection: Connection, work: Work, frames: SharedFrames) -> None:
    message = connection.recv()
    if message is RESET:
        work.reset()
        return
    with _told(connection) as done:
        begin_ns = time.perf_counter_ns()
        places, *question = message
        answer = work.answer(frames.at(places), *question)
        done.append((answer, time.perf_counter_ns() - begin_ns))


@contextmanager
def _told(connection: Connection) -> Iterator[list[Any]]:
    """Send what is in the list at the end, if anything is, or what went wrong instead."""
    done: list[Any] = []
    try:
        yield done
    except (EOFError, ConnectionError):
        raise
    except UserError as error:
        connection.send(('user_error', str(error)))
        done.clear()
    except Exception as error:
        connection.send(('error', f'{type(error).__name__}: {error}'))
        done.clear()
    else:
        if done:
            connection.send(('done', done[0]))


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
