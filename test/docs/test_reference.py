# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation names what the code has: links, keys, options, parameters, examples."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from reference_tables import page, row_names, section
from repository import ROOT

from motion_policy.control.command import State
from motion_policy.control.foresight_errors import image_channels
from motion_policy.episodes import check_episode, layout
from motion_policy.robot import load_robot_spec, robot_spec_from_yaml

PAGES = sorted([*(ROOT / 'docs').rglob('*.md'), *ROOT.glob('*.md')])
NODES = ('policy_node', 'recorder_node', 'replay_node', 'sim_node', 'demonstrator_node')


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', text, re.MULTILINE | re.DOTALL)


def absent(names: set[str], text: str) -> set[str]:
    """Return the names that do not stand in `text` as code."""
    quoted = ' '.join(re.findall(r'`+([^`]+)`+', text, re.DOTALL))
    return {name for name in names if not re.search(rf'(?<![\w-]){re.escape(name)}\b', quoted)}


@pytest.mark.parametrize('path', PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_picture_is_there(path: Path) -> None:
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
    example, _ = code_blocks(page('robot_spec.md'), 'yaml')
    written, shipped = robot_spec_from_yaml(example, 'the page'), load_robot_spec('tabletop_sim')
    assert written.joints == shipped.joints
    assert written.cameras.items() <= shipped.cameras.items()


def test_the_gripper_of_the_robot_spec_page_is_one_of_the_shipped_arm() -> None:
    whole, grippers = code_blocks(page('robot_spec.md'), 'yaml')
    written = robot_spec_from_yaml(whole.replace('  limits:', f'{grippers}  limits:', 1), 'page')
    assert set(written.joints.grippers) == {'gripper'}


def test_the_episode_page_has_every_name() -> None:
    datasets = {layout.QPOS, layout.QVEL, layout.EFFORT, layout.ACTION, layout.TIME_NS}
    names = {*datasets, layout.COMPRESS_LEN, *layout.ATTRIBUTES, *layout.COUNTERS}
    assert absent({*names, *layout.STAMP_FIELDS}, page('episode_file.md')) == set()


def test_the_example_of_the_writer_makes_a_sound_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / 'docs' / 'howto' / 'my_data.md').read_text(encoding='utf-8')
    [example] = code_blocks(text, 'python')
    monkeypatch.chdir(tmp_path)
    exec(compile(example, 'my_data.md', 'exec'), {})
    assert check_episode(tmp_path / 'data' / 'episode_000000.hdf5') == []


@pytest.mark.parametrize('node', NODES)
def test_the_nodes_page_has_a_row_for_every_topic_and_service_of_its_own(node: str) -> None:
    files = [f'{node}.py']
    if node in ('policy_node', 'replay_node'):
        files += ['arm_driver.py', 'arm_services.py']
    codes = [(ROOT / 'motion_policy' / 'nodes' / name).read_text('utf-8') for name in files]
    names = {name for code in codes for name in re.findall(r"'(~?/\w+|cube_pose)'", code)}
    rows = re.findall(
        r'^\| (?:in|out|service) \| (.*?) \|', section(page('nodes.md'), node), re.MULTILINE
    )
    told = [name for row in rows for name in re.findall(r'`(~?/\w+|cube_pose)`', row)]
    assert sorted(told) == sorted(names)


def test_the_nodes_page_has_a_row_for_every_state_of_the_arm() -> None:
    states = section(page('nodes.md'), 'When the arm moves')
    assert row_names(states.partition('\n\n- ')[0]) == sorted(get_args(State))


def test_the_nodes_page_has_a_row_for_every_channel_of_foresight() -> None:
    channels = [*image_channels('CAM'), 'joint NAME']
    rows = row_names(section(page('nodes.md'), 'Foresight'))
    assert rows == sorted(name.split()[0] for name in channels)


def test_the_nodes_page_has_a_row_for_every_launch_file_and_argument() -> None:
    files = {path.name: path.read_text('utf-8') for path in (ROOT / 'launch').glob('*.launch.py')}
    shared = (ROOT / 'motion_policy' / 'nodes' / 'launch_arguments.py').read_text('utf-8')
    usual = re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", shared)
    assert {'namespace', 'log_level'} <= {*usual}
    text = section(page('nodes.md'), 'Launch files')
    assert row_names(text) == sorted([*files, *usual])
    own = {name for code in files.values() for name in re.findall(r"'(\w+)': \(", code)}
    assert 'checkpoint' in own
    assert absent(own, text) == set()


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
