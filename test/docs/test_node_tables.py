# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the nodes are those of the code: topics and types, states, launch files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from reference_tables import CODE, codes, page, section, tables, words
from repository import ROOT

from motion_policy.control.command import ControlState
from motion_policy.control.controller import Controller
from motion_policy.control.foresight_errors import image_channels
from motion_policy.robot import load_robot_spec

NODES = (
    'policy_node', 'recorder_node', 'replay_node', 'sim_node', 'demonstrator_node',
    'rehearsal_node', 'teleop_node',
)  # fmt: skip
FOLDER = ROOT / 'motion_policy' / 'nodes'
LAUNCH = ROOT / 'launch'
# Who makes a topic or service, and which of its arguments are the type and the name.
MAKING = {
    'create_publisher': ('out', 0, 1),
    'create_subscription': ('in', 0, 1),
    'subscribe_to_all': ('in', 1, 2),
    'create_service': ('service', 0, 1),
}
# What a person leads an arm by, and what in the code is theirs.
OF_A_PERSON = {
    ('in', 'leader', 'as in the robot spec'): "led, 'leader', 'leader', follower",
    ('in', 'twist', 'as in the robot spec'): "robot, 'vector', STREAM, follower",
    ('in', 'joy', 'as in the robot spec'): 'create_subscription(Joy, joy.topic',
}
# Topics of the robot spec, and what in the code of the node is theirs.
OF_SPEC = {
    'policy_node': {
        **OF_A_PERSON,
        ('in', 'button', 'as in the robot spec'): 'Joy, spec.topic, with_origin(self._hear)',
        ('out', 'leader command', 'as in the robot spec'): 'CommandPublishers(node, leader)',
        ('in', 'cameras, joint state, vectors that are an input', 'as in the robot spec'): (
            'StreamSubscriptions('
        ),
        ('out', 'joint command', 'as in the robot spec'): 'CommandPublishers(',
    },
    'recorder_node': {
        ('in', 'cameras, joint state, leader, vectors, depth', 'as in the robot spec'): (
            'StreamSubscriptions('
        ),
        ('in', 'rollout', 'as of policy_node'): 'RolloutTopics(',
    },
    'replay_node': {
        ('in', 'joint state', 'as in the robot spec'): 'StreamSubscriptions(',
        ('out', 'joint command', 'as in the robot spec'): 'CommandPublishers(',
    },
    'teleop_node': {
        ('in', 'joint state', 'as in the robot spec'): 'StreamSubscriptions(',
        **OF_A_PERSON,
        ('out', 'joint command', 'as in the robot spec'): 'CommandPublishers(',
    },
    'sim_node': {
        ('in', 'joint command', 'std_msgs/Float64MultiArray'): 'self._command_topic',
        ('out', 'joint state, cameras', 'as in the robot spec'): 'joints.state[0].topic',
        ('out', 'wrench', 'geometry_msgs/WrenchStamped'): 'self.create_publisher(WrenchStamped',
    },
    'demonstrator_node': {
        ('in', 'joint state', 'as in the robot spec'): 'joints.state[0].topic',
        ('in', 'wrench', 'geometry_msgs/WrenchStamped'): 'self._wrench_topic',
        ('out', 'leader', 'sensor_msgs/JointState'): 'joints.leader[0].topic',
        ('out', 'joint command', 'as in the robot spec'): 'CommandPublishers(',
    },
    'rehearsal_node': {
        ('in', 'joint command', 'as in the robot spec'): 'on_command=',
        ('out', 'cameras, depth, joint state, leader, vectors', 'as in the robot spec'): (
            'StandInDriver('
        ),
    },
}


