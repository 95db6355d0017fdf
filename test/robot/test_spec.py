# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A robot spec says what a robot is, or one line says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from motion_policy.control.monitors import TrackingMonitor
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, RobotSpecError, load_robot_spec, robot_spec_from_yaml
from motion_policy.share import share_dir

MINIMAL = """
name: two_joints
rate: 50.0
joints:
  names: [a, b]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState}
  leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState}
  command: {topic: commands, type: std_msgs/msg/Float64MultiArray}
  limits: {position: [[-1.0, 1.0], [0.0, 0.02]], velocity: [2.0, 0.1], acceleration: [8.0, 1.0]}
cameras:
  top: {topic: top/image_raw, type: sensor_msgs/msg/Image, width: 64, height: 48}
"""

STATE = '{topic: joint_states, type: sensor_msgs/msg/JointState}'
COMMAND = '{topic: commands, type: std_msgs/msg/Float64MultiArray}'
TWIST = '{topic: c, type: geometry_msgs/msg/TwistStamped}'
ONE_JOINT = (
    "<robot name='r'><link name='base'/><link name='l'/><joint name='a' type='revolute'>"
    "<parent link='base'/><child link='l'/><axis xyz='0 0 1'/>"
    "<limit lower='-1' upper='1' velocity='1' effort='1'/></joint></robot>"
)
JOINT_STATE = 'sensor_msgs/msg/JointState'
JOINT_TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
WRENCH = """vectors:
  wrench: {topic: ft/wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench.force]}
"""
GRIPPERS = """grippers:
    b: {closed: 0.0, open: 0.02, close_at: 0.005, open_at: 0.015}
  limits:"""


