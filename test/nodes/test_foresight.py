# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A watched policy over real DDS: an alarm is named, and whoever watches holds nobody up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm
from frame_predictors import small_predictor

pytest.importorskip('rclpy')

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from fake_arm import FakeArm, MakeNode, assert_safe, save_random_chunk_policy, save_random_policy
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import Bench
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from motion_policy.inference import foresight_sources
from motion_policy.inference.foresight_sources import PlanSource
from motion_policy.inference.worker_process import WorkerProcess
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.policies import read_policy_spec, save_policy
from motion_policy.policies.checkpoint import save_spec
from motion_policy.policies.foresight_limits import ForesightLimits

pytestmark = pytest.mark.slow

ROBOT = formula_arm()
# The predictor below foresees grey of 0.5. The fake camera shows 90 of 255, then white.
GREY_ERROR, WHITE_ERROR, LIMIT = (0.5 - 90 / 255) ** 2, 0.25, 0.1
GONE = {signal.SIGKILL: 'signal 9', signal.SIGSTOP: 'no response for 0.5 s'}
ALARM = "camera 'top' shows what was not foreseen: image error is"


def limits(**scales: float) -> ForesightLimits:
    return ForesightLimits(
        floor=1e-3,
        scales={name: (scale,) for name, scale in scales.items()},
        threshold=1,
        alpha=0.1,
        episodes=20,
        source='test',
    )


def save_grey_predictor(folder: Path, **changes: Any) -> Path:
    """Save a predictor that foresees the same grey whatever it sees, with a limit for it."""
    spread = {'mean': [0.0] * 3, 'std': [1.0] * 3}
    given = {'robot': ROBOT, 'normalisation': {'qpos': spread, 'action': spread}}
    model = small_predictor(
        **given, foresight=limits(**{'image/top': LIMIT}), hyper={'condition': 'action'}, **changes
    )
    with torch.no_grad():
        for weight in model.network.decoder.parameters():
            weight.zero_()
    return save_policy(model, folder)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_random_chunk_policy(tmp_path_factory.mktemp('models') / 'act', ROBOT, 150)


@pytest.fixture(scope='module')
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_grey_predictor(tmp_path_factory.mktemp('models') / 'predictor')


@pytest.fixture
def usual_parameters(predictor: Path) -> dict[str, Any]:
    return {
        'backend': 'eager',
        'max_frozen': 0.0,
        'inference.isolation': 'thread',
        'foresight.checkpoint': str(predictor),
    }


@pytest.fixture
def log(bench: Bench) -> list[str]:
    lines: list[str] = []
    bench.client.create_subscription(Log, '/rosout', lambda m: lines.append(m.msg), 100)
    return lines


@pytest.fixture
def errors(bench: Bench) -> list[float]:
    heard: list[float] = []
    topic = 'policy_node/surprise'
    bench.client.create_subscription(Float64, topic, lambda m: heard.append(m.data), 100)
    return heard


def wait_for_line(bench: Bench, log: list[str], text: str) -> None:
    bench.spin_until(lambda: any(text in line for line in log), text)


def wait_for_status(arm: FakeArm, level: Any, text: str) -> None:
    """Wait for the newest status of the foresight to be this one."""

    def there() -> bool:
        for message in reversed(arm.diagnostics):
            for status in message.status:
                if status.name.endswith('foresight'):
                    return bool(status.level == level and text in status.message)
        return False

    arm.bench.spin_until(there, text)


def process_of(node: PolicyNode) -> WorkerProcess:
    assert isinstance(node._foresight, PlanSource) and node._foresight._process is not None
    return node._foresight._process


def pid_of(node: PolicyNode) -> int:
    pid = process_of(node).pid
    assert pid is not None
    return pid


def test_a_prediction_error_is_published_and_told_once_and_the_arm_goes_on(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str], errors: list[float]
) -> None:
    make_node()
    arm.enable_when_ready()
    bench.spin_until(lambda: len(errors) >= 8, 'prediction errors')
    np.testing.assert_allclose(errors, GREY_ERROR / LIMIT, rtol=0.05)
    wait_for_status(arm, DiagnosticStatus.OK, 'as foreseen')
    arm.wait_for_diagnostic('foresight', 'error of patch/top', '.')
    assert not any('foresight:' in line for line in log)
    arm.grey = 255
    wait_for_line(bench, log, f'foresight: {ALARM} ')
    wait_for_status(arm, DiagnosticStatus.WARN, ALARM)
    assert arm.diagnostic('foresight', 'of channel') == 'image/top'
    alarming = pytest.approx([WHITE_ERROR / LIMIT] * 3, rel=0.05)
    bench.spin_until(lambda: errors[-3:] == alarming, 'more of them')
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert sum(ALARM in line for line in log) == 1
    arm.grey = 90
    assert arm.reset().success
    wait_for_status(arm, DiagnosticStatus.OK, 'as foreseen')
    assert_safe(arm.commands, ROBOT)


