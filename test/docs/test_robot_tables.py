# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What pages outside the reference tell of the shipped robots, policies and formats."""

from __future__ import annotations

import re

import pytest
from reference_tables import Table, codes, section, tables
from repository import ROOT

from motion_policy.cli.import_ import IMPORTS
from motion_policy.evaluation.scenes import SCENES
from motion_policy.policies.base import Policy
from motion_policy.policies.kinds import MODEL_KINDS
from motion_policy.robot import load_robot_spec

SPECS = sorted(path.stem for path in (ROOT / 'config' / 'robots').glob('*.yaml'))
ARMS = [name for name in SPECS if name not in {scene.robot for scene in SCENES.values()}]
NUMBER = re.compile(r'\d+(?:\.\d+)?')


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


def test_every_shipped_spec_is_named_where_a_user_chooses_one() -> None:
    [specs, *_] = tables(section(text_of('docs/howto/my_arm.md'), '2. Describe the arm'))
    named = [name for row in specs.rows for name in codes(row[0])]
    assert sorted(named) == [f'{name}.yaml' for name in SPECS]


def blind() -> Table:
    [table] = tables(section(text_of('docs/explanation/safety.md'), 'How far the arm goes blind'))
    return table


def test_every_real_arm_has_a_row_on_how_far_it_goes_blind() -> None:
    assert {*ARMS} <= {name for row in blind().rows for name in codes(row[0])}


@pytest.mark.parametrize('row', blind().rows, ids=lambda row: codes(row[0])[0])
def test_the_ways_of_a_blind_arm_are_those_of_its_spec(row: tuple[str, ...]) -> None:
    """v, then age and v * age of joint states and cameras, v^2 / 2a and v / a of braking."""
    robot = load_robot_spec(codes(row[0])[0])
    limits = robot.joints.limits
    speed, brake = limits.velocity_array(), limits.acceleration_array()
    full = speed.max()
    fastest = robot.joints.names[int(speed.argmax())]
    [state] = [topic.max_age for topic in robot.joints.state if fastest in topic.joints]
    camera = max(each.max_age for each in robot.cameras.values())
    way, time = (speed**2 / brake / 2).max(), (speed / brake).max()
    told = [float(number) for cell in row[1:] for number in NUMBER.findall(cell)]
    expected = [full, state, state * full, camera, camera * full, way, time]
    assert told == pytest.approx(expected, abs=0.0051)


def test_the_readme_names_every_policy_and_every_format_that_is_imported() -> None:
    plain = re.sub(r'[^a-z0-9]', '', text_of('README.md').lower())
    kinds = [name for name, kind in MODEL_KINDS.items() if issubclass(kind, Policy)]
    assert kinds and IMPORTS
    missing = [name for name in (*kinds, *IMPORTS) if re.sub(r'[^a-z0-9]', '', name) not in plain]
    assert missing == []