def spec(text: str = MINIMAL) -> RobotSpec:
    return robot_spec_from_yaml(text, 'arm.yaml')


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('rate: 50.0', 'rate: 50.0\ncolour: red', ['colour: unknown key', 'of: name, rate']),
        ('topic: top/', 'topik: top/', ['cameras.top.topik: unknown', 'expected topic']),
        ('topic: top/image_raw, ', '', ['cameras.top.topic', 'missing']),
        ('topic: top/image_raw', 'topic: ""', ['cameras.top.topic', "''", 'top/image_raw']),
        ('[-1.0, 1.0]', '[1.0, -1.0]', ['limits.position', '[1.0, -1.0]', 'low < high']),
        ('[-1.0, 1.0]', '[1.0, 1.0]', ['limits.position', 'low < high']),
        ('[-1.0, 1.0]', '[-1.0, .inf]', ['limits.position', 'inf', 'finite']),
        ('[-1.0, 1.0], ', '', ['limits.position', '1 entries', 'expected 2']),
        (
            'velocity: [2.0, 0.1]',
            'velocity: [2.0]',
            ['limits.velocity', '1 entries', 'expected 2'],
        ),
        ('velocity: [2.0, 0.1]', 'velocity: [2.0, 0]', ['limits.velocity', '0', '> 0']),
        ('rate: 50.0', 'rate: 0', ['rate', '0', 'greater than or equal to 0.001']),
        ('rate: 50.0', 'rate: fast', ['rate', 'fast', 'number']),
        ('rate: 50.0', 'rate: 50.0\ntracking_error: [.inf, 1]', ['tracking_error', 'finite']),
        ('width: 64', 'rate: .inf, width: 64', ['cameras.top.rate', 'finite']),
        ('height: 48', 'height: 0', ['cameras.top.height', '0', 'greater than 0']),
        ('width: 64', 'width: 0', ['cameras.top.width', '0', 'greater than 0']),
        ('names: [a, b]', 'names: [a, a]', ['joints.names', "'a'", 'once']),
        ('names: [a, b]', 'names: []', ['joints.names', 'at least 1']),
        (
            'std_msgs/msg/Float64MultiArray',
            'std_msgs/msg/String',
            ['command.type', 'String', 'JointTrajectory'],
        ),
        (
            STATE,
            COMMAND.replace('commands', 's'),
            ['joints.state', 'Float64MultiArray', JOINT_STATE],
        ),
        (
            'sensor_msgs/msg/Image',
            'sensor_msgs/msg/PointCloud2',
            ['cameras.top.type', 'PointCloud2'],
        ),
        (STATE, STATE[:-1] + ', joints: [a]}', ['state', "'b'", 'all joints']),
        (STATE, STATE[:-1] + ', joints: [a, b, c]}', ['state', "'c'", 'names']),
        (STATE, f'[{STATE}, {STATE}]', ['state', "'a'", 'once']),
        (STATE, STATE[:-1] + ', message_names: [x]}', ['state', 'message_names', 'expected 2']),
        (STATE, STATE[:-1] + ', max_age: -1}', ['state.max_age', '-1', 'greater than 0']),
        (STATE, STATE[:-1] + ', stamp: arrival}', ['state.stamp', 'arrival', 'header']),
        (STATE, STATE[:-1] + ', scale: [2.0, 1.0]}', ['state', 'scale', 'leader only']),
        ('top: {', 'state: {', ['cameras', "'state'"]),
        (
            COMMAND,
            '{topic: commands, type: std_msgs/msg/Float64}',
            ['joints.command', 'joints has 2 entries', 'expected one joint'],
        ),
        (
            COMMAND,
            '{topic: pose, type: geometry_msgs/msg/PoseStamped}',
            ['joints.command', 'PoseStamped', 'expected tool'],
        ),
        (COMMAND, COMMAND[:-1] + ', frame: base}', ['frame', 'PoseStamped and', 'only']),
        (COMMAND, COMMAND[:-1] + ', gain: 1.0}', ['gain', 'TwistStamped of the tool only']),
        (
            COMMAND,
            '{topic: c, type: geometry_msgs/msg/TwistStamped}',
            ['expected tool: whose vel'],
        ),
        (COMMAND, f'{TWIST[:-1]}, gain: -1}}', ['gain', 'greater than or equal to 0']),
        (COMMAND, f'{TWIST[:-1]}, gain: 11}}', ['gain', 'less than or equal to 10']),
        (COMMAND, f'{TWIST[:-1]}, gain: .nan}}', ['gain', 'nan']),
        (
            'leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState}',
            'leader: {topic: l, type: geometry_msgs/msg/TwistStamped}',
            ['leader', 'TwistStamped', 'joints.velocities'],
        ),
        (
            'leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState}',
            'leader: {topic: l, type: geometry_msgs/msg/PoseStamped}',
            ['leader', 'PoseStamped', 'command only'],
        ),
        (COMMAND, COMMAND[:-1] + ', send: chunk}', ['command', "'chunk'", 'JointTrajectory']),
        (
            COMMAND,
            COMMAND[:-1] + ', velocities: true}',
            ['velocities', 'JointTrajectory and send'],
        ),
        (
            COMMAND,
            f'{{topic: c, type: {JOINT_TRAJECTORY}, send: chunk, velocities: true}}',
            ['velocities', 'send tick only'],
        ),
        (
            STATE,
            STATE[:-1].replace(JOINT_STATE, JOINT_TRAJECTORY) + ', velocities: true}',
            ['joints.state', JOINT_TRAJECTORY],
        ),
        (COMMAND, COMMAND[:-1] + ', send: row}', ['command.send', 'row', "'tick' or 'chunk'"]),
        (
            STATE,
            f'{STATE[:-1]}, send: chunk}}',
            ['joints.state', "'chunk'", JOINT_TRAJECTORY],
        ),
        ('limits:', GRIPPERS.replace('b:', 'c:'), ['joints', 'grippers', "'c'", 'names']),
        ('limits:', GRIPPERS.replace('0.02', '0.03'), ['grippers.b.open', '0.03', '[0, 0.02]']),
        ('limits:', GRIPPERS.replace('0.015', '0.001'), ['grippers.b', 'open_at', 'order']),
        ('limits:', GRIPPERS.replace('0.015', '0.005'), ['grippers.b', 'close_at', 'apart']),
        ('limits:', GRIPPERS.replace('0.015', '.nan'), ['grippers.b.open_at', 'finite']),
        ('limits:', GRIPPERS.replace(', open_at: 0.015', ''), ['grippers.b.open_at', 'missing']),
        ('top: {', '"a/b": {', ['cameras', "'a/b'"]),
        ('cameras:', WRENCH.replace('wrench:', 'state_1:', 1) + 'cameras:', ['vector', 'state_1']),
        ('cameras:', WRENCH.replace('wrench:', 'top:', 1) + 'cameras:', ["vectors has 'top'"]),
        (
            'cameras:',
            WRENCH.replace('.force', '..x') + 'cameras:',
            ['vectors.wrench.fields', "'wrench..x'", 'wrench.force.x', 'data[16]'],
        ),
        ('cameras:', WRENCH.replace('wrench.force', "'data[0]'") + 'cameras:', ["'data[0]'"]),
        (
            'cameras:',
            WRENCH.replace('wrench.force', 'a, "a[2]"') + 'cameras:',
            ['vectors.wrench.fields', "'a' more than once"],
        ),
        ('cameras:', WRENCH.replace('wrench.force', '') + 'cameras:', ['fields', 'at least 1']),
        (
            'cameras:',
            WRENCH.replace('[wrench.force]', 'wrench.force') + 'cameras:',
            ['vectors.wrench.fields', "'wrench.force'", 'expected list'],
        ),
        ('cameras:', 'vectors: {wrench: }\ncameras:', ['vectors.wrench', 'expected mapping']),
        (
            'cameras:',
            WRENCH.replace('ft/wrench', 'leader/joint_states') + 'cameras:',
            ['vectors.wrench has geometry_msgs/msg/WrenchStamped', JOINT_STATE, "'leader'"],
        ),
        (
            'cameras:',
            WRENCH.replace('wrench.force', '"a[4000]", "b[97]"') + 'cameras:',
            ['fields', '4097 numbers', 'at most 4096'],
        ),
        (
            'cameras:',
            WRENCH.replace('geometry_msgs/msg', 'geometry_msgs') + 'cameras:',
            ['vectors.wrench.type', "'geometry_msgs/WrenchStamped'", 'geometry_msgs/msg/Wr'],
        ),
        (
            'cameras:',
            WRENCH.replace('fields', 'window: median, fields') + 'cameras:',
            ['vectors.wrench.window', 'median', "'newest', 'mean' or 'last'"],
        ),
        (
            'cameras:',
            WRENCH.replace('fields', 'window: last, fields') + 'cameras:',
            ["count is none with window 'last', expected it with window last only"],
        ),
        (
            'cameras:',
            WRENCH.replace('fields', 'count: 3, fields') + 'cameras:',
            ["count is 3 with window 'newest'"],
        ),
        (
            'cameras:',
            WRENCH.replace('fields: [wrench.force]', "window: last, count: 9, fields: ['a[500]']")
            + 'cameras:',
            ['9 messages of 500 numbers, expected at most 4096 together'],
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_expectation(
    old: str, new: str, words: list[str]
) -> None:
    assert old in MINIMAL
    with pytest.raises(RobotSpecError) as caught:
        spec(MINIMAL.replace(old, new, 1))
    line = str(caught.value)
    assert '\n' not in line
    for word in ['arm.yaml', *words]:
        assert word in line


def test_further_mistakes_are_counted() -> None:
    with pytest.raises(RobotSpecError, match=r'\(and 1 more\)$'):
        spec(MINIMAL.replace('rate: 50.0', 'rate: -1').replace('width: 64', 'width: 0'))


@pytest.mark.parametrize('text', ['- a\n- b\n', 'name: [', '', 'just words'])
def test_text_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RobotSpecError, match=r'^arm\.yaml: [^\n]*$'):
        spec(text)


