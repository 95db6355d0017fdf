# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy robot` makes a spec of a bag, checks one against it, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bag_files import T, demonstration, without, write_bag

from motion_policy.cli.main import main
from motion_policy.robot import load_robot_spec

URDF = """
<robot name="r">
  <joint name="joint1" type="revolute"><limit lower="-3" upper="3" velocity="4"/></joint>
</robot>
"""


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = demonstration(2.0, load_robot_spec('tabletop_sim'))
    described = T['std_msgs/msg/String'](data=URDF)
    events.insert(0, (*events[0][:2], '/arm/robot_description', described))
    return write_bag(tmp_path_factory.mktemp('bags') / 'bag', events)


def test_a_bag_becomes_a_spec_that_loads_and_fits_it(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, told = tmp_path / 'my_arm.yaml', tmp_path / 'told.json'
    assert main(['robot', 'new', str(spec), '--bag', str(bag), '--json', str(told)]) == 0
    robot = load_robot_spec(spec)
    assert set(robot.joints.names) == set(load_robot_spec('tabletop_sim').joints.names)
    assert set(robot.cameras) == {'top', 'side'} and robot.joints.leader
    assert robot.name == 'my_arm'
    assert robot.joints.limits.position[robot.joints.names.index('joint1')] == (-3.0, 3.0)
    assert 'joint1: arm/robot_description' in spec.read_text()
    figures = json.loads(told.read_text())
    assert figures['loads'] and any('placeholder' in todo for todo in figures['todos'])
    said = capsys.readouterr().out
    assert 'TODO command topic: no commands are in it: a placeholder' in said
    assert main(['robot', 'check', str(spec), '--bag', str(bag)]) == 0
    assert "'my_arm' and" in capsys.readouterr().out

    assert main(['robot', 'new', str(spec), '--bag', str(bag)]) == 2
    assert 'is there already, expected another name, or --force' in capsys.readouterr().err
    assert main(['robot', 'new', str(spec), '--bag', str(bag), '--force']) == 0


def test_the_spec_that_a_bag_was_recorded_with_fits_and_another_does_not(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['robot', 'check', 'tabletop_sim', '--bag', str(bag)]) == 0
    told = tmp_path / 'told.json'
    assert main(['robot', 'check', 'so101', '--bag', str(bag), '--json', str(told)]) == 1
    found = json.loads(told.read_text())
    assert not found['fits'] and found['found'][0]['kind'] == 'problem'
    assert '/follower/joint_states is not there' in capsys.readouterr().out


def test_a_bag_without_joints_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = demonstration(0.5, load_robot_spec('tabletop_sim'))
    for topic in ('/joint_states', '/leader/joint_states'):
        events = without(events, topic, 0.0)
    bag = write_bag(tmp_path / 'bag', events)
    assert main(['robot', 'new', str(tmp_path / 'a.yaml'), '--bag', str(bag)]) == 1
    said = capsys.readouterr().out
    assert 'TODO no joint states were heard' in said and 'does not load yet' in said


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['new', 'a.yaml', '--bag', 'nowhere'], 'nowhere: no such file or folder'),
        (['new', 'a.yaml', '--bag', 'text.yaml'], 'text.yaml'),
        (['new', 'a.txt', '--bag', 'text.yaml'], 'expected a name that ends with .yaml'),
        (['check', 'nothing.yaml'], 'nothing.yaml: no such file'),
        (['check', 'so101', '--force'], '--force means nothing'),
        (['new', 'a.yaml', '--seconds', '0'], '--seconds is 0'),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('text.yaml').write_text('no: bag\n')
    assert main(['robot', *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count('\n') == 1
    assert not Path('a.yaml').exists()
