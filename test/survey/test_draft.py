# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A drafted spec loads, is the robot that was heard, and says where each guess comes from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bag_files import T, camera_message, header
from chain_arm import tool_arm

from motion_policy.episodes.formats.ros_types import usual_fields_of
from motion_policy.robot import RobotSpec, RobotSpecError, robot_spec_from_yaml
from motion_policy.robot.urdf import moving_joints
from motion_policy.survey.draft import Draft, draft_spec
from motion_policy.survey.fit import problems, spec_findings
from motion_policy.survey.observed import Endpoint, Observed, Survey

START_NS = 1_700_000_000_000_000_000
URDF = """
<robot name="r">
  <joint name="lift" type="revolute"><limit lower="-1" upper="1" velocity="2"/></joint>
  <joint name="pan" type="continuous"><limit velocity="3"/></joint>
  <joint name="jaw" type="prismatic"><limit lower="0" upper="0.05" velocity="0.1"/></joint>
  <joint name="jaw_b" type="prismatic"><limit lower="0" upper="0.05"/><mimic joint="jaw"/></joint>
  <joint name="mount" type="fixed"/>
</robot>
"""
FOUR = ['pan', 'jaw', 'jaw_b', 'lift']
DRIVER = [Endpoint('/driver')]
JOINT_STATE, TRAJECTORY = 'sensor_msgs/msg/JointState', 'trajectory_msgs/msg/JointTrajectory'
ARRAY, IMAGE = 'std_msgs/msg/Float64MultiArray', 'sensor_msgs/msg/Image'


def joints(names: list[str], values: Any, time_ns: int) -> Any:
    return T[JOINT_STATE](
        header=header(time_ns), name=names, position=np.asarray(values, float),
        velocity=np.zeros(0), effort=np.zeros(0),
    )  # fmt: skip


def heard(
    survey: Survey,
    topic: str,
    kind: str,
    message: Any,
    rate_hz: float = 100.0,
    behind_s: float = 0.001,
) -> Observed:
    """Let a topic be heard for 2 s; `message(time, stamp)` makes its messages."""
    seen = survey.topics.setdefault(topic, Observed(topic, kind, publishers=list(DRIVER)))
    for number in range(int(2 * rate_hz)):
        receive_ns = START_NS + int(number / rate_hz * 1e9)
        seen.take(message(number / rate_hz, receive_ns - int(behind_s * 1e9)), receive_ns)
    return seen


def listened(survey: Survey, topic: str, kind: str, *nodes: str) -> None:
    survey.topics[topic] = Observed(topic, kind, listeners=[Endpoint(node) for node in nodes])


def states(names: list[str], scale: float = 0.1, offset: float = 0.0) -> Any:
    return lambda t, stamp: joints(
        names, offset + scale * np.sin(3 * t + np.arange(len(names))), stamp
    )


def one_arm() -> Survey:
    survey = Survey(live=True, seconds=2.0)
    heard(survey, '/joint_states', JOINT_STATE, states(FOUR, 0.02, 0.02))
    heard(survey, '/camera/color/image_raw', IMAGE, lambda _, s: camera_message(0, s, False), 30.0)
    wrench = T['geometry_msgs/msg/WrenchStamped']
    vector = T['geometry_msgs/msg/Vector3'](x=1.0, y=2.0, z=3.0)
    heard(
        survey, '/ft/wrench', 'geometry_msgs/msg/WrenchStamped',
        lambda _, s: wrench(
            header=header(s), wrench=T['geometry_msgs/msg/Wrench'](force=vector, torque=vector)
        ),
        500.0,
    )  # fmt: skip
    listened(survey, '/forward_position_controller/commands', ARRAY, '/controller')
    return survey


def loaded(draft: Draft) -> RobotSpec:
    return robot_spec_from_yaml(draft.text, 'new.yaml')


def drafted(survey: Survey, urdf: str = '', namespace: str = '') -> tuple[Draft, RobotSpec]:
    found = moving_joints(urdf) if urdf else {}
    draft = draft_spec('new', survey, found, where='r.urdf', namespace=namespace)
    return draft, loaded(draft)