def test_yaml_cannot_run_code() -> None:
    with pytest.raises(RobotSpecError):
        spec('!!python/object/apply:os.system ["true"]')


def test_yaml_round_trips() -> None:
    robot = spec()
    again = robot_spec_from_yaml(robot.to_yaml(), 'copy')
    assert again == robot
    assert again.to_yaml() == robot.to_yaml()
    assert yaml.safe_load(robot.to_yaml())['name'] == 'two_joints'


def test_a_gripper_may_open_either_way_and_a_trajectory_may_hold_all_that_is_planned() -> None:
    assert spec().joints.grippers == {}
    assert spec().joints.command[0].send == 'tick'
    reverse = GRIPPERS.replace('closed: 0.0, open: 0.02', 'closed: 0.02, open: 0.0')
    reverse = reverse.replace('close_at: 0.005, open_at: 0.015', 'close_at: 0.015, open_at: 0.005')
    text = MINIMAL.replace('limits:', reverse).replace(
        COMMAND, f'{{topic: arm/joint_trajectory, type: {JOINT_TRAJECTORY}, send: chunk}}'
    )
    robot = spec(text)
    assert robot.joints.grippers['b'].open_at == 0.005
    assert robot.joints.command[0].send == 'chunk'
    assert robot_spec_from_yaml(robot.to_yaml(), 'copy') == robot


