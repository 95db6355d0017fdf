# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Set-ups of a section: node, policy, and the type of commands that the arm takes.

The policies that answer chunks have random weights and a place in every chunk for waves instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from control_path.full_size import Size, save_act

from motion_policy.policies.checkpoint import find_checkpoint, read_policy_spec
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.spec import GripperSpec

# Where a fault is injected: into the policy's answers, the messages of the arm, the node and what
# is asked of it, the switches, a gripper or effort, /clock, the process that the policy has for
# itself, or anywhere while whole chunks are sent.
Where = Literal['policy', 'arm', 'node', 'switches', 'tools', 'clock', 'process', 'chunks']

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
    """

    module: str = FAULTY
    sim_time: bool = False
    chunks: bool = False
    plays: bool = False
    switches: bool = False
    tools: bool = False

    @property
    def robot(self) -> RobotSpec:
        """The arm."""
        robot = load_robot_spec(ROBOT)
        if self.tools:
            joints = robot.joints.model_copy(update={'grippers': {'gripper': GRIPPER}})
            return robot.model_copy(
                update={'joints': joints, 'home': HOME, 'effort_limits': EFFORT_LIMITS}
            )
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
        if self.switches:
            parameters |= {
                'require_emergency_stop': 'true',
                'emergency_stop_timeout': f'{STOP_TIMEOUT_S}',
                'dead_man_topic': 'joy',
                'dead_man_timeout': f'{DEAD_MAN_TIMEOUT_S}',
            }
        if self.plays or self.tools:
            file = folder / 'robot.yaml'
            file.write_text(self.robot.to_yaml(), encoding='utf-8')
            parameters['robot'] = str(file)
        spec = read_policy_spec(find_checkpoint(checkpoint))
        return {**parameters, 'checkpoint': checkpoint}, spec.cameras[0], round(1e9 / spec.rate)


SETUPS: dict[Where, Setup] = {
    'policy': Setup(),
    'arm': Setup(PLAIN),
    'node': Setup(),
    'switches': Setup(PLAIN, switches=True),
    'tools': Setup(tools=True),
    'clock': Setup(PLAIN, sim_time=True),
    'process': Setup(chunks=True),
    'chunks': Setup(chunks=True, plays=True),
}
