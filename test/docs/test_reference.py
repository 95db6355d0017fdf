# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation names what the code has: links, keys, options, parameters, examples."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from reference_tables import page
from repository import ROOT

from motion_policy.episodes import check_episode
from motion_policy.robot import GripperSpec, load_robot_spec, robot_spec_from_yaml

PAGES = sorted([*(ROOT / 'docs').rglob('*.md'), *ROOT.glob('*.md')])
NODES = (
    'policy_node', 'recorder_node', 'replay_node', 'sim_node', 'demonstrator_node', 'teleop_node',
)  # fmt: skip


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', text, re.MULTILINE | re.DOTALL)


def absent(names: set[str], text: str) -> set[str]:
    """Return the names that do not stand in `text` as code."""
    quoted = ' '.join(re.findall(r'`+([^`]+)`+', text, re.DOTALL))
    return {name for name in names if not re.search(rf'(?<![\w-]){re.escape(name)}\b', quoted)}


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_image_is_there(path: Path) -> None:
    links = re.findall(r'\]\(([^)#\s]+)[^)]*\)', path.read_text(encoding='utf-8'))
    local = [link for link in links if '://' not in link and not link.startswith('mailto:')]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_in_python_and_yaml_parses(path: Path) -> None:
    text = path.read_text(encoding='utf-8')
    for block in code_blocks(text, 'python'):
        ast.parse(block)
    for block in code_blocks(text, 'yaml'):
        yaml.safe_load(block)


def test_the_robot_spec_example_is_the_shipped_arm() -> None:
    example, *_ = code_blocks(page('robot_spec.md'), 'yaml')
    written, shipped = robot_spec_from_yaml(example, 'the page'), load_robot_spec('tabletop_sim')
    assert written.joints == shipped.joints
    assert written.cameras.items() <= shipped.cameras.items()


def test_the_pieces_of_the_robot_spec_page_fit_into_its_spec() -> None:
    blocks = code_blocks(page('robot_spec.md'), 'yaml')
    whole, lists, mobile, grippers, _, teleop, taken, twist, joy, cameras, depth, *_ = blocks
    written = robot_spec_from_yaml(whole.replace('  limits:', f'{grippers}  limits:', 1), 'page')
    assert set(written.joints.grippers) == {'gripper'}
    limits = '  limits: {position: [[0, 1], [0, 1], [0, 1]], velocity: [1, 1, 1], acceleration: '
    apart = robot_spec_from_yaml(f'name: arm\nrate: 50\n{lists}{limits}[1, 1, 1]}}', 'page').joints
    assert [topic.joints for topic in apart.command] == [topic.joints for topic in apart.state]
    base = robot_spec_from_yaml(f'name: mobile\nrate: 50\n{mobile}', 'page').joints
    assert [topic.joints[-1] for topic in base.state] == ['elbow', 'base_turn']
    led = robot_spec_from_yaml(whole + teleop, 'page').teleop
    assert led is not None and led.ranges.keys() == {'gripper'}
    over = robot_spec_from_yaml(whole + taken, 'page').teleop
    assert over is not None and over.takeover is not None and over.takeover.button == 1
    beside = ROOT / 'config' / 'robots' / 'page.yaml'
    assert robot_spec_from_yaml(whole + twist, beside).teleop is not None
    tool = twist.partition('teleop:')[0]
    assert robot_spec_from_yaml(whole + tool + joy, beside).teleop is not None
    seen = robot_spec_from_yaml(whole[: whole.index('cameras:')] + cameras, 'page').cameras
    assert {name: str(camera.image_fit) for name, camera in seen.items()} == {
        'top': 'crop [80, 0, 480, 480], rotate 0, fit stretch', 'wrist': 'rotate 180, fit pad',
    }  # fmt: skip
    written = robot_spec_from_yaml(whole + depth, 'page')
    assert set(written.depth) == {'top', 'wrist'} and 'top' in written.cameras


def test_the_grippers_with_interfaces_of_the_robot_spec_page_are_grippers() -> None:
    acting = yaml.safe_load(code_blocks(page('robot_spec.md'), 'yaml')[4])['grippers']
    written = {name: GripperSpec(**values) for name, values in acting.items()}
    assert sum(gripper.action is not None for gripper in written.values()) == 2
    assert sum(gripper.service is not None for gripper in written.values()) == 1


def test_the_example_of_the_writer_makes_a_sound_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / 'docs' / 'howto' / 'my_data.md').read_text(encoding='utf-8')
    [example] = code_blocks(text, 'python')
    monkeypatch.chdir(tmp_path)
    exec(compile(example, 'my_data.md', 'exec'), {})
    assert check_episode(tmp_path / 'data' / 'episode_000000.hdf5') == []


def test_contributing_names_files_that_are_there() -> None:
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`((?:[\w.]+/)*[\w.]+\.(?:py|md|yaml|xml|cff))`', text))
    assert {'motion_policy/policies/kinds.py', 'test/test_rooms.py'} <= named
    examples = {'utils.py', 'helpers.py', 'common.py'}
    missing = {name for name in named - examples if 'NAME' not in name and 'ROOM' not in name}
    assert {name for name in missing if not (ROOT / name).is_file()} == set()


def test_contributing_lists_as_many_files_as_it_says() -> None:
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    numbers = (
        '', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten',
        'eleven',
    )  # fmt: skip
    recipes = 0
    for recipe in re.split('^## Add a', text, flags=re.MULTILINE)[1:]:
        lines = re.split('^## ', recipe, flags=re.MULTILINE)[0].splitlines()
        said = re.findall(r'(\w+) (?:files|more)\b', lines[2])
        items = [line for line in lines if re.match(r'\d+\. ', line)]
        if said:
            recipes += 1
            assert sum(numbers.index(word.lower()) for word in said) == len(items), lines[0]
            assert [int(item.partition('.')[0]) for item in items] == [*range(1, len(items) + 1)]
    assert recipes == 4