def test_joints_come_in_the_order_of_the_urdf_with_its_limits_and_without_those_that_follow() -> (
    None
):
    draft, robot = drafted(one_arm(), URDF)
    assert robot.joints.names == ('lift', 'pan', 'jaw')
    assert robot.joints.limits.position[0] == (-1.0, 1.0)
    assert robot.joints.limits.velocity == (2.0, 3.0, 0.1)
    assert robot.joints.limits.position[1][0] < 0 < robot.joints.limits.position[1][1]
    lines = draft.text.splitlines()
    assert any('lift: r.urdf' in line for line in lines)
    assert any('pan: TODO continuous in the URDF; it was seen from' in line for line in lines)
    assert any("joint 'jaw_b' follows jaw" in line for line in lines)
    assert any('acceleration: chosen' in todo for todo in draft.todos)
    [topic] = robot.joints.command
    assert topic.topic == 'forward_position_controller/commands' and topic.type == ARRAY
    assert any('in this order' in todo for todo in draft.todos)


def test_without_a_urdf_limits_are_what_was_seen_and_each_says_so() -> None:
    draft, robot = drafted(one_arm())
    assert robot.joints.names == ('pan', 'jaw', 'jaw_b', 'lift')
    for name, (low, high) in zip(robot.joints.names, robot.joints.limits.position, strict=True):
        assert low < 0.0 and high > 0.04, name
        [line] = [x for x in draft.text.splitlines() if f'# {name}: TODO it was seen from' in x]
        assert f'[{low:g}, {high:g}]' in line
    assert any(todo.startswith('limits:') for todo in draft.todos)
    # As fast as it was, not as two stamps that lie close together make it.
    assert max(robot.joints.limits.velocity) == 0.2


def test_a_driver_slower_than_usual_sets_the_rate_and_zeros_are_no_speed() -> None:
    survey = Survey(live=True, seconds=2.0)

    def moving(t: float, stamp: int) -> Any:
        message = joints(['lift'], [t], stamp)
        message.velocity = np.zeros(1)
        return message

    heard(survey, '/joint_states', JOINT_STATE, moving, 39.9)
    _, robot = drafted(survey)
    assert robot.rate == 40.0
    assert robot.joints.limits.velocity[0] == pytest.approx(1.2, rel=1e-3)


def test_streams_have_their_sizes_rates_and_stamps() -> None:
    survey = one_arm()
    heard(
        survey, '/wrist/image_raw', IMAGE,
        lambda _, s: camera_message(0, 0, False), 9.9,
    )  # fmt: skip
    heard(
        survey, '/side/image_raw', IMAGE,
        lambda _, s: camera_message(0, s, False), 30.0, behind_s=0.8,
    )  # fmt: skip
    draft, robot = drafted(survey)
    assert set(robot.cameras) == {'camera', 'wrist', 'side'}
    camera = robot.cameras['camera']
    assert (camera.height, camera.width) == camera_message(0, 1, False).data.reshape(
        camera.height, -1, 3
    ).shape[:2]
    assert camera.rate == 30.0 and camera.stamp == 'header'
    assert robot.cameras['wrist'].stamp == 'receive' and robot.cameras['wrist'].max_age == 0.3
    assert robot.cameras['side'].stamp == 'receive'
    assert any('0.800 s behind their reception' in todo for todo in draft.todos)
    assert robot.vectors['wrench'].fields == ('wrench',) and robot.vectors['wrench'].rate == 500.0
    assert robot.joints.state[0].rate == 100.0
    found = spec_findings(robot, survey, usual_fields_of)
    assert problems(found) == [] and {each.kind for each in found} == {'fits'}


def test_two_arms_of_the_same_names_get_those_of_their_namespaces() -> None:
    survey = Survey(live=True, seconds=2.0)
    for side, offset in (('left', 0.0), ('right', 1.0)):
        for role in ('follower', 'leader'):
            heard(
                survey, f'/{role}_{side}/joint_states', JOINT_STATE,
                states(['waist', 'elbow'], 0.1, offset),
            )  # fmt: skip
        topic = f'/follower_{side}/arm_controller/joint_trajectory'
        listened(survey, topic, TRAJECTORY, f'/follower_{side}/arm_controller')
        survey.controllers[topic] = ['waist', 'elbow']
    draft, robot = drafted(survey)
    assert robot.joints.names == ('left_waist', 'left_elbow', 'right_waist', 'right_elbow')
    assert [t.topic for t in robot.joints.leader] == [
        'leader_left/joint_states', 'leader_right/joint_states',
    ]  # fmt: skip
    for topic in (*robot.joints.state, *robot.joints.leader, *robot.joints.command):
        assert topic.message_names == ('waist', 'elbow')
        assert {name.partition('_')[0] for name in topic.joints} == {
            'left' if 'left' in topic.topic else 'right'
        }
    assert 'its controller says so' in draft.text
    assert problems(spec_findings(robot, survey, usual_fields_of)) == []


