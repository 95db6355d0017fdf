# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of every node that drives an arm."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from motion_policy.control.action_buffer import Interpolation
from motion_policy.control.controller import AUTO_RESUME_S
from motion_policy.control.guard import Reaction
from motion_policy.declared import Declared
from motion_policy.nodes.parameters.fields import LIVE, READ_ONLY

MAX_AUTO_RESUME_S = 60.0
BY_ARM_S = -1.0
SEND_AHEAD_S = 1.0  # for an arm that brakes so soon that this leaves it the usual time
MAX_SEND_AHEAD_S = 60.0
# Below the threads of the kernel that serve interrupts, which have 50.
PRIORITY = 40
MAX_PRIORITY = 98

GIVES_WAY = (
    'a stream of which a publisher offers best effort only is subscribed as that within a second, '
    'and the log says so'
)

Box = tuple[float, float, float, float, float, float]
NO_BOX: Box = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NO_BOXES = (0.0,)  # ROS 2 knows the type of a list only by what is in it
NO_WORDS = ('',)


class TrajectoryParameters(Declared):
    """How far ahead trajectories are sent."""

    send_ahead: float = Field(
        default=BY_ARM_S, ge=BY_ARM_S, le=MAX_SEND_AHEAD_S,
        description='How far ahead of now [s] what is sent to a topic with `send: chunk` may '
        'reach, the way to rest included; 0: all that is planned; negative: '
        f'{SEND_AHEAD_S:g} s, or more for an arm that takes long to brake',
    )  # fmt: skip


class RealtimeParameters(Declared):
    """What the control tick wants of the operating system."""

    priority: int = Field(
        default=PRIORITY, ge=0, le=MAX_PRIORITY,
        description='SCHED_FIFO priority of the control tick, where that is permitted; the '
        'threads beside it, but not the policy, get one less; 0: none',
    )  # fmt: skip
    lock_memory: bool = Field(
        default=True,
        description='Keep what was in memory once from being swapped out, where that is permitted',
    )
    cpus: str = Field(
        default='', description='Cores of the control tick, e.g. 1 or 2-3,5; empty: any'
    )


class ControlParameters(Declared):
    """What every node with a controller has."""

    interpolation: Interpolation = Field(
        default='linear',
        description='From the rate of the actions to the control rate; linear: straight from row '
        'to row; cubic: without a jump of speed at a row, never beyond the two rows it is '
        'between; hold: a step to each row',
    )
    ramp_speed: float = Field(
        default=0.25, ge=0.01, le=1.0,
        description='Share of the velocity limits on the way to the first target',
    )  # fmt: skip
    chunk: TrajectoryParameters
    auto_resume: float = Field(
        default=AUTO_RESUME_S, ge=0.0, le=MAX_AUTO_RESUME_S,
        description='An arm that held for longer than this [s] is disabled and waits for '
        '~/enable; 0: at once',
    )  # fmt: skip
    latch_faults: bool = Field(
        default=False, description='True is the old name of auto_resume: 0.0'
    )
    speed: Annotated[float, LIVE] = Field(
        default=1.0, ge=0.0, le=1.0,
        description='Speed override: share of the speed of plans and of the velocity limits, '
        'also on ~/speed',
    )  # fmt: skip
    effort_limit: float = Field(
        default=0.0, ge=0.0, le=1e6,
        description='Measured effort of any joint [N m or N] that disables the arm, beside the '
        "robot spec's effort_limits; 0: only those",
    )  # fmt: skip
    diagnostics_period: float = Field(
        default=1.0, ge=0.05, le=60.0, description='Time between messages on /diagnostics [s]'
    )
    reliable: bool = Field(
        default=False,
        description=f'Subscribe with reliable instead of best-effort QoS; {GIVES_WAY}',
    )
    realtime: RealtimeParameters


class WorkspaceParameters(Declared):
    """The box in which the tool stays."""

    urdf: str = Field(
        default='', description='URDF for the box and speed of the tool; empty: neither'
    )
    tool: str = Field(default='', description='Link whose origin stays in the box')
    box: Box = Field(
        default=NO_BOX,
        description='x min, x max, y min, y max, z min, z max [m] in the frame of the root link',
    )