def test_what_stands_nowhere_by_default_round_trips() -> None:
    kinds = f'{{topic: c, type: {JOINT_TRAJECTORY}, velocities: true}}'
    robot = spec(MINIMAL.replace(COMMAND, kinds))
    assert robot.joints.command[0].velocities and 'velocities' not in spec().to_yaml()
    assert robot_spec_from_yaml(robot.to_yaml(), 'copy') == robot


def test_a_gain_of_which_the_tool_would_swing_is_refused() -> None:
    tool = f'tool: {{link: l, urdf: "{ONE_JOINT}"}}'
    text = MINIMAL.replace(COMMAND, f'{TWIST[:-1]}, gain: 3.0, frame: l}}') + tool
    robot = spec(text)
    assert (robot.joints.command[0].gain, robot.joints.command[0].frame) == (3.0, 'l')
    assert robot_spec_from_yaml(robot.to_yaml(), 'copy') == robot
    with pytest.raises(RobotSpecError, match=r'gain of c is 3 per second.* half of rate, 2\.5'):
        spec(text.replace('rate: 50.0', 'rate: 5.0'))


def test_defaults_are_filled_in() -> None:
    robot = spec()
    (state,) = robot.joints.state
    assert state.joints == state.message_names == ('a', 'b')
    assert (state.stamp, state.max_age) == ('header', 0.2)
    assert robot.cameras['top'].max_age == 0.2
    assert robot.period_ns == 20_000_000
    lines = [line for line in MINIMAL.splitlines() if 'leader' not in line]
    without_leader = spec('\n'.join(lines))
    assert without_leader.joints.leader == ()
    assert without_leader.stream_names == ('top', 'state')


def test_streams_are_named_by_camera_and_role() -> None:
    assert spec().stream_names == ('top', 'state', 'leader')
    two = (
        f'[{{topic: l/js, type: {JOINT_STATE}, joints: [a], message_names: [x]}},'
        f' {{topic: r/js, type: {JOINT_STATE}, joints: [b], message_names: [x], max_age: 0.5}}]'
    )
    robot = spec(MINIMAL.replace(STATE, two, 1))
    assert robot.stream_names == ('top', 'state_0', 'state_1', 'leader')
    right = robot.streams()[2]
    assert (right.topic, right.role, right.type) == ('r/js', 'state', JOINT_STATE)
    assert right.max_age_ns == 500_000_000
    assert [topic.message_names for topic in robot.joints.state] == [('x',), ('x',)]


@pytest.mark.parametrize(
    'kind',
    [
        'std_msgs/msg/Float64MultiArray',
        'std_msgs/msg/Float32MultiArray',
        'trajectory_msgs/msg/JointTrajectory',
        'sensor_msgs/msg/JointState',
    ],
)
def test_every_command_type_is_accepted(kind: str) -> None:
    robot = spec(MINIMAL.replace('std_msgs/msg/Float64MultiArray', kind))
    assert robot.joints.command[0].type == kind


def test_limits_are_arrays_in_joint_order() -> None:
    limits = spec().joints.limits
    np.testing.assert_array_equal(limits.position_array(), [[-1.0, 1.0], [0.0, 0.02]])
    np.testing.assert_array_equal(limits.velocity_array(), [2.0, 0.1])
    np.testing.assert_array_equal(limits.acceleration_array(), [8.0, 1.0])
    assert limits.position_array().dtype == np.float64


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match='frozen'):
        spec().rate = 10.0  # type: ignore[misc]