def test_a_gripper_with_a_controller_of_its_own_gets_its_joints_by_their_names() -> None:
    survey = Survey(live=True, seconds=2.0)
    heard(survey, '/joint_states', JOINT_STATE, states(['pan', 'left_finger', 'lift']))
    for name in ('arm', 'gripper'):
        listened(survey, f'/{name}_controller/joint_trajectory', TRAJECTORY, '/manager')
    for name in ('camera_high', 'camera_low'):
        topic = f'/{name}/camera/color/image_rect_raw'
        heard(survey, topic, IMAGE, lambda _, s: camera_message(0, s, False), 30.0)
    draft, robot = drafted(survey)
    assert {topic.topic: topic.joints for topic in robot.joints.command} == {
        'arm_controller/joint_trajectory': ('pan', 'lift'),
        'gripper_controller/joint_trajectory': ('left_finger',),
    }
    assert sum('is a guess' in todo for todo in draft.todos) == 2
    assert set(robot.cameras) == {'camera_high', 'camera_low'}


def test_a_copy_of_the_joint_states_is_not_taken_for_another_arm() -> None:
    survey = one_arm()
    heard(
        survey, '/slow/joint_states', JOINT_STATE,
        states(FOUR, 0.02, 0.02), 30.0,
    )  # fmt: skip
    draft, robot = drafted(survey)
    assert [topic.topic for topic in robot.joints.state] == ['joint_states']
    assert 'slow/joint_states repeats joints of another topic' in draft.text


def test_what_cannot_be_decided_is_said() -> None:
    survey = one_arm()
    del survey.topics['/forward_position_controller/commands']
    draft, robot = drafted(survey)
    assert any('nobody listens to commands: a placeholder' in todo for todo in draft.todos)
    assert len(problems(spec_findings(robot, survey, usual_fields_of))) == 1
    empty = Survey(live=True, seconds=2.0)
    heard(empty, '/camera/image_raw', IMAGE, lambda _, s: camera_message(0, s, False), 30.0)
    draft = draft_spec('new', empty, {})
    assert any('no joint states were heard' in todo for todo in draft.todos)
    with pytest.raises(RobotSpecError, match=r'joints\.'):
        loaded(draft)


def test_names_in_a_namespace_are_relative_to_it() -> None:
    survey = Survey(live=True, seconds=2.0)
    heard(survey, '/lab/joint_states', JOINT_STATE, states(['a', 'b']))
    heard(survey, '/camera/image_raw', IMAGE, lambda _, s: camera_message(0, s, False), 30.0)
    listened(survey, '/lab/goal/commands', ARRAY, '/lab/driver')
    _, robot = drafted(survey, namespace='lab')
    assert robot.joints.state[0].topic == 'joint_states'
    assert robot.joints.command[0].topic == 'goal/commands'
    assert robot.cameras['camera'].topic == '/camera/image_raw'
    assert problems(spec_findings(robot, survey, usual_fields_of, namespace='lab')) == []


def test_a_urdf_of_another_arm_and_positions_that_are_none_do_no_harm() -> None:
    survey = one_arm()
    heard(
        survey, '/joint_states', JOINT_STATE,
        lambda t, s: joints(['pan', 'hook'], [0.1, float('nan') if t < 1 else 0.2], s),
    )  # fmt: skip
    draft, robot = drafted(survey, URDF)
    low, high = robot.joints.limits.position[robot.joints.names.index('hook')]
    assert low < 0.2 < high
    assert 'hook: TODO not in r.urdf; it was seen from 0.2 to 0.2' in draft.text
    found = spec_findings(robot, survey, usual_fields_of, moving_joints(URDF))
    assert problems(found) == []
    assert [each.text for each in found if each.about == 'limits'] == [
        "the URDF has no moving joint 'hook': its limits are not checked",
        'within those of the URDF',
    ]
    assert [todo for todo in draft.todos if todo.startswith('names: ')] == [
        'names: [hook] on joint_states are not in r.urdf: whether they are joints of this arm'
    ]