class CollisionParameters(Declared):
    """What the arm must not touch."""

    urdf: str = Field(
        default='',
        description='URDF with collision shapes: links keep apart from each other and from '
        'boxes; empty: not looked at',
    )
    boxes: tuple[float, ...] = Field(
        default=NO_BOXES,
        description='x min, x max, y min, y max, z min, z max [m] of each box (table, walls), '
        'in the frame of the root link',
    )
    margin: float = Field(
        default=0.01, ge=0.001, le=1.0,
        description='Distance kept between links, and to boxes [m]',
    )  # fmt: skip
    self_collision: bool = Field(
        default=True,
        alias='self',
        description='Whether links may not touch each other either; false: only boxes are looked '
        'at',
    )
    ignore: tuple[str, ...] = Field(
        default=NO_WORDS,
        description="Links that are not looked at, 'LINK', and pairs that may touch, "
        "'LINK1 LINK2'; the boxes are box:1, box:2, ...",
    )
    srdf: str = Field(
        default='',
        description='SRDF, as MoveIt has it, whose disable_collisions pairs may touch; empty: '
        'none',
    )
    package_dirs: tuple[str, ...] = Field(
        default=NO_WORDS,
        description='Folders with the packages of package:// meshes, beside those in '
        'AMENT_PREFIX_PATH',
    )


def _reaction_to(stage: str) -> Any:
    return Field(
        default='clamp',
        description=f'What a target over the limit of {stage} leads to: it is clamped, or the '
        'arm stops',
    )


class ReactionParameters(Declared):
    """What a violation leads to: one for each of `CLAMPING_STAGES`."""

    position: Reaction = _reaction_to('position')
    velocity: Reaction = _reaction_to('velocity')
    acceleration: Reaction = _reaction_to('acceleration')
    following_error: Reaction = _reaction_to('following_error')
    workspace: Reaction = _reaction_to('workspace')
    collision: Reaction = _reaction_to('collision')


class GuardParameters(Declared):
    """The optional stages of the guard chain, and the reactions of all."""

    max_following_error: float = Field(
        default=0.0, ge=0.0, le=10.0,
        description='Greatest distance of a command from the measured joint [rad or m]; 0: no '
        'such limit',
    )  # fmt: skip
    position_margin: float = Field(
        default=0.0, ge=0.0, le=3.0,
        description='Distance kept from every position limit [rad or m]',
    )  # fmt: skip
    max_jerk: float = Field(
        default=0.0, ge=0.0, le=1e6,
        description='Greatest change of acceleration [rad/s^3 or m/s^3], kept by Ruckig; 0: no '
        'such limit',
    )  # fmt: skip
    workspace: WorkspaceParameters
    tool_speed_limit: Annotated[float, LIVE] = Field(
        default=0.0, ge=0.0, le=10.0,
        description='Greatest speed of the origin of workspace.tool [m/s]; 0.25 is usual beside '
        'people; 0: any',
    )  # fmt: skip
    collision: CollisionParameters
    on_violation: ReactionParameters


class SwitchParameters(Declared):
    """Which topics stop the arm."""

    emergency_stop_topic: Annotated[str, READ_ONLY] = Field(
        default='emergency_stop', description='std_msgs/Bool: true disables the arm; empty: none'
    )
    require_emergency_stop: bool = Field(
        default=False,
        description='Refuse to enable before false was heard on emergency_stop_topic',
    )
    emergency_stop_timeout: float = Field(
        default=0.0, ge=0.0, le=60.0,
        description='Silence of a publisher of emergency_stop_topic that disables the arm [s]; '
        '0: none does',
    )  # fmt: skip
    dead_man_topic: Annotated[str, READ_ONLY] = Field(
        default='',
        description='sensor_msgs/Joy: the arm moves only while dead_man_button is held; empty: '
        'none',
    )
    dead_man_button: int = Field(
        default=0, ge=0, le=63, description='Index of the button in Joy.buttons'
    )
    dead_man_timeout: float = Field(
        default=0.5, ge=0.02, le=10.0,
        description='Silence of dead_man_topic that counts as released [s]',
    )  # fmt: skip
