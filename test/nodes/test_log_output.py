# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a process says arrives whole and in order, and never holds it up when nobody takes it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from repository import python_path

pytestmark = pytest.mark.slow

PATIENCE_S = 300.0
HEAD = """
import os, sys, threading
from motion_policy.nodes.log_output import dropped_log_lines, patient_output
"""
IN_ORDER = """
with patient_output():
    for index in range(3000):
        if index % 3 == 0:
            print(index, flush=True)
        elif index % 3 == 1:
            print(index, file=sys.stderr)
        else:
            os.write(2, f'{index}\\n'.encode())
    print('the last words', end='')
"""
# Tells when all is written, and when it is told to go on says its last line and its count.
THEN_COUNT = """\
    open(sys.argv[1] + '.written', 'w').close()
    sys.stdin.readline()
    os.write(2, b'the last line\\n')
    sys.stdin.readline()
    with open(sys.argv[1], 'w') as file:
        file.write(str(dropped_log_lines()))
"""
FLOOD = """
with patient_output():
    for index in range(80_000):
        os.write(2, b'%07d %s\\n' % (index, b'x' * 92))
"""
WITHOUT_DRAIN = """
with patient_output():
    os.write(2, b'ready\\n')
    sys.stdin.readline()
    for index in range(30_000):
        os.write(2, b'%07d %s\\n' % (index, b'x' * 92))
"""
MANY_THREADS = """
def work(number):
    for index in range(50):
        line = b'%d %d ' % (number, index) + bytes([97 + number]) * 3000
        os.write(2, line[:4000] + b'\\n')
with patient_output():
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os.write(2, b'L' * 1_000_000 + b'\\n')
"""
# More than a drain and the pipes before and behind it take, 5 MB.
LOUD = """
with patient_output():
    for index in range(60_000):
        os.write(1, b'o' * 99 + b'\\n')
        os.write(2, b'e' * 99 + b'\\n')
"""
CHILD = """
import subprocess
with patient_output():
    loud = 'import os\\nfor _ in range(60_000): os.write(2, b"c" * 99 + b"\\\\n")'
    subprocess.run([sys.executable, '-c', loud], check=True)
"""


def start(source: str, *words: str | Path, **options: object) -> subprocess.Popen[bytes]:
    """Run this source as a process."""
    paths = python_path()
    command = [sys.executable, '-c', HEAD + source, *map(str, words)]
    environment = {**os.environ, 'PYTHONPATH': paths}
    return subprocess.Popen(command, env=environment, **options)  # type: ignore[call-overload, no-any-return]


def test_all_lines_of_both_outputs_arrive_in_order(tmp_path: Path) -> None:
    path = tmp_path / 'log'
    with path.open('wb') as file:
        process = start(IN_ORDER, stdout=file, stderr=subprocess.STDOUT)
        assert process.wait(PATIENCE_S) == 0
    # At the end of the process, not some time later.
    assert path.read_text().split('\n') == [*map(str, range(3000)), 'the last words']