@pytest.mark.parametrize(
    ('urdfs', 'namespace', 'topic'),
    [
        ((), 'lab', ''),
        (('/robot_description', '/lab/robot_description'), 'lab', '/lab/robot_description'),
        (('/robot_description', '/lab/robot_description'), '', '/robot_description'),
        (('/lab/robot_description',), '', '/lab/robot_description'),
        (('/left/robot_description', '/right/robot_description'), '', ''),
    ],
)
def test_the_urdf_is_that_of_the_namespace(
    urdfs: tuple[str, ...], namespace: str, topic: str
) -> None:
    assert Survey(urdfs=dict.fromkeys(urdfs, URDF)).description(namespace) == topic


def test_what_a_policy_planned_is_no_command_in_a_bag() -> None:
    survey = Survey(seconds=2.0)
    heard(survey, '/joint_states', JOINT_STATE, states(['a', 'b']))
    point = T['trajectory_msgs/msg/JointTrajectoryPoint'](
        positions=np.zeros(2), velocities=np.zeros(0), accelerations=np.zeros(0),
        effort=np.zeros(0), time_from_start=T['builtin_interfaces/msg/Duration'](sec=0, nanosec=1),
    )  # fmt: skip
    for topic in ('/policy_node/plan', '/arm_controller/joint_trajectory'):
        heard(
            survey, topic, TRAJECTORY,
            lambda _, s: T[TRAJECTORY](header=header(s), joint_names=['a', 'b'], points=[point]),
        )  # fmt: skip
    _, robot = drafted(survey)
    assert [topic.topic for topic in robot.joints.command] == ['arm_controller/joint_trajectory']


def test_odd_names_are_quoted() -> None:
    survey = one_arm()
    heard(survey, '/joint_states', JOINT_STATE, states(['1', 'on', 'arm: a', 'ok']))
    _, robot = drafted(survey)
    assert {'1', 'on', 'arm: a', 'ok'} <= set(robot.joints.names)


