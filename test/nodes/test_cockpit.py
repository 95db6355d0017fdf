# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The cockpit as a process of its own, in a real browser: an arm is driven by mouse and by keys.

Whatever becomes of page and cockpit, the arm keeps its limits and stands.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from control_robots import formula_arm

pytest.importorskip('rclpy')
pytest.importorskip('aiohttp')
pytest.importorskip('pinocchio')

from chromium import Chromium, Page
from fake_arm import LOSSLESS, FakeArm, assert_safe, save_random_policy
from planar_arm import planar_urdf
from rclpy.parameter import Parameter
from ros_testing import Bench

from motion_policy.cockpit.arm_link import NodeAnswer
from motion_policy.nodes.cockpit_node import CockpitNode
from motion_policy.nodes.policy_node import PolicyNode
from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.teleop_node import TeleopNode
from motion_policy.robot import robot_spec_from_yaml

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0


@pytest.fixture(scope='module')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp('profile')) as chromium:
        yield chromium


class Cockpit:
    """An arm, the nodes that move and record it, and a cockpit as a process."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        values = yaml.safe_load(formula_arm(4).to_yaml())
        planar_urdf(folder / 'planar.urdf')
        values['tool'] = {'link': 'tool', 'urdf': str(folder / 'planar.urdf')}
        values['teleop'] = {'twist': {'topic': 'keys', 'type': 'geometry_msgs/msg/Twist'}}
        joints = values['joints']
        joints['leader'] = [dict(topic) for topic in joints['command']]
        # This process serves the arm, and waits for the browser meanwhile.
        for stream in (*joints['leader'], *joints['state'], values['cameras']['top']):
            stream['max_age'] = PATIENCE_S
        values['tracking_error'] = [0.0] * len(joints['names'])
        values['home'] = [0.1, 0.3, 0.1, 0.1]
        robot = robot_spec_from_yaml(yaml.safe_dump(values), 'planar.yaml')
        self.folder, spec = folder, folder / 'arm.yaml'
        spec.write_text(robot.to_yaml())
        self.bench, self.arm = bench, FakeArm(bench, robot, 'teleop_node')
        driving = {'autostart': True, 'diagnostics_period': 0.1, **LOSSLESS}
        recording = {'directory': str(folder / 'set'), 'task': 'reach'}
        self.nodes = [
            kind(context=bench.context, parameter_overrides=[
                Parameter(name, value=value)
                for name, value in {'robot': str(spec), **more}.items()
            ])
            for kind, more in ((TeleopNode, driving), (RecorderNode, recording))
        ]  # fmt: skip
        for node in self.nodes:
            bench.add(node)
        program = Path(sys.executable).with_name('motion-policy')
        command = [
            program, 'cockpit', '--robot', spec, '--port', '0', '--data', folder / 'set'
        ]  # fmt: skip
        self.said = folder / 'said'
        self.process = subprocess.Popen(
            command, stdout=self.said.open('w'), stderr=subprocess.STDOUT,
            env={**os.environ, 'ROS_LOG_DIR': str(folder), 'PYTHONUNBUFFERED': '1'},
        )  # fmt: skip
        bench.spin_until(lambda: 'http://' in self.said.read_text(), 'the cockpit', self.told)
        self.url = self.said.read_text().split()[-1]

    def told(self) -> str:
        return self.said.read_text()

    def wait(self, page: Page, script: str) -> None:
        """Serve ROS until something holds in the page."""
        next_s = 0.0

        def holds() -> bool:
            nonlocal next_s
            if time.monotonic() < next_s:
                return False
            next_s = time.monotonic() + 0.1
            return bool(page.run(script))

        self.bench.spin_until(
            holds, script, lambda: page.text('main') + self.told(),
        )  # fmt: skip

    def wait_for(self, page: Page, selector: str, words: str) -> None:
        """Serve ROS until an element says this."""
        self.wait(page, f'document.querySelector({selector!r}).textContent.includes({words!r})')

    def sit_down(self, page: Page) -> None:
        """Wait for the page, and take the seat by the mouse."""
        self.wait(page, 'document.querySelectorAll("#nodes button").length == 1')
        page.mouse('#seat')
        self.wait_for(page, '#driver', 'you drive')

    def enable(self, page: Page) -> None:
        """Enable by the key, as often as it takes until all streams are heard."""
        self.wait(page, '!document.querySelector("[data-what=enable]").disabled')
        for _ in range(100):
            page.key('KeyE')
            self.bench.spin_for(0.2)
            if page.text('#word') == 'run':
                return
        pytest.fail(page.text('main'))

    def drive_to_the_side(self, page: Page) -> None:
        """Hold the dead-man key and a direction until the arm moves.

        On a machine that is too busy for the page the key counts as released: press again.
        """
        first = len(self.arm.commands)

        def moves() -> bool:
            if len(self.arm.commands) == first:
                return False
            return bool(abs(self.arm.commands[-1][0] - self.arm.commands[first][0]) > 0.02)

        for _ in range(100):
            page.key('KeyF', 'keyDown')
            page.key('KeyJ', 'keyDown')
            end_s = time.monotonic() + 2.0
            while not moves() and time.monotonic() < end_s:
                self.bench.spin_for(0.05)
            if moves():
                return
            page.key('KeyF', 'keyUp')
        pytest.fail(page.text('main') + self.told())

    def stands(self) -> None:
        """Wait until the arm is sent to the same place again and again, or nowhere."""
        self.bench.spin_until(
            lambda: (np.diff(self.arm.hear(5), axis=0) == 0).all(), 'an arm that stands'
        )

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for node in self.nodes:
            node.close()


@pytest.fixture
def cockpit(bench: Bench, browser: Chromium, tmp_path: Path) -> Iterator[Cockpit]:
    made = Cockpit(bench, tmp_path)
    try:
        yield made
        assert_safe(made.arm.commands, made.arm.robot)
    finally:
        made.close()


def test_an_arm_is_moved_recorded_and_stopped_by_keys_and_by_the_mouse(
    cockpit: Cockpit, browser: Chromium
) -> None:
    page = browser.open(cockpit.url)
    cockpit.sit_down(page)
    assert page.text('#word') == 'disabled'
    cockpit.wait_for(page, '#told', 'ms late')
    cockpit.enable(page)
    page.mouse('#slower')
    cockpit.wait_for(page, '#speed', '90 %')
    page.mouse('#record [data-what=start]')
    cockpit.wait_for(page, '#recording', 'recording')
    cockpit.drive_to_the_side(page)
    page.key('KeyF', 'keyUp')
    cockpit.stands()
    page.key('Digit2')
    cockpit.wait_for(page, '#record-line', 'last: episode_000000.hdf5')
    page.key('KeyY')
    cockpit.wait_for(page, '#set tbody', 'success')
    assert page.run('document.querySelectorAll("#set tbody tr").length') == 1
    cockpit.wait(page, 'document.querySelectorAll("figure:not(.stale)").length == 1')
    page.mouse('#stop', 'mousePressed')
    cockpit.wait_for(page, '#stopped', 'disabled: the arm brakes and holds')
    cockpit.wait_for(page, '#word', 'disabled')
    assert 'somebody (127.0.0.1): STOP' in cockpit.told()
    cockpit.enable(page)
    page.key('KeyH')
    cockpit.wait_for(page, '#word', 'disabled')
    np.testing.assert_allclose(cockpit.arm.position, cockpit.arm.robot.home, atol=1e-3)
    page.close()
    cockpit.process.send_signal(signal.SIGINT)
    cockpit.bench.spin_until(lambda: cockpit.process.poll() is not None, 'the end')
    assert cockpit.process.returncode == 0 and 'Traceback' not in cockpit.told()


def test_a_tab_that_is_closed_and_a_cockpit_that_is_killed_move_nothing_more(
    cockpit: Cockpit, browser: Chromium
) -> None:
    page = browser.open(cockpit.url)
    cockpit.sit_down(page)
    cockpit.enable(page)
    cockpit.drive_to_the_side(page)
    page.run('dispatchEvent(new Event("blur"))')  # the window is no longer in front
    cockpit.stands()
    # Back in front, the keys still down: they repeat by themselves, and nobody pressed them.
    for key in 'jf':
        page.ask('Input.dispatchKeyEvent', type='keyDown', code=f'Key{key.upper()}', key=key,
                 autoRepeat=True)  # fmt: skip
    assert page.run('document.querySelectorAll(".hold.held").length') == 0
    for code in ('KeyJ', 'KeyF'):
        page.key(code, 'keyUp')
    cockpit.drive_to_the_side(page)
    assert page.run('document.querySelectorAll(".hold.held").length') == 1
    page.close()
    cockpit.stands()

    page = browser.open(cockpit.url, 390, 844, phone=True)
    cockpit.sit_down(page)
    assert page.run('document.documentElement.scrollWidth') == 390
    cockpit.drive_to_the_side(page)
    cockpit.process.send_signal(signal.SIGSTOP)
    cockpit.stands()
    cockpit.process.send_signal(signal.SIGCONT)
    cockpit.wait_for(page, '#held', 'press again')
    cockpit.stands()
    for code in ('KeyJ', 'KeyF'):
        page.key(code, 'keyUp')
    cockpit.drive_to_the_side(page)
    cockpit.process.kill()
    cockpit.stands()
    cockpit.wait(page, 'document.body.className.includes("lost")')
    assert cockpit.arm.diagnostic('control', 'state') == 'run'
    page.close()


def test_who_drives_is_shown_and_a_person_takes_over_and_gives_back(
    bench: Bench, tmp_path: Path
) -> None:
    values = yaml.safe_load(formula_arm().to_yaml())
    values['teleop'] = {'joy': {'axes': {'joint1': 0}, 'dead_man': 1}}
    robot = robot_spec_from_yaml(yaml.safe_dump(values), 'joy.yaml')
    arm = FakeArm(bench, robot)
    parameters = {
        'checkpoint': str(save_random_policy(tmp_path / 'model', robot)), 'autostart': True,
        'diagnostics_period': 0.1, 'require_emergency_stop': False, **LOSSLESS,
    }  # fmt: skip
    node = bench.add(PolicyNode(context=bench.context, parameter_overrides=[
        Parameter(name, value=value) for name, value in parameters.items()
    ]))  # fmt: skip
    cockpits: list[CockpitNode] = []

    class Closed(CockpitNode):
        def close(self) -> None:
            pass

    def make() -> CockpitNode:
        cockpits.append(Closed(robot, ['policy_node', 'other'], context=bench.context))
        return cockpits[0]

    def state() -> dict[str, Any]:
        nodes = cockpits[0].state().get('nodes') if cockpits else None
        return nodes[0] if nodes else {}

    def ask(what: str, value: float | None = None, of: str = 'policy_node') -> NodeAnswer:
        answers: list[NodeAnswer] = []
        cockpits[0].ask(of, what, value, 30.0, answers.append)
        bench.spin_until(lambda: answers, f'an answer to {what}')
        return answers[0]

    bench.run_apart(make)
    try:
        bench.spin_until(lambda: 'takeover' in state().get('serves', ()), 'the node')
        assert ask('halt', of='other') == NodeAnswer(False, '')
        assert ask('home', of='other') == NodeAnswer(False, '/other/home is not there')
        bench.spin_until(lambda: ask('enable').ok, 'an enabled arm')
        bench.spin_until(lambda: state().get('drives') == 'the policy', 'the policy')
        assert ask('takeover', True).ok
        bench.spin_until(lambda: state().get('drives') == 'a person', 'a person')
        assert ask('takeover', False).ok
        bench.spin_until(lambda: state().get('drives') == 'the policy', 'the policy again')
        assert ask('speed', 0.25) == NodeAnswer(True, 'done')
        assert ask('halt').ok
        bench.spin_until(lambda: state()['state'] == 'disabled', 'an end')
        assert state().get('drives') == 'nobody'
        joints = cockpits[0].state()['joints']
        np.testing.assert_allclose(joints['position'], arm.position, atol=1e-6)
        assert_safe(arm.commands, robot)
    finally:
        node.close()