def test_the_arm_holds_at_a_prediction_error_until_somebody_has_looked(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str], errors: list[float]
) -> None:
    make_node(**{'foresight.reaction': 'hold', 'auto_resume': 60.0})
    for release in (arm.reset, lambda: (arm.enable(False), arm.wait_for_idle(), arm.enable())[2]):
        if not arm.commands:
            arm.enable_when_ready()
        errors.clear()
        bench.spin_until(lambda: len(errors) >= 3, 'prediction errors')
        log.clear()
        arm.grey = 255
        wait_for_line(bench, log, f'hold: foresight: {ALARM}')
        arm.grey = 90
        held = arm.hear(100)  # what was foreseen is there again, but nobody has looked
        np.testing.assert_array_equal(held[-1], held[-2])
        arm.diagnostics.clear()
        arm.wait_for_diagnostic('control', 'reason', f'foresight: {ALARM}')
        assert release().success
        arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_a_prediction_error_keeps_no_arm_from_its_home(
    bench: Bench,
    arm: FakeArm,
    make_node: MakeNode,
    log: list[str],
    errors: list[float],
    tmp_path: Path,
) -> None:
    home = (0.4, 0.3, 0.2)
    spec = tmp_path / 'robot.yaml'
    spec.write_text(ROBOT.model_copy(update={'home': home}).to_yaml())
    make_node(robot=str(spec), **{'foresight.reaction': 'hold'})
    arm.enable_when_ready()
    bench.spin_until(lambda: len(errors) >= 3, 'prediction errors')
    arm.grey = 255
    arm.wait_for_idle()
    assert 'foresight' in arm.diagnostic('control', 'reason')
    assert bench.call(Trigger, 'policy_node/home').success
    arm.wait_for_idle()
    np.testing.assert_allclose(arm.commands[-1], home, atol=1e-9)
    assert arm.diagnostic('control', 'reason') == ''


def test_a_predictor_that_hangs_or_is_gone_is_told_and_takes_no_command_from_the_arm(
    bench: Bench,
    arm: FakeArm,
    make_node: MakeNode,
    log: list[str],
    errors: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foresight_sources, 'RESTART_S', 0.1)
    node = make_node()
    arm.enable_when_ready()
    bench.spin_until(lambda: len(errors) >= 3, 'prediction errors')
    pid = pid_of(node)
    os.kill(pid, signal.SIGSTOP)
    heard = len(errors)
    arm.hear(150)  # in the time of 30 looks; four of them may wait
    assert len(errors) <= heard + 1
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert int(arm.diagnostic('foresight', 'skipped looks')) > 0
    os.kill(pid, signal.SIGCONT)
    bench.spin_until(lambda: len(errors) > heard + 5, 'prediction errors again')
    assert pid_of(node) == pid

    driver = node._driver
    assert driver is not None
    for sent, named in GONE.items():
        log.clear()
        arm.diagnostics.clear()
        pid, process = pid_of(node), process_of(node)
        patience_s = process._timeout_s
        os.kill(pid, sent)
        if sent == signal.SIGSTOP:
            process._timeout_s = 0.5  # only now: on a busy machine a look may take longer
        wait_for_line(bench, log, 'foresight: nobody watches: RuntimeError: the foresight process')
        process._timeout_s = patience_s
        assert any(f'ended: {named}' in line for line in log)
        wait_for_status(arm, DiagnosticStatus.WARN, 'nobody watches: RuntimeError: the foresight')
        assert driver.controller.enabled
        bench.spin_until(lambda: driver.controller.state == 'run', 'the arm to go on')
        errors.clear()
        wait_for_line(bench, log, 'foresight: watches again')
        bench.spin_until(lambda: errors, 'prediction errors again')
        assert pid_of(node) != pid
        assert not any('hold: foresight' in line for line in log)
    assert_safe(arm.commands, ROBOT)


