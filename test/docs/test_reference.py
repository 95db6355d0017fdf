# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation names what the code has: links, keys, options, parameters, examples."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from reference_tables import page, row_names, section
from repository import ROOT

from motion_policy.cli.main import SUBCOMMANDS
from motion_policy.control.command import State
from motion_policy.control.foresight_errors import image_channels
from motion_policy.episodes import check_episode, layout
from motion_policy.policies import MODEL_KINDS
from motion_policy.policies.base import PolicySpec
from motion_policy.robot import load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.spec import (
    CAMERA_TYPES,
    CameraSpec,
    GripperSpec,
    JointsSpec,
    JointTopic,
    LimitsSpec,
    RobotSpec,
)
from motion_policy.training.backbone_weights import KEY
from motion_policy.training.config import WAYS
from motion_policy.training.schedule import Curve

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


@pytest.mark.parametrize(
    ('heading', 'expected'),
    [
        ('Top level', [*RobotSpec.model_fields]),
        ('`joints`', [*JointsSpec.model_fields, *JointTopic.model_fields]),
        ('`joints.grippers`', [*GripperSpec.model_fields]),
        ('`limits`', [*LimitsSpec.model_fields, 'urdf']),
        (
            '`cameras`',
            [*CameraSpec.model_fields, *(name.split('/')[-1] for name in CAMERA_TYPES)],
        ),
    ],
)
def test_the_robot_spec_page_has_a_row_for_every_key(heading: str, expected: list[str]) -> None:
    assert row_names(section(page('robot_spec.md'), heading)) == sorted(expected)


def test_the_robot_spec_example_is_the_shipped_arm() -> None:
    example, _ = code_blocks(page('robot_spec.md'), 'yaml')
    written, shipped = robot_spec_from_yaml(example, 'the page'), load_robot_spec('tabletop_sim')
    assert written.joints == shipped.joints
    assert written.cameras.items() <= shipped.cameras.items()


def test_the_gripper_of_the_robot_spec_page_is_one_of_the_shipped_arm() -> None:
    whole, grippers = code_blocks(page('robot_spec.md'), 'yaml')
    written = robot_spec_from_yaml(whole.replace('  limits:', f'{grippers}  limits:', 1), 'page')
    assert set(written.joints.grippers) == {'gripper'}


def test_the_policies_page_has_every_kind_and_every_hyper_parameter() -> None:
    keys = {key for kind in MODEL_KINDS.values() for key in kind.Config.model_fields}
    assert absent({*MODEL_KINDS, *keys}, page('policies.md')) == set()


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


def test_the_checkpoint_page_has_every_key() -> None:
    assert absent(set(PolicySpec.model_fields), page('checkpoint.md')) == set()


def test_the_policies_page_says_what_each_kind_learns_from() -> None:
    told = dict(re.findall(r'^\| `(\w+)` \| [^|]+ \| (?:`(\w+)` )?\|', page('policies.md'), re.M))
    assert told == {name: model.learns_from or '' for name, model in MODEL_KINDS.items()}


def test_the_training_page_has_every_key_with_its_default_and_the_ways_that_have_it() -> None:
    text = page('training_config.md')
    assert absent(set(get_args(Curve)), text) == set()
    rows = re.findall(r'^\| (`.+`) \| (.*?) ?\| (.*?) ?\| .*\|$', text, re.M)
    told = {
        key: (set(re.findall(r'`(\w+)`', ways)) or set(WAYS), default)
        for keys, ways, default in rows
        for key in re.findall('`([^`]+)`', keys)
        if not key.startswith('policy.')
    }
    declared = {way: declared_keys(configuration) for way, configuration in WAYS.items()}
    assert {key: ways for key, (ways, _) in told.items()} == {
        key: {way for way, keys in declared.items() if key in keys}
        for key in {key for keys in declared.values() for key in keys}
    }
    for key, (ways, default) in told.items():
        with contextlib.suppress(ValueError):
            expected = False if default == 'false' else float(default)
            assert {declared[way][key] for way in ways} == {expected}, key


def test_the_training_page_has_a_row_for_every_weight_that_a_policy_begins_with() -> None:
    rows = [key for key in row_names(page('training_config.md')) if key.startswith('policy.')]
    keys = {model.autoencoder_key for model in MODEL_KINDS.values() if model.autoencoder_key}
    assert rows == sorted({KEY, *(f'policy.{key}' for key in keys)})


def test_the_training_page_has_a_row_for_every_way_of_learning() -> None:
    ways = page('training_config.md').partition('| key |')[0]
    assert row_names(ways) == sorted(WAYS)


def declared_keys(model: type[BaseModel], before: str = '') -> dict[str, Any]:
    """Return the dotted keys of a model and of its sections, with their defaults."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        # All terms of a schedule have the same keys.
        key = 'loss_schedule.TERM' if before == 'loss_schedule.' else before + name
        parts = (field.annotation, *get_args(field.annotation))
        sections = [part for part in parts if isinstance(part, type(BaseModel))]
        if not (before and sections):
            keys[key] = field.default
        for part in sections:
            keys |= declared_keys(part, f'{key}.')
    return keys


@pytest.mark.parametrize('subcommand', sorted(SUBCOMMANDS))
def test_the_command_line_page_has_a_row_for_every_option(subcommand: str) -> None:
    module = importlib.import_module(f'motion_policy.cli.{SUBCOMMANDS[subcommand][0]}')
    source = Path(module.__file__ or '').read_text(encoding='utf-8')
    options = [
        _option_name(field.name, source)
        for field in dataclasses.fields(module.Arguments)
        if 'Positional' not in str(field.type)
    ]
    rows = row_names(section(page('command_line.md'), subcommand))
    assert [name for name in rows if name.startswith('--')] == sorted(options)


def _option_name(field: str, source: str) -> str:
    """Return `--name` of a field, as tyro makes it or as the field renames it."""
    renamed = re.search(rf"^    {field}: Annotated\[.*?arg\(name='([\w-]+)'", source, re.M)
    return '--' + (renamed[1] if renamed else field.replace('_', '-'))


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