def test_outputs_that_lead_to_different_places_stay_apart() -> None:
    process = start(IN_ORDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out.decode().split() == [*map(str, range(0, 3000, 3)), 'the', 'last', 'words']
    assert err.decode().split() == [str(index) for index in range(3000) if index % 3]


def test_lines_that_nobody_took_are_dropped_counted_and_told(tmp_path: Path) -> None:
    process = start(
        FLOOD + THEN_COUNT, tmp_path / 'count', stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None and process.stderr is not None
        end = time.monotonic() + PATIENCE_S
        while not (tmp_path / 'count.written').exists():  # all of it, though nobody took it
            assert time.monotonic() < end
            time.sleep(0.01)
        heard = [process.stderr.readline() for _ in range(30_000)]  # then there is room again
        process.stdin.write(b'\n')
        process.stdin.flush()
        for line in process.stderr:
            heard.append(line)
            if line == b'the last line\n':
                break
        process.stdin.write(b'\n')
    assert process.returncode == 0
    notes = [re.fullmatch(rb'\[(\d+) line\(s\) of the log were dropped.*\]\n', x) for x in heard]
    dropped = sum(int(note[1]) for note in notes if note)
    lines = [line for line, note in zip(heard, notes, strict=True) if not note and line != b'\n']
    whole = [line for line in lines[:-1] if len(line) == 101]
    assert dropped > 0 and int((tmp_path / 'count').read_text()) == dropped
    # One line may be torn where the drain was full.
    assert len(lines) - 1 - len(whole) <= 1
    assert 80_000 - 1 <= len(whole) + dropped <= 80_000
    assert whole == sorted(whole)


def drain_of(process: subprocess.Popen[bytes]) -> int:
    """The process that takes what this one says."""
    files = Path(f'/proc/{process.pid}/task').glob('*/children')
    (pid,) = [int(word) for file in files for word in file.read_text().split()]
    return pid


@pytest.mark.parametrize('number', [signal.SIGSTOP, signal.SIGKILL])
def test_a_drain_that_is_stopped_or_killed_costs_lines_only_and_they_are_counted(
    tmp_path: Path, number: signal.Signals
) -> None:
    count = tmp_path / 'count'
    process = start(
        WITHOUT_DRAIN + THEN_COUNT, count, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None and process.stderr is not None
        assert process.stderr.readline() == b'ready\n'
        drain = drain_of(process)
        os.kill(drain, number)
        process.stdin.write(b'\n')
        process.stdin.flush()
        end = time.monotonic() + PATIENCE_S
        while not (tmp_path / 'count.written').exists():  # 3 MB, the pipe has 1
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        if number == signal.SIGSTOP:
            os.kill(drain, signal.SIGCONT)
        process.stdin.write(b'\n')
        process.stdin.flush()
        heard = []
        while number == signal.SIGSTOP and b'the last line\n' not in heard[-1:]:
            heard.append(process.stderr.readline())
        process.stdin.write(b'\n')
        process.stdin.flush()
        heard += process.stderr.readlines()
    assert process.returncode == 0
    dropped = int(count.read_text())
    if number == signal.SIGKILL:
        assert heard == [] and dropped > 10_000
        return
    notes = [re.fullmatch(rb'\[(\d+) line\(s\) of the log were dropped.*\]\n', x) for x in heard]
    assert sum(int(note[1]) for note in notes if note) == dropped > 0
    whole = [line for line, note in zip(heard, notes, strict=True) if not note]
    assert whole[-1] == b'the last line\n'
    # A line may be torn in two where the second process took over, and one where it ended.
    torn = [line for line in whole[:-1] if len(line) != 101]
    assert len(torn) <= 4 and 30_000 <= len(whole) - 1 + dropped <= 30_000 + len(torn)
    kept = [line for line in whole[:-1] if len(line) == 101]
    assert kept == sorted(kept)


def test_lines_of_many_threads_and_a_huge_one_stay_whole(tmp_path: Path) -> None:
    with (tmp_path / 'log').open('wb') as file:
        assert start(MANY_THREADS, stderr=file).wait(PATIENCE_S) == 0
    lines = (tmp_path / 'log').read_bytes().split(b'\n')
    assert lines[-2:] == [b'L' * 1_000_000, b'']
    assert {line[:1] + line[-1:] for line in lines[:-2]} == {
        b'%d%c' % (number, 97 + number) for number in range(8)
    }
    assert len(lines) == 8 * 50 + 2


def full_pipe() -> Iterator[int]:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


def closed_pipe() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def full_disk() -> Iterator[int]:
    """A file on a disk that is full."""
    file = os.open('/dev/full', os.O_WRONLY)
    yield file
    os.close(file)


def stopped_terminal() -> Iterator[int]:
    """A terminal after Ctrl-S."""
    screen, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    yield terminal
    os.close(screen)
    os.close(terminal)


def full_non_blocking_pipe() -> Iterator[int]:
    """A pipe that nobody reads and that says so."""
    for writing in full_pipe():
        os.set_blocking(writing, False)
        yield writing


OUTPUTS: tuple[Callable[[], Iterator[int]], ...] = (
    full_pipe, closed_pipe, full_disk, stopped_terminal, full_non_blocking_pipe,
)  # fmt: skip


@pytest.mark.parametrize('source', [LOUD, CHILD], ids=['own', 'of a child'])
@pytest.mark.parametrize('output', OUTPUTS, ids=lambda output: output.__name__)
def test_an_output_that_takes_nothing_never_holds_the_process_up(
    output: Callable[[], Iterator[int]], source: str
) -> None:
    for fd in output():
        process = start(source, stdout=fd, stderr=fd)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize('closed', ['>&-', '2>&-', '>&- 2>&-', '<&- >&- 2>&-'])
def test_outputs_that_are_closed_are_none(closed: str) -> None:
    write = "with patient_output():\n    os.write(1, b'out\\n')\n    os.write(2, b'err\\n')"
    paths = python_path()
    done = subprocess.run(
        ['sh', '-c', f'exec "{sys.executable}" -c "$0" {closed}', HEAD + write],
        env={**os.environ, 'PYTHONPATH': paths},
        capture_output=True,
        check=True,
    )
    assert done.stdout == (b'' if '>&-' in closed.split() else b'out\n')
    assert done.stderr == (b'' if '2>&-' in closed.split() else b'err\n')


def test_what_a_crash_says_is_delivered(tmp_path: Path) -> None:
    crash = "with patient_output():\n    os.write(2, b'before the crash\\n')\n    os.abort()"
    process = start(crash, stderr=subprocess.PIPE)
    assert process.communicate(timeout=PATIENCE_S)[1] == b'before the crash\n'
    assert process.returncode == -6


def test_a_terminal_gets_what_is_written_at_once() -> None:
    screen, terminal = pty.openpty()
    source = "with patient_output():\n    os.write(1, b'ready?')\n    sys.stdin.readline()"
    process = start(source, stdin=subprocess.PIPE, stdout=terminal)
    with process:
        assert os.read(screen, 100) == b'ready?'  # before the process ends, without a newline
    os.close(screen)
    os.close(terminal)
