# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A running driver is heard: its topics, who listens, its URDF, what its controllers say."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_testing import PATIENCE_S, Bench

from motion_policy.nodes.executor import Stop, spin_until_stopped
from motion_policy.nodes.graph_survey import survey_graph
from motion_policy.nodes.rehearsal_node import RehearsalNode
from motion_policy.nodes.subscriptions import fields_of
from motion_policy.robot import load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.urdf import moving_joints
from motion_policy.survey.draft import draft_spec
from motion_policy.survey.fit import problems, spec_findings
from motion_policy.survey.observed import READ_TYPES, Survey

SPEC = """
name: arm
rate: 50.0
joints:
  names: [pan, lift]
  state: {topic: joint_states, type: sensor_msgs/msg/JointState}
  leader: {topic: leader/joint_states, type: sensor_msgs/msg/JointState}
  command: {topic: arm_controller/joint_trajectory, type: trajectory_msgs/msg/JointTrajectory}
  limits: {urdf: arm.urdf, acceleration: [10, 10]}
cameras:
  top: {topic: top/image_raw, width: 64, height: 48, rate: 20.0}
  wrist: {topic: wrist/image_raw/compressed, type: sensor_msgs/msg/CompressedImage,
          width: 32, height: 48}
depth:
  top: {topic: top/depth, width: 64, height: 48}
vectors:
  wrench: {topic: ft/wrench, type: geometry_msgs/msg/WrenchStamped, fields: [wrench]}
"""
SPEC_WITH_LIMITS = SPEC.replace('urdf: arm.urdf', 'position: [[-1, 1], [-2, 1]], velocity: [2, 2]')
URDF = """
<robot name="r">
  <joint name="pan" type="revolute"><limit lower="-1" upper="1" velocity="2"/></joint>
  <joint name="lift" type="revolute"><limit lower="-2" upper="1" velocity="2"/></joint>
</robot>
"""
MESSAGES = 20  # of each topic that are enough


def heard_all(survey: Survey) -> bool:
    """Whether enough came on every topic, and the controller has answered."""
    sent = [each for each in survey.topics.values() if each.type in READ_TYPES and each.publishers]
    return (
        len(sent) == len(load_stream_topics())
        and all(each.count >= MESSAGES for each in sent)
        and bool(survey.urdfs and survey.controllers)
    )


def load_stream_topics() -> set[str]:
    return {stream.topic for stream in robot_spec_from_yaml(SPEC_WITH_LIMITS, 'arm').streams()}


class Controller(Node):
    """A node with the parameters of a joint_trajectory_controller."""

    def spin(self, stop: Stop) -> None:
        """Serve them."""
        spin_until_stopped(self, stop)

    def close(self) -> None:
        """Nothing is open."""


def test_a_spec_drafted_from_a_rehearsal_is_that_of_its_robot_and_fits(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / 'arm.yaml'
    file.write_text(SPEC)
    (tmp_path / 'arm.urdf').write_text(URDF)
    overrides = [Parameter('robot', value=str(file)), Parameter('guide', value=True)]
    bench.run_apart(lambda: RehearsalNode(context=bench.context, parameter_overrides=overrides))
    joints = [Parameter('joints', value=['pan', 'lift'])]
    bench.run_apart(
        lambda: Controller(
            'arm_controller', context=bench.context, parameter_overrides=joints,
            automatically_declare_parameters_from_overrides=True,
        )
    )  # fmt: skip
    survey = survey_graph(PATIENCE_S, enough=heard_all)
    assert survey.urdfs == {'/robot_description': URDF}
    topic = '/arm_controller/joint_trajectory'
    assert survey.controllers == {topic: ['pan', 'lift']}
    assert [each.node for each in survey.topics[topic].listeners] == ['/rehearsal_node']
    assert survey.topics['/joint_states'].publishers[0].node == '/rehearsal_node'
    urdf = moving_joints(survey.urdfs[survey.description()])
    draft = draft_spec('arm', survey, urdf, where='robot_description')
    assert 'its controller says so' in draft.text
    drafted, robot = robot_spec_from_yaml(draft.text, 'drafted.yaml'), load_robot_spec(file)
    assert drafted.joints.names == robot.joints.names
    assert drafted.joints.limits.position == robot.joints.limits.position
    assert drafted.joints.limits.velocity == robot.joints.limits.velocity
    for role in ('state', 'leader', 'command'):
        [ours], [theirs] = getattr(drafted.joints, role), getattr(robot.joints, role)
        assert (ours.topic, ours.type) == (theirs.topic, theirs.type)
    for name, camera in robot.cameras.items():
        found = drafted.cameras[name]
        assert (found.topic, found.type, found.width, found.height) == (
            camera.topic, camera.type, camera.width, camera.height,
        )  # fmt: skip
    assert drafted.depth['top'].topic == 'top/depth' and drafted.depth['top'].width == 64
    assert drafted.vectors['wrench'].topic == 'ft/wrench'
    assert problems(spec_findings(robot, survey, fields_of, urdf)) == []