def test_a_bare_name_is_a_shipped_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_robot_spec('tabletop_sim').name == 'tabletop_sim'
    with pytest.raises(RobotSpecError, match=r'no_such_arm.*expected.*tabletop_sim'):
        load_robot_spec('no_such_arm')
    with pytest.raises(RobotSpecError, match=r'missing\.yaml'):
        load_robot_spec(tmp_path / 'missing.yaml')


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(MINIMAL.replace('rate: 50.0', 'rate: -3'))
    with pytest.raises(UserError, match=r'mine\.yaml: rate: found -3'):
        load_robot_spec(file)
    file.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(RobotSpecError, match=r'mine\.yaml'):
        load_robot_spec(file)


SHIPPED = sorted(path.stem for path in (share_dir() / 'config' / 'robots').glob('*.yaml'))


def test_the_arms_that_are_promised_are_shipped() -> None:
    promised = {'tabletop_sim', 'open_manipulator_x', 'aloha', 'ur5e', 'franka_fr3', 'so101'}
    assert promised <= set(SHIPPED)


def test_vectors_are_streams_after_all_others_and_name_their_numbers() -> None:
    fields = WRENCH.replace('wrench.force]', 'wrench.torque.z, "data[2]"], window: mean')
    robot = spec(MINIMAL + fields)
    assert robot.stream_names == ('top', 'state', 'leader', 'wrench')
    assert robot.vectors['wrench'].columns == ('wrench.torque.z', 'data[0]', 'data[1]')
    stream = robot.streams()[-1]
    assert (stream.role, stream.topic, stream.window_ns) == ('vector', 'ft/wrench', 20_000_000)
    assert spec(robot.to_yaml()) == robot


def test_a_robot_without_vectors_reads_as_it_did_before_there_were_any() -> None:
    assert 'vectors' not in spec().to_yaml()


@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_robots_are_valid(name: str) -> None:
    robot = load_robot_spec(name)
    assert robot.name == name
    assert robot_spec_from_yaml(robot.to_yaml(), name) == robot
    for stream in robot.streams():
        assert not stream.topic.startswith('/'), 'an absolute topic ignores namespaces'


@pytest.mark.parametrize('name', SHIPPED)
def test_a_gripper_of_a_shipped_robot_may_hold_any_object(name: str) -> None:
    """It stands away from its command then, which is no tracking error."""
    robot = load_robot_spec(name)
    ranges = np.ptp(robot.joints.limits.position_array(), axis=1)
    tolerances = TrackingMonitor(robot).tolerance
    for joint, tolerance, whole in zip(robot.joints.names, tolerances, ranges, strict=True):
        assert 'gripper' not in joint or tolerance > 0.99 * whole, joint


def test_the_two_arms_of_aloha_are_told_apart() -> None:
    robot = load_robot_spec('aloha')
    assert len(robot.joints.names) == 14
    left, right = robot.joints.state
    assert left.message_names == right.message_names
    assert left.joints + right.joints == robot.joints.names
    commanded = [joint for topic in robot.joints.command for joint in topic.joints]
    assert sorted(commanded) == sorted(robot.joints.names)


ACTING = """grippers:
    b: {closed: 0.0, open: 0.02, close_at: 0.005, open_at: 0.015,
        action: {name: hand/move, type: franka_msgs/action/Move, goal: {speed: 0.1}}}
  limits:"""


def acting(old: str = '', new: str = '') -> RobotSpec:
    return spec(MINIMAL.replace('limits:', ACTING.replace(old or ACTING, new or ACTING), 1))