@pytest.mark.parametrize(
    ('change', 'about', 'said'),
    [
        (lambda s: s.topics.pop('/joint_states'), 'state', '/joint_states is not there'),
        (
            lambda s: setattr(s.topics['/ft/wrench'], 'type', 'std_msgs/msg/String'),
            'wrench', 'is of type std_msgs/msg/String, the spec says',
        ),
        (lambda s: s.topics['/joint_states'].joints.pop('pan'), 'state', "joint 'pan' is not in"),
        (
            lambda s: setattr(s.topics['/camera/color/image_raw'].last, 'width', 64),
            'camera', 'images are 64x',
        ),
        (
            lambda s: setattr(s.topics['/camera/color/image_raw'].last, 'encoding', '16UC1'),
            'camera', 'holds depth (16UC1)',
        ),
        (
            lambda s: setattr(s.topics['/joint_states'], 'last_ns', START_NS + 5 * 10**9),
            'state', 'comes at 39.8 Hz, the spec says 100 Hz',
        ),
        (
            lambda s: setattr(s.topics['/joint_states'], 'behind_s', [-0.5]),
            'state', 'stamps are 0.500 s ahead',
        ),
        (
            lambda s: setattr(s.topics['/joint_states'], 'behind_s', [0.9]),
            'state', 'max_age is 0.2: every message is stale',
        ),
        (
            lambda s: setattr(s.topics['/joint_states'].joints['pan'], 'high', 9.0),
            'state', 'to 9, beyond its limits',
        ),
        (
            lambda s: s.topics['/forward_position_controller/commands'].listeners.clear(),
            'command', 'nobody listens on /forward_position_controller/commands',
        ),
        (
            lambda s: setattr(
                s.topics['/forward_position_controller/commands'].listeners[0], 'latched', True
            ),
            'command', 'asks for transient_local QoS',
        ),
        (
            lambda s: s.controllers.update({'/forward_position_controller/commands': ['a']}),
            'command', 'the controller takes 1 numbers, not 4',
        ),
        (
            lambda s: setattr(
                s.topics['/ft/wrench'], 'last', SimpleNamespace(header=None, wrench=None)
            ),
            'wrench', "there is no 'wrench.force.x' in the message",
        ),
        (lambda s: setattr(s.topics['/ft/wrench'], 'count', 0), 'wrench', 'no message came'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_with_its_name(change: Any, about: str, said: str) -> None:
    survey = one_arm()
    _, robot = drafted(survey)
    assert problems(spec_findings(robot, survey, usual_fields_of)) == []
    change(survey)
    found = problems(spec_findings(robot, survey, usual_fields_of))
    assert len(found) == 1, found
    assert found[0].about.startswith(about) and said in found[0].text


def test_limits_beyond_those_of_the_urdf_do_not_fit() -> None:
    survey = one_arm()
    _, robot = drafted(survey, URDF)
    urdf = moving_joints(URDF)
    assert problems(spec_findings(robot, survey, usual_fields_of, urdf)) == []
    limits = robot.joints.limits.model_copy(update={'velocity': (2.0, 3.5, 0.1)})
    faster = robot.model_copy(
        update={'joints': robot.joints.model_copy(update={'limits': limits})}
    )
    [found] = problems(spec_findings(faster, survey, usual_fields_of, urdf))
    assert found.text == "joint 'pan' has 3.5 per second, the URDF 3"


def test_the_action_of_a_gripper_is_asked_for_and_who_serves_it_is_checked() -> None:
    survey = one_arm()
    action = 'control_msgs/action/GripperCommand'
    survey.actions['/hand/gripper_cmd'] = action
    draft, robot = drafted(survey)
    assert any(f'hand/gripper_cmd ({action}) is served' in todo for todo in draft.todos)
    low, high = robot.joints.limits.position[1]
    text = draft.text.replace(
        '  limits:',
        f'  grippers: {{jaw: {{closed: {low}, close_at: {low}, open_at: {high}, open: {high}, '
        f'action: {{name: hand/gripper_cmd, type: {action}}}}}}}\n  limits:',
    )
    robot = robot_spec_from_yaml(text, 'r.yaml')
    assert problems(spec_findings(robot, survey, usual_fields_of)) == []
    survey.actions['/hand/gripper_cmd'] = 'franka_msgs/action/Move'
    [found] = problems(spec_findings(robot, survey, usual_fields_of))
    assert 'is of type franka_msgs/action/Move, the spec says' in found.text
    del survey.actions['/hand/gripper_cmd']
    [found] = problems(spec_findings(robot, survey, usual_fields_of))
    assert found.text == f'nobody serves /hand/gripper_cmd ({action})'


def test_velocities_of_a_tool_are_held_against_its_urdf_and_no_draft_takes_them(
    tmp_path: Path,
) -> None:
    twist = 'geometry_msgs/msg/TwistStamped'
    robot = tool_arm(tmp_path, twist)
    survey = Survey(live=True, seconds=2.0)
    heard(survey, '/joint_states', JOINT_STATE, states(list(robot.joints.names), 0.01, 0.02))
    listened(survey, '/tool_command', twist, '/servo_node')
    listened(survey, '/gripper', 'std_msgs/msg/Float64', '/hand')
    assert problems(spec_findings(robot, survey, usual_fields_of)) == []
    wrong = tool_arm(tmp_path, twist, 'frame: tol')
    [found] = problems(spec_findings(wrong, survey, usual_fields_of))
    assert found.about == 'command tool_command' and "no link 'tol'" in found.text
    draft, _ = drafted(survey)
    assert 'TwistStamped' not in draft.text


def of_base(linear: float, time_ns: int, kind: str = 'nav_msgs/msg/Odometry') -> Any:
    """A twist, or odometry with one."""
    zero = T['geometry_msgs/msg/Vector3'](x=0.0, y=0.0, z=0.0)
    forward = T['geometry_msgs/msg/Vector3'](x=linear, y=0.0, z=0.0)
    twist = T['geometry_msgs/msg/Twist'](linear=forward, angular=zero)
    if kind == 'geometry_msgs/msg/Twist':
        return twist
    point, turned = (T[f'geometry_msgs/msg/{name}'] for name in ('Point', 'Quaternion'))
    pose = T['geometry_msgs/msg/Pose'](
        position=point(x=0.0, y=0.0, z=0.0), orientation=turned(x=0.0, y=0.0, z=0.0, w=1.0)
    )
    covariance = np.zeros(36)
    return T[kind](
        header=header(time_ns), child_frame_id='base_link',
        pose=T['geometry_msgs/msg/PoseWithCovariance'](pose=pose, covariance=covariance),
        twist=T['geometry_msgs/msg/TwistWithCovariance'](twist=twist, covariance=covariance),
    )  # fmt: skip


@pytest.mark.parametrize('with_leader', [False, True])
def test_a_base_is_found_by_what_takes_twists_and_tells_odometry(with_leader: bool) -> None:
    survey, odom, twist = one_arm(), 'nav_msgs/msg/Odometry', 'geometry_msgs/msg/Twist'
    heard(survey, '/odom', odom, lambda t, s: of_base(0.1, s), 30.0)
    listened(survey, '/cmd_vel', twist, '/base')
    if with_leader:
        heard(survey, '/leader/joint_states', JOINT_STATE, states(FOUR, 0.02, 0.02))
    draft, robot = drafted(survey, URDF)
    assert robot.joints.names == ('lift', 'pan', 'jaw', 'base_forward', 'base_turn')
    assert robot.joints.velocities == ('base_forward', 'base_turn')
    assert any('whether it belongs to this robot' in line for line in draft.todos)
    assert any('limits of base_forward and base_turn: chosen low' in line for line in draft.todos)
    assert draft.text.count('chosen low') == 6
    for topics, name in (
        (robot.joints.state, 'odom'),
        (robot.joints.command, 'cmd_vel'),
        (robot.joints.leader, 'cmd_vel'),
    ):
        fields = [(topic.topic, topic.fields) for topic in topics[-1:]]
        assert fields in ([(name, ('linear.x', 'angular.z'))], [])
    assert bool(robot.joints.leader) == with_leader
    assert list(robot.vectors) == ['wrench']
    found = problems(spec_findings(robot, survey, usual_fields_of, moving_joints(URDF)))
    # Who teaches the base by commands does not do so yet.
    assert [each.about for each in found if '/cmd_vel' in each.text] == ['leader_1'] * with_leader
    assert not [each for each in found if '/odom' in each.text]
    listened(survey, '/cmd_vel', 'geometry_msgs/msg/TwistStamped', '/base')
    found = problems(spec_findings(robot, survey, usual_fields_of))
    assert any('heard as geometry_msgs/msg/TwistStamped' in line for line in map(str, found))


def test_of_two_bases_none_is_chosen_silently() -> None:
    survey = one_arm()
    for side in ('left', 'right'):
        heard(survey, f'/{side}/odom', 'nav_msgs/msg/Odometry', lambda t, s: of_base(0.1, s), 30.0)
        listened(survey, f'/{side}/cmd_vel', 'geometry_msgs/msg/Twist', '/base')
    draft, robot = drafted(survey)
    assert robot.joints.velocities == ()
    assert any('/left/cmd_vel and /right/cmd_vel' in line for line in draft.todos)


def test_a_base_that_was_faster_than_its_limits_does_not_fit() -> None:
    survey, odom = one_arm(), 'nav_msgs/msg/Odometry'
    heard(survey, '/odom', odom, lambda t, s: of_base(0.9 if 1 < t < 1.1 else 0.1, s), 30.0)
    listened(survey, '/cmd_vel', 'geometry_msgs/msg/Twist', '/base')
    _, robot = drafted(survey)
    lines = [each.text for each in problems(spec_findings(robot, survey, usual_fields_of))]
    told = "joint 'base_forward' was from 0.1 to 0.9, beyond its limits [-0.2, 0.3]"
    assert [line for line in lines if 'base' in line] == [told]


def test_odometry_that_is_no_number_does_not_fit() -> None:
    survey = one_arm()
    seen = heard(survey, '/odom', 'nav_msgs/msg/Odometry', lambda t, s: of_base(0.1, s), 30.0)
    listened(survey, '/cmd_vel', 'geometry_msgs/msg/Twist', '/base')
    _, robot = drafted(survey)
    seen.last.twist.twist.linear.x = float('nan')
    lines = [each.text for each in spec_findings(robot, survey, usual_fields_of)]
    assert any("'base_forward': velocity is nan" in line for line in lines)
