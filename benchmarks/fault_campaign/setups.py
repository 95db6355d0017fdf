# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Set-ups of a section: node, policy, and the type of commands that the arm takes.

The policies that answer chunks have random weights and a place in every chunk for waves instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from control_path.full_size import Size, save_act

from motion_policy.policies.checkpoint import find_checkpoint, read_policy_spec
from motion_policy.robot import DepthSpec, GripperSpec, RobotSpec, VectorSpec, load_robot_spec
from motion_policy.robot.gripper import GripperAction

# Where a fault is injected: into the policy's answers, the messages of the arm, the node and what
# is asked of it, the switches, a gripper or effort, what is sensed beside the cameras and a
# gripper's action, /clock, the process that the policy has for
# itself, or anywhere while whole chunks are sent.
Where = Literal[
    'policy', 'arm', 'node', 'switches', 'tools', 'signals', 'clock', 'process', 'chunks'
]

ROBOT, CHECKPOINT = 'tabletop_sim', 'sarnn_tabletop'
PLAIN, FAULTY = 'motion_policy.nodes.policy_node', 'fault_campaign.policy_with_faults'
SMALL_ACT = Size(
    64, 64,
    (
        ('chunk', 100), ('hidden_dim', 32), ('heads', 2), ('feedforward_dim', 32),
        ('encoder_layers', 1), ('backbone', 'small'),
    ),
    cameras=('top',),
)  # fmt: skip
STEP_TIMEOUT_S = 0.7  # half a chunk takes longer to be played
SEND_AHEAD_S = 1.0
PROCESS_RESUME_S = 30.0
STOP_TIMEOUT_S, DEAD_MAN_TIMEOUT_S = 0.5, 0.3
GRIPPER = GripperSpec(open=0.015, closed=-0.008, open_at=0.010, close_at=0.002)
HAND_TIMEOUT_S = 1.0
HAND = GripperAction(
    name='hand/move', type='test_msgs/action/NestedMessage',
    position='nested_field.float64_value', supersede='cancel', timeout=HAND_TIMEOUT_S,
)  # fmt: skip
VECTORS = {
    'wrench': VectorSpec(
        topic='wrench', type='geometry_msgs/msg/WrenchStamped',
        fields=('wrench.force.x', 'wrench.force.y'),
    ),
    'skin': VectorSpec(
        topic='skin', type='std_msgs/msg/Float32MultiArray', fields=('data[4]',), stamp='receive'
    ),
}  # fmt: skip
DEPTH = DepthSpec(topic='top/depth', width=64, height=48, rate=25.0)
# Answers in a thread of the node, often: it looks at images then.
QUICK_ACT = replace(SMALL_ACT, hyper=(('chunk', 20), *SMALL_ACT.hyper[1:]))
HOME = (0.0, -1.05, 0.45, 0.95, 0.015)
EFFORT_LIMITS = (0.0, 200.0, 0.0, 0.0, 0.0)
TRAJECTORY = {
    'topic': 'arm/joint_trajectory', 'type': 'trajectory_msgs/msg/JointTrajectory',
    'send': 'chunk',
}  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """One of them.

    Attributes:
        module: of the node.
        sim_time: whether time is that of /clock.
        chunks: whether the policy answers chunks, in a process of its own.
        plays: whether the arm plays whole chunks.
        switches: whether there are an emergency stop and a dead-man switch.
        tools: whether the spec has a gripper that is open or closed, a home and effort limits.
        signals: whether the policy sees vectors and depth, and an action moves the gripper.
    """

    module: str = FAULTY
    sim_time: bool = False
    chunks: bool = False
    plays: bool = False
    switches: bool = False
    tools: bool = False
    signals: bool = False

    @property
    def robot(self) -> RobotSpec:
        """The arm."""
        robot = load_robot_spec(ROBOT)
        if self.tools:
            joints = robot.joints.model_copy(update={'grippers': {'gripper': GRIPPER}})
            return robot.model_copy(
                update={'joints': joints, 'home': HOME, 'effort_limits': EFFORT_LIMITS}
            )
        if self.signals:
            return _with_signals(robot)
        if not self.plays:
            return robot
        command = robot.joints.command[0].model_copy(update=TRAJECTORY)
        joints = robot.joints.model_copy(update={'command': (command,)})
        return robot.model_copy(update={'joints': joints})

    def prepare(self, folder: Path) -> tuple[dict[str, str], str, int]:
        """Make what the node needs; return parameters, the policy's camera and its period."""
        parameters = {'use_sim_time': str(self.sim_time).lower(), 'robot': ROBOT}
        checkpoint = CHECKPOINT
        if self.chunks:
            checkpoint = str(save_act(load_robot_spec(ROBOT), folder, SMALL_ACT))
            parameters |= {
                'backend': 'eager',
                'inference.isolation': 'process',
                'inference.timeout': f'{STEP_TIMEOUT_S}',
                'chunk.send_ahead': f'{SEND_AHEAD_S}',
                # A process of its own takes seconds to be begun anew.
                'auto_resume': f'{PROCESS_RESUME_S}',
            }
        if self.signals:
            checkpoint = str(save_act(self.robot, folder, QUICK_ACT))
            parameters |= {'backend': 'eager', 'inference.isolation': 'thread'}
        if self.switches:
            parameters |= {
                'require_emergency_stop': 'true',
                'emergency_stop_timeout': f'{STOP_TIMEOUT_S}',
                'dead_man_topic': 'joy',
                'dead_man_timeout': f'{DEAD_MAN_TIMEOUT_S}',
            }
        if self.plays or self.tools or self.signals:
            file = folder / 'robot.yaml'
            file.write_text(self.robot.to_yaml(), encoding='utf-8')
            parameters['robot'] = str(file)
        spec = read_policy_spec(find_checkpoint(checkpoint))
        return {**parameters, 'checkpoint': checkpoint}, spec.cameras[0], round(1e9 / spec.rate)


def _with_signals(robot: RobotSpec) -> RobotSpec:
    command, arm = robot.joints.command[0], len(robot.joints.names) - 1
    kept = ('joints', 'message_names', 'scale', 'offset')
    told = {key: getattr(command, key)[:arm] for key in kept}
    changed = {
        'command': (command.model_copy(update=told),),
        'grippers': {'gripper': GRIPPER.model_copy(update={'action': HAND})},
    }
    joints = robot.joints.model_copy(update=changed)
    return robot.model_copy(update={'joints': joints, 'vectors': VECTORS, 'depth': {'top': DEPTH}})


SETUPS: dict[Where, Setup] = {
    'policy': Setup(),
    'arm': Setup(PLAIN),
    'node': Setup(),
    'switches': Setup(PLAIN, switches=True),
    'tools': Setup(tools=True),
    'signals': Setup(signals=True),
    'clock': Setup(PLAIN, sim_time=True),
    'process': Setup(chunks=True),
    'chunks': Setup(chunks=True, plays=True),
}
