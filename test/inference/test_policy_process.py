# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy in a process of its own answers as one in this process, and its end is only a fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from killed_at_last import killed_at_last
from policy_examples import small_policy
from stopped_workers import alive, stop_workers

from motion_policy.errors import UserError
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.policies import save_policy
from motion_policy.policies.backends.selection import BackEndChoice
from motion_policy.policies.checkpoint import read_checkpoint
from motion_policy.streams import Observation

torch.set_num_threads(1)
PATIENCE_S = 300.0
PERIOD_NS = 100_000_000
OWNER = """
import sys, time
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.policies.checkpoint import read_checkpoint
checkpoint = read_checkpoint(sys.argv[1])
setup = PolicySetup(checkpoint, checkpoint.spec.robot)
print(InferenceProcess(setup, lambda line: None, 60.0).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope='module')
def setup(tmp_path_factory: pytest.TempPathFactory) -> PolicySetup:
    policy = small_policy()
    folder = save_policy(policy, tmp_path_factory.mktemp('models') / 'sarnn')
    # `auto` may choose otherwise in another process.
    return PolicySetup(read_checkpoint(folder), policy.spec.robot, back_end=BackEndChoice('eager'))


@pytest.fixture(scope='module')
def said() -> list[str]:
    """What the process of these tests said."""
    return []


@pytest.fixture(scope='module')
def begun(setup: PolicySetup, said: list[str]) -> Iterator[list[InferenceProcess]]:
    """Give where the process is kept from test to test: each begins by importing PyTorch."""
    kept = [InferenceProcess(setup, said.append, PATIENCE_S)]
    yield kept
    kept[0].close()


@pytest.fixture
def process(
    setup: PolicySetup, said: list[str], begun: list[InferenceProcess]
) -> InferenceProcess:
    """Give the process, at the beginning of a task; a new one where a test has closed it."""
    said.clear()
    if begun[0].pid is None:
        begun[0] = InferenceProcess(setup, said.append, PATIENCE_S)
    begun[0].reset()
    return begun[0]


def observation(step: int) -> Observation:
    random = np.random.default_rng(step)
    joints = random.uniform(-0.01, 0.01, 5).astype(np.float32)
    image = random.integers(0, 256, (24, 32, 3), np.uint8)
    return Observation(qpos=joints, qvel=joints, effort=None, images={'top': image}, action=None)


def wait_for_the_end_of(pid: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while alive(pid):
        assert time.monotonic() < end, f'process {pid} outlived its owner'
        time.sleep(0.02)


def test_every_step_gives_the_numbers_of_a_runner_in_this_process(
    setup: PolicySetup, process: InferenceProcess
) -> None:
    runner = setup.make_runner(print)
    assert process.facts == runner.facts
    for step in range(4):
        if step == 2:
            runner.reset()
            process.reset()
        arguments = (observation(step), True, step * PERIOD_NS, 0)
        expected, extras = runner.infer(*arguments)
        found, found_extras = process.infer(*arguments)
        np.testing.assert_array_equal(found, expected)
        assert found_extras.keys() == extras.keys() and extras
        for name, value in extras.items():
            np.testing.assert_array_equal(found_extras[name], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('sent', 'named'), [(signal.SIGKILL, 'signal 9'), (signal.SIGSTOP, 'no response for 0.5 s')]
)
def test_a_process_that_dies_or_hangs_is_a_named_fault_and_is_begun_anew(
    process: InferenceProcess, said: list[str], sent: signal.Signals, named: str
) -> None:
    first, _ = process.infer(observation(0), False, 0, 0)
    pid = process.pid
    assert pid is not None
    if sent == signal.SIGSTOP:
        process._timeout_s = 0.5
    os.kill(pid, sent)
    with pytest.raises(RuntimeError, match=named):
        process.infer(observation(1), False, PERIOD_NS, 0)
    assert not alive(pid)
    process._timeout_s = PATIENCE_S
    with pytest.raises(RuntimeError, match=f'begun anew: .*{named}'):
        process.infer(observation(2), False, 2 * PERIOD_NS, 0)
    assert any('begun anew' in line and named in line for line in said)
    # Its recurrent state is that of a new task.
    again, _ = process.infer(observation(0), False, 3 * PERIOD_NS, 0)
    np.testing.assert_array_equal(again, first)


@pytest.mark.slow
def test_the_process_ends_with_its_user_even_when_that_is_killed(setup: PolicySetup) -> None:
    words = [sys.executable, '-c', OWNER, setup.checkpoint.name]
    with killed_at_last(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
    wait_for_the_end_of(pid)


@pytest.mark.slow
def test_a_process_that_hangs_while_it_loads_is_ended_in_time(
    setup: PolicySetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_workers = stop_workers(monkeypatch)
    said = r'inference process was not ready after 1 s \(inference.start_timeout\) and was ended$'
    with pytest.raises(UserError, match=said):
        InferenceProcess(setup, print, PATIENCE_S, 1.0)
    assert len(stopped_workers) == 1 and not alive(stopped_workers[0])


@pytest.mark.slow
def test_what_is_wrong_with_a_policy_is_said_as_in_this_process(
    setup: PolicySetup, process: InferenceProcess
) -> None:
    wrong = replace(setup, device='soufflé')
    with pytest.raises(UserError) as here:
        wrong.make_runner(print)
    with pytest.raises(UserError) as there:
        InferenceProcess(wrong, print, PATIENCE_S)
    assert str(there.value) == str(here.value)
    assert 'soufflé' in str(here.value)
    with pytest.raises(RuntimeError, match=r'Error: '):
        broken = replace(observation(0), qpos=np.zeros(3, np.float32))
        process.infer(broken, False, 0, 0)
    process.infer(observation(0), False, 0, 0)  # a step that raised is no end


@pytest.mark.slow
def test_closing_ends_a_process_that_does_not_listen(process: InferenceProcess) -> None:
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    process.close()
    assert not alive(pid)
    assert process.pid is None