def sources(node: str) -> list[str]:
    """Return the code of a node, and of what drives its arm."""
    names = [f'{node}.py']
    if node in ('policy_node', 'replay_node', 'teleop_node'):
        names += ['arm_driver.py', 'arm_services.py']
    if node in ('policy_node', 'teleop_node'):
        names += ['leading.py', 'leader_source.py', 'twist_source.py', 'joy_source.py']
    if node == 'policy_node':
        names += ['takeover.py']
    return [(FOLDER / name).read_text(encoding='utf-8') for name in names]


def made(code: str) -> Iterator[tuple[str, str, str]]:
    """Give direction, name and type of each topic and service whose name stands in the code."""
    tree = ast.parse(code)
    packages = {
        alias.asname or alias.name: (node.module or '').partition('.')[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    # The names in a loop over them, by the variable that goes over them.
    looped = {
        loop.target.elts[0].id: [ast.literal_eval(row.elts[0]) for row in loop.iter.elts]
        for loop in ast.walk(tree)
        if isinstance(loop, ast.For) and isinstance(loop.target, ast.Tuple)
        if isinstance(loop.target.elts[0], ast.Name) and isinstance(loop.iter, ast.Tuple)
        if all(isinstance(row, ast.Tuple) for row in loop.iter.elts)
        for row in loop.iter.elts[:1]
        if isinstance(row.elts[0], ast.Constant)
    }  # type: ignore[attr-defined]
    for call in ast.walk(tree):
        name = ast.unparse(call.func).rpartition('.')[2] if isinstance(call, ast.Call) else ''
        if isinstance(call, ast.Call) and name in MAKING:
            direction, of_type, of_name = MAKING[name]
            told = ast.unparse(call.args[of_type])
            kind = f'{packages[told]}/{told}' if told in packages else told
            if any('LATCHED' in ast.unparse(argument) for argument in call.args):
                kind += ', latched'
            topic = call.args[of_name]
            if isinstance(topic, ast.Constant):
                yield direction, topic.value, kind
            elif isinstance(topic, ast.Name):
                yield from ((direction, each, kind) for each in looped.get(topic.id, []))


@pytest.mark.parametrize('node', NODES)
def test_every_topic_and_service_has_a_row_with_its_type(node: str) -> None:
    codes_of = sources(node)
    of_code = {row for code in codes_of for row in made(code)}
    for row, evidence in OF_SPEC[node].items():
        assert any(evidence in code for code in codes_of), row
    told = [
        (direction, name, kind)
        for table in tables(section(page('nodes.md'), node))
        if table.header == ('', 'name', 'type', '')
        for direction, cell, kind, _ in table.rows
        for name in codes(cell) or [cell]
    ]
    assert sorted(told) == sorted([*of_code, *OF_SPEC[node]])


def test_every_node_stands_where_its_messages_travel() -> None:
    [table] = tables(section(page('nodes.md'), 'Transports'))
    told = {
        node: (sends, receives)
        for nodes, sends, receives in table.rows
        for node in nodes.split(', ')
    }
    assert sorted(told) == sorted(NODES)
    for node, (sends, receives) in told.items():
        [code] = re.findall(r'run_node\(\w+, args(?:, images=\'(\w+)\')?\)', sources(node)[0])
        assert sends.startswith(
            'shared memory, with `config/fastdds.xml`' if code == 'out' else 'UDP'
        )
        assert bool(receives) == (code == 'in')
        if receives:
            assert receives.startswith('shared memory') and '`_NODE_images`' in receives


def test_every_state_of_the_arm_has_its_row_as_the_controller_says() -> None:
    states = get_args(ControlState)
    table, *_ = tables(section(page('nodes.md'), 'When the arm moves'))
    rows = re.findall(r'^ +\| (\w+) +\| (.*?) +\| (.*?) +\|$', Controller.__doc__ or '', re.M)
    of_code = {state: (commands, left) for state, commands, left in rows if state in states}
    assert [codes(row[0]) for row in table.rows] == [[state] for state in states]
    assert list(of_code) == list(states)
    for state, (_, told, left) in zip(states, table.rows, strict=True):
        commands, left_in_code = of_code[state]
        assert words(commands) <= words(told), state
        assert {*codes(left)} & {*states} == words(left_in_code) & {*states}, state


def test_every_channel_of_foresight_has_a_row() -> None:
    table, *_ = tables(section(page('nodes.md'), 'Foresight'))
    channels = [name for row in table.rows for name in CODE.findall(row[0])]
    assert channels == [*image_channels('CAM'), 'joint NAME']


def launched(code: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of each node of a launch file, with their defaults."""
    return {
        ast.literal_eval(call.args[0]): {
            ast.literal_eval(key): ast.unparse(value.elts[0])
            for argument in call.args[1:2]
            if isinstance(argument, ast.Dict)
            for key, value in zip(argument.keys, argument.values, strict=True)
            if key is not None and isinstance(value, ast.Tuple)
        }
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == 'OurNode'
    }


def test_every_launch_file_has_a_row_with_its_nodes_and_arguments() -> None:
    files, _ = tables(section(page('nodes.md'), 'Launch files'))
    assert sorted(files.by_name('starts')) == sorted(path.name for path in LAUNCH.glob('*.py'))
    for name, starts in files.by_name('starts').items():
        nodes = launched((LAUNCH / name).read_text(encoding='utf-8'))
        assert {word for word in words(starts) if word.endswith('_node')} == {*nodes}
        arguments = {key: value for own in nodes.values() for key, value in own.items()}
        told = next(row[2] for row in files.rows if row[0] == f'`{name}`')
        assert sorted(codes(told)) == sorted(arguments)
        assert ('(false)' in told) == (arguments.get('require_emergency_stop') == 'False')


def test_every_argument_of_all_launch_files_has_a_row_with_its_default() -> None:
    _, usual = tables(section(page('nodes.md'), 'Launch files'))
    code = (FOLDER / 'launch_arguments.py').read_text(encoding='utf-8')
    [function] = [
        node
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef) and node.name == 'launch_nodes'
    ]
    defaults = {
        ast.literal_eval(call.args[0]): next(
            ast.unparse(word.value) for word in call.keywords if word.arg == 'default_value'
        )
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == 'DeclareLaunchArgument'
    }
    told = usual.by_name('default')
    assert sorted(told) == sorted(defaults)
    for name, default in defaults.items():
        path = re.findall("'([^']*)'", default)
        assert told[name] == (f'`{"/".join(path)}`' if ''.join(path) else '')
    levels = re.search(r'^LOG_LEVELS = (.*)$', code, re.M)
    assert levels is not None
    assert tuple(codes(usual.by_name('meaning')['log_level'])) == ast.literal_eval(levels[1])


@pytest.mark.ros
def test_what_a_controller_must_be_set_to_is_what_the_node_asks_for() -> None:
    pytest.importorskip('rclpy')
    from motion_policy.nodes.controller_check import NAMES, setting_problems

    [table] = tables(section(page('nodes.md'), 'What the controller must be set to'))
    told = {name: row[1] for row in table.rows for name in codes(row[0])}
    # A partial goal is no setting of its own; the last is of no matter to our commands.
    assert {*told} == {*NAMES, 'cmd_timeout'} - {'allow_partial_joints_goal'}
    assert told['cmd_timeout'] == '0 (default)'
    assert told['joints'] == 'those of the command topic'
    [topic] = load_robot_spec('franka_fr3').joints.command
    topic = topic.model_copy(update={'send': 'chunk'})
    for bad in (
        {'interpolate_from_desired_state': False},
        {'open_loop_control': False},
        {'allow_trajectory_replacement': True},
        {'interpolation_method': 'none'},
    ):
        [problem] = setting_problems('/arm', topic, bad)
        expected = re.search(r"expected '?(\w+)", problem)
        [cell] = [told[name] for name in bad]
        assert expected and expected[1] in words(cell.partition(',')[0]), problem