def test_an_arm_that_is_to_hold_at_a_prediction_error_does_not_move_unwatched(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str], errors: list[float]
) -> None:
    node = make_node(**{'foresight.reaction': 'hold', 'auto_resume': 60.0})
    arm.enable_when_ready()
    bench.spin_until(lambda: len(errors) >= 3, 'prediction errors')
    os.kill(pid_of(node), signal.SIGKILL)
    wait_for_line(bench, log, 'hold: foresight: nobody watches: RuntimeError: the foresight')
    wait_for_line(bench, log, 'foresight: watches again')
    arm.diagnostics.clear()
    bench.spin_until(lambda: arm.diagnostics, 'diagnostics')
    if arm.diagnostic('control', 'state') == 'disabled':
        arm.enable_when_ready()  # a busy machine took longer to watch again than `auto_resume`
    arm.wait_for_diagnostic('control', 'state', 'run')
    assert_safe(arm.commands, ROBOT)


def test_a_recurrent_policy_watches_itself(
    bench: Bench,
    arm: FakeArm,
    make_node: MakeNode,
    log: list[str],
    errors: list[float],
    tmp_path: Path,
) -> None:
    folder = save_random_policy(tmp_path / 'sarnn', ROBOT)
    spec = read_policy_spec(folder)
    save_spec(spec.model_copy(update={'foresight': limits(**{'joint joint2': 0.4})}), folder)
    parameters = {'checkpoint': str(folder), 'foresight.checkpoint': 'own'}
    unwatched = tmp_path / 'robot.yaml'  # else its tracking error would stop it
    unwatched.write_text(ROBOT.model_copy(update={'tracking_error': (0.0, 0.0, 0.0)}).to_yaml())
    parameters['robot'] = str(unwatched)
    make_node(**parameters, **{'foresight.reaction': 'hold', 'auto_resume': 60.0})
    arm.enable_when_ready()
    bench.spin_until(lambda: len(errors) >= 5, 'prediction errors')
    assert max(errors) < 1
    arm.wait_for_diagnostic('control', 'state', 'run')
    arm.obeys = False  # somebody leans on it
    arm.position = arm.position + np.array([0.0, 0.9, 0.0])
    told = 'hold: foresight: the arm does what was not foreseen: joint joint2 error is'
    wait_for_line(bench, log, told)
    arm.obeys = True
    assert arm.reset().success
    arm.diagnostics.clear()
    arm.wait_for_diagnostic('control', 'state', 'run')


def test_without_limits_errors_are_told_and_nothing_is_an_alarm(
    bench: Bench, arm: FakeArm, make_node: MakeNode, log: list[str], errors: list[float],
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = save_random_policy(tmp_path / 'sarnn', ROBOT)
    make_node(**{'checkpoint': str(folder), 'foresight.checkpoint': 'own'})
    arm.enable_when_ready()
    arm.wait_for_diagnostic('foresight', 'error of joint joint2', '.')
    assert errors == []
    wait_for_line(bench, log, 'itself has no limits, which `motion-policy calibrate` finds')


def test_a_watch_that_cannot_be_is_refused_in_one_line(
    bench: Bench, make_node: MakeNode, log: list[str], tmp_path: Path, predictor: Path
) -> None:
    spec = read_policy_spec(predictor)
    bare = save_policy(
        small_predictor(normalisation=spec.normalisation, robot=ROBOT), tmp_path / 'a'
    )
    foreign = save_policy(small_predictor(), tmp_path / 'b')
    policy = save_random_policy(tmp_path / 'sarnn', ROBOT)
    wrong = {
        'own': "foresight: a policy of kind 'act' predicts no next image of its own",
        str(bare): f"foresight: '{bare}' has no limits, which `motion-policy calibrate` finds: "
        'without them the arm cannot hold at a prediction error',
        str(foreign): f'foresight: {foreign}: was trained for joints [joint1, joint2, joint3, ',
        str(policy): f"foresight: {policy}: holds a 'sarnn', expected a frame_predictor",
        'no_such_model': 'foresight: no_such_model: no such checkpoint folder',
    }
    for checkpoint, line in wrong.items():
        reaction = 'hold' if checkpoint == str(bare) else 'warn'
        given = {'foresight.checkpoint': checkpoint, 'foresight.reaction': reaction}
        node = make_node(autostart=False, **given)
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        wait_for_line(bench, log, line)
        assert all('\n' not in text for text in log)
        node.close()
        bench.executor.remove_node(node)
        node.destroy_node()
