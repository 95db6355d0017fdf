# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped specs of real arms call topics, actions and joints as their drivers do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from repository import ROOT

from motion_policy.robot import load_robot_spec
from motion_policy.robot.gripper import GripperAction

JOINT_STATE = 'sensor_msgs/msg/JointState'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
FLOATS = 'std_msgs/msg/Float64MultiArray'
GRIPPER = 'control_msgs/action/GripperCommand'
PARALLEL = 'control_msgs/action/ParallelGripperCommand'


@dataclass(frozen=True)
class Published:
    """What a driver has: where that was read, types by names, the joints of each, and limits [low,
    high] of the gripper. Controllers have their topics and actions below their names.
    """

    read_from: tuple[str, ...]
    types: dict[str, str]
    joints: dict[str, tuple[str, ...]]
    gripper: tuple[float, float]


FR3 = tuple(f'fr3_joint{number}' for number in range(1, 8))
UR = tuple(
    f'{name}_joint'
    for name in ('shoulder_pan', 'shoulder_lift', 'elbow', 'wrist_1', 'wrist_2', 'wrist_3')
)
SO101 = ('shoulder_pan', 'shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll')
OMX = ('joint1', 'joint2', 'joint3', 'joint4')
KNUCKLE = ('robotiq_85_left_knuckle_joint',)

PUBLISHED = {
    # franka_bringup/launch/franka.launch.py, fr3_ros_controllers.yaml of franka_fr3_moveit_config,
    # franka_gripper/launch/gripper.launch.py, src/gripper_action_server.cpp (width / 2 per finger)
    'franka_fr3': Published(
        ('github.com/frankarobotics/franka_ros2', 'v2.5.0 (43357d1)'),
        {
            'franka/joint_states': JOINT_STATE,
            'franka_gripper/joint_states': JOINT_STATE,
            'fr3_arm_controller/joint_trajectory': TRAJECTORY,
            'franka_gripper/move': 'franka_msgs/action/Move',
            'franka_gripper/grasp': 'franka_msgs/action/Grasp',
        },
        {
            'franka/joint_states': FR3,
            'franka_gripper/joint_states': ('fr3_finger_joint1',),
            'fr3_arm_controller/joint_trajectory': FR3,
        },
        (0.0, 0.04),
    ),
    # ur_robot_driver/config/ur_controllers.yaml; config/robotiq_controllers.yaml and
    # urdf/2f_85.ros2_control.xacro (gripper_closed_position) of robotiq_description
    'ur5e': Published(
        (
            'github.com/UniversalRobots/Universal_Robots_ROS2_Driver',
            '7.0.0 (696e1a7)',
            'github.com/PickNikRobotics/ros2_robotiq_gripper',
            'main (3b6cf8f)',
        ),
        {
            'joint_states': JOINT_STATE,
            'forward_position_controller/commands': FLOATS,
            'robotiq_gripper_controller/gripper_cmd': PARALLEL,
        },
        {'joint_states': UR + KNUCKLE, 'forward_position_controller/commands': UR},
        (0.0, 0.7929),
    ),
    # so101_controller/config/so101_controllers.yaml, config/so101_leader_teleop.yaml and
    # src/leader_teleop_component.cpp of so101_teleop; limits of so101_new_calib.urdf
    'so101': Published(
        ('github.com/nimiCurtis/so101_ros2', 'main (953a3de)'),
        {
            'follower/joint_states': JOINT_STATE,
            'leader/joint_states': JOINT_STATE,
            'follower/arm_controller/joint_trajectory': TRAJECTORY,
            'follower/gripper_controller/gripper_cmd': GRIPPER,
        },
        {
            'follower/joint_states': (*SO101, 'gripper'),
            'leader/joint_states': (*SO101, 'gripper'),
            'follower/arm_controller/joint_trajectory': SO101,
        },
        (-0.174533, 1.74533),
    ),
    # open_manipulator_bringup/config/open_manipulator_x/hardware_controller_manager.yaml,
    # open_manipulator_teleop/open_manipulator_x_teleop.py, and the SRDF's close and open
    'open_manipulator_x': Published(
        ('github.com/ROBOTIS-GIT/open_manipulator', '4.1.1 (3fd6fa9'),
        {
            'joint_states': JOINT_STATE,
            'leader/joint_states': JOINT_STATE,
            'arm_controller/joint_trajectory': TRAJECTORY,
            'gripper_controller/gripper_cmd': GRIPPER,
        },
        {
            'joint_states': (*OMX, 'gripper_left_joint'),
            'leader/joint_states': (*OMX, 'gripper_left_joint'),
            'arm_controller/joint_trajectory': OMX,
        },
        (-0.01, 0.019),
    ),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_shipped_spec_calls_everything_as_its_driver_does(name: str) -> None:
    published, joints = PUBLISHED[name], load_robot_spec(name).joints
    topics = (*joints.state, *joints.leader, *joints.command)
    [(hand, action)] = joints.acting_grippers.items()
    assert isinstance(action, GripperAction)
    actions = (action, action.closing) if action.closing else (action,)
    types = {topic.topic: topic.type for topic in topics}
    types |= {goal.name: goal.type for goal in actions}
    assert types == published.types
    assert {topic.topic: topic.message_names for topic in topics} == published.joints
    low, high = published.gripper
    positions = joints.grippers[hand]
    assert low <= min(positions.open, positions.closed)
    assert max(positions.open, positions.closed) <= high
    text = (ROOT / 'config' / 'robots' / f'{name}.yaml').read_text(encoding='utf-8')
    head = text.partition('\nname:')[0]
    assert all(words in head for words in published.read_from)


def test_a_franka_hand_is_sent_widths_twice_the_position_of_a_finger() -> None:
    joints = load_robot_spec('franka_fr3').joints
    [action] = joints.acting_grippers.values()
    hand = joints.grippers['fr3_finger_joint1']
    assert isinstance(action, GripperAction) and action.closing is not None
    assert action.goal_of(opens=True).value(hand.open) == pytest.approx(0.078)
    assert action.goal_of(opens=False).value(hand.closed) == 0.0
    width = action.closing.goal['epsilon.outer']
    assert isinstance(width, float) and width >= 0.078  # any width is a grasp
