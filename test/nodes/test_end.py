# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A node that ended leaves nothing in the middleware, neither memory nor a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from control_robots import formula_arm

pytest.importorskip('rclpy')

from fake_arm import save_random_policy
from lifecycle_msgs.srv import GetState
from ros_testing import Bench, ros_bench, shared_memory, shared_memory_in

SHARED_MEMORY = Path('/dev/shm')
GHOST_S = 30.0  # longer than the lease of a process that is gone

pytestmark = pytest.mark.skipif(
    not SHARED_MEMORY.is_dir(), reason='the middleware keeps its memory elsewhere'
)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy."""
    return save_random_policy(tmp_path_factory.mktemp('models') / 'random', formula_arm())


def start(node: str, log_dir: Path, *parameters: str) -> subprocess.Popen[str]:
    """Start a node as a process."""
    command = [sys.executable, '-m', f'motion_policy.nodes.{node}', '--ros-args']
    for parameter in parameters:
        command += ['-p', parameter]
    environment = {**os.environ, 'ROS_LOG_DIR': str(log_dir)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize('configured', [False, True])
def test_the_end_by_a_signal_leaves_nothing(
    ros_domain: int, checkpoint: Path, tmp_path: Path, configured: bool
) -> None:
    parameters = [f'checkpoint:={checkpoint}'] + ['autostart:=true'] * configured
    # rmw_fastrtps may, one time in twenty, take what a node said of itself after it took that its
    # process is gone, and lists it for ever.
    assert any(ends_without_a_ghost(tmp_path, parameters) for _ in range(3))


def ends_without_a_ghost(log_dir: Path, parameters: list[str]) -> bool:
    """Whether a node's end is noticed by who saw it; it leaves no shared memory in any case."""
    with ros_bench() as bench:
        before = {str(path) for path in SHARED_MEMORY.glob('fast*')}
        with start('policy_node', log_dir, *parameters) as process:
            try:
                wait_for_an_answer(bench)
                memory = shared_memory(process.pid) - before
                process.send_signal(signal.SIGINT)
                bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
            finally:
                process.kill()  # where the test failed
        assert memory and process.returncode == 0
        assert {path for path in memory if Path(path).exists()} == set()
        end = time.monotonic() + GHOST_S
        while 'policy_node' in bench.client.get_node_names():
            if time.monotonic() > end:
                return False
            bench.spin_for(0.1)
        return True


def wait_for_an_answer(bench: Bench) -> None:
    """Ask the node for its state until it answers: it may not know yet who asks first."""
    client = bench.client.create_client(GetState, 'policy_node/get_state')
    bench.spin_until(client.service_is_ready, 'the node')
    answers: list[Any] = []

    def ask() -> None:
        client.call_async(GetState.Request()).add_done_callback(answers.append)

    ask()
    asking = bench.client.create_timer(5.0, ask)
    bench.spin_until(lambda: answers, 'an answer of the node')
    bench.client.destroy_timer(asking)
    bench.client.destroy_client(client)


def test_a_node_that_cannot_be_made_leaves_nothing(ros_domain: int, tmp_path: Path) -> None:
    # It says what it has mapped at the moment of its mistake.
    source = """
import sys
from pathlib import Path
from motion_policy.nodes import policy_node

def fail(*_):
    from motion_policy.errors import UserError
    print(Path('/proc/self/maps').read_text())
    raise UserError('no such choice')

policy_node.declare_group = fail
sys.exit(policy_node.main())
"""
    command = [sys.executable, '-c', source]
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == 'error: no such choice\n'
    memory = shared_memory_in(done.stdout)
    assert {path for path in memory if Path(path).exists()} == set()


def test_a_signal_ends_a_node_whose_tick_hangs(
    bench: Bench, checkpoint: Path, tmp_path: Path
) -> None:
    """The hanging thread has the lock that everything else needs."""
    source = """
import sys, threading
from motion_policy.control import Controller
from motion_policy.nodes import policy_node

Controller.look = lambda *_, **__: threading.Event().wait()
sys.exit(policy_node.main(sys.argv[1:]))
"""
    command = [sys.executable, '-c', source, '--ros-args', '-p', 'autostart:=true']
    command += ['-p', f'checkpoint:={checkpoint}']
    environment = {**os.environ, 'ROS_LOG_DIR': str(tmp_path)}
    log = tmp_path / 'stderr'
    with (
        log.open('w') as stderr,
        subprocess.Popen(command, env=environment, stderr=stderr) as process,
    ):
        try:
            bench.spin_until(
                lambda: 'control tick hangs' in log.read_text(), 'a log', log.read_text
            )
            process.send_signal(signal.SIGTERM)
            bench.spin_until(lambda: process.poll() is not None, 'the end of the node')
        finally:
            process.kill()  # where the test failed
    assert process.returncode == 1
    assert 'control tick hangs: this process ends as it is' in log.read_text()