def test_a_gripper_with_an_action_is_carried_by_no_command_topic_and_measured_as_ever() -> None:
    joints = acting().joints
    assert joints.command[0].joints == joints.command[0].message_names == ('a',)
    assert joints.state[0].joints == joints.leader[0].joints == ('a', 'b')
    [(name, action)] = joints.acting_grippers.items()
    assert (name, action.name, action.on_hold, action.on_failure) == (
        'b', 'hand/move', 'keep', 'hold',
    )  # fmt: skip
    assert robot_spec_from_yaml(acting().to_yaml(), 'again') == acting()
    assert 'action' not in spec(MINIMAL.replace('limits:', GRIPPERS, 1)).to_yaml()
    assert np.isinf(TrackingMonitor(acting()).tolerance[1])


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('action: {', 'action: {topic: x, ', ['grippers.b.action.topic: unknown key']),
        ('name: hand/move', "name: 'hand move'", ['grippers.b.action.name', 'ROS topic name']),
        ('/action/Move', '/msg/Move', ['grippers.b.action.type', 'expected an action type']),
        ('franka_msgs', 'other_msgs', ['grippers.b.action.position: missing']),
        ('{speed: 0.1}', '{}', ['grippers.b.action', "lacks 'speed' of franka_msgs/action/Move"]),
        ('{speed: 0.1}', '{speed: 0.1, width: 1.0}', ["goal has 'width'", 'of the position']),
        ('{speed: 0.1}', '{speed: .inf}', ['action.goal', 'finite']),
        ('goal:', 'scale: 0, goal:', ['scale is 0']),
        ('goal:', 'timeout: 0, goal:', ['action.timeout', 'greater than 0']),
        ('goal:', 'on_hold: drop, goal:', ['action.on_hold', "'keep', 'cancel' or 'open'"]),
        ('action: {', 'service: {name: x}, action: {', ['has action and service']),
        (
            'goal:',
            'supersede: replace, closing: {name: hand/move, type: franka_msgs/action/Move, '
            'goal: {speed: 0.1}}, goal:',
            ["supersede is 'replace' with closing"],
        ),
        (
            'goal:',
            'closing: {name: hand/move, type: franka_msgs/action/Grasp, '
            'goal: {speed: 0.1, force: 5}}, goal:',
            ["'hand/move' is franka_msgs/action/Move to open and franka_msgs/action/Grasp to"],
        ),
        ('  limits:', f'  command: {COMMAND[:-1]}, joints: [a, b]}}\n  limits:', ["carries 'b'"]),
        (
            '  limits:',
            f'  command: {COMMAND[:-1]}, joints: [b]}}\n  limits:',
            ["carries 'b', which the action or service of grippers.b moves"],
        ),
    ],
)
def test_a_mistake_about_a_gripper_that_acts_is_one_line(
    old: str, new: str, words: list[str]
) -> None:
    text = MINIMAL.replace('limits:', ACTING.replace(old, new), 1)
    if 'command:' in new:
        text = text.replace(f'  command: {COMMAND}\n', '', 1)
    with pytest.raises(RobotSpecError) as error:
        spec(text)
    line = str(error.value)
    assert '\n' not in line and all(word in line for word in words), line


@pytest.mark.parametrize('mover', ['service: {name: x}', 'action: {name: x/y, %s}'])
def test_what_moves_one_gripper_moves_no_other(mover: str) -> None:
    mover = mover.replace('%s', 'type: control_msgs/action/GripperCommand')
    content = yaml.safe_load(MINIMAL)
    positions = {'open': 0.02, 'closed': 0.0, 'open_at': 0.015, 'close_at': 0.005}
    both = {name: positions | yaml.safe_load(f'{{{mover}}}') for name in ('b', 'c')}
    content['joints'] |= {'names': ['a', 'b', 'c'], 'grippers': both}
    for values in content['joints']['limits'].values():
        values.append(values[-1])
    with pytest.raises(RobotSpecError, match=r"grippers.c is moved by 'x(/y)?', as grippers.b is"):
        spec(yaml.safe_dump(content))


def test_the_tracking_error_of_a_gripper_that_acts_is_not_watched() -> None:
    text = MINIMAL.replace('limits:', ACTING, 1) + 'tracking_error: [0.1, 0.01]\n'
    with pytest.raises(RobotSpecError, match='tracking_error of b is not 0'):
        spec(text)
    assert spec(text.replace('0.01]', '0]')).tracking_error == (0.1, 0.0)
