# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One topic of a robot spec that carries joints: measured, led or commanded.

Rule: joints are matched by name; a message without names holds them in the order given here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from motion_policy.declared import Declared
from motion_policy.robot.twist import TWIST_STAMPED, VELOCITY_TYPES, check_fields
from motion_policy.robot.values import Finite, Hertz, Seconds, Stamp, Topic, no_repeats, one_of

JOINT_STATE = 'sensor_msgs/msg/JointState'
FLOAT64_MULTI_ARRAY = 'std_msgs/msg/Float64MultiArray'
FLOAT32_MULTI_ARRAY = 'std_msgs/msg/Float32MultiArray'
FLOAT64 = 'std_msgs/msg/Float64'
POSE_STAMPED = 'geometry_msgs/msg/PoseStamped'
JOINT_TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'

FRAMED_TYPES = (POSE_STAMPED, TWIST_STAMPED)
COMMAND_TYPES = (
    FLOAT64_MULTI_ARRAY, FLOAT32_MULTI_ARRAY, FLOAT64, JOINT_TRAJECTORY, JOINT_STATE, POSE_STAMPED,
)  # fmt: skip
GAIN = 2.0  # 1/s, of the tool's velocities
MOST_GAIN = 10.0
# Keys of a joint topic that stand in the text of a spec only where they are not as by default.
LATER_KEYS = ('velocities', 'gain')


class JointTopic(Declared):
    """One topic that carries some joints.

    `joints` are our names; `message_names` are what the message calls them, in the same order.
    A message type without names (Float64MultiArray, Float64) holds them in that order. A leader
    whose joints move otherwise than ours is converted by `scale * value + offset`, one for each.
    A command goes out in every control period (`send: tick`), or as a trajectory of all that is
    planned, whenever that changes (`send: chunk`). With `velocities` that of every period is a
    trajectory which says how fast it is, and comes to rest. A PoseStamped is that of the robot's
    tool, in `frame`; left out, in the root link. So is a TwistStamped, which closes a `gain`th of
    the distance between tool and command in a second. Velocities of a base stand in the `fields`
    of a twist, one for each joint; those that no joint has are zero in a command.
    """

    topic: Topic
    type: str
    joints: tuple[str, ...] = Field(min_length=1)
    message_names: tuple[str, ...]
    stamp: Stamp = 'header'
    max_age: Seconds = 0.2
    rate: Hertz | None = None
    scale: tuple[Finite, ...]
    offset: tuple[Finite, ...]
    send: Literal['tick', 'chunk'] = 'tick'
    velocities: bool = False
    frame: str | None = Field(default=None, min_length=1)
    gain: float = Field(default=GAIN, ge=0, le=MOST_GAIN)
    fields: tuple[str, ...] | None = None

    @field_validator('type')
    @classmethod
    def _type(cls, value: str) -> str:
        return one_of(value, (*COMMAND_TYPES, *VELOCITY_TYPES))

    @model_validator(mode='after')
    def _entries_pair_up(self) -> JointTopic:
        no_repeats('message_names', self.message_names)
        for key in ('message_names', 'scale', 'offset'):
            count = len(getattr(self, key))
            if count != len(self.joints):
                raise ValueError(
                    f'{key} has {count} entries, expected {len(self.joints)}, '
                    'one for each of joints'
                )
        if self.type == FLOAT64 and len(self.joints) != 1:
            raise ValueError(
                f'joints has {len(self.joints)} entries with {FLOAT64}, which is one number, '
                'expected one joint; others on topics of their own'
            )
        if self.frame is not None and self.type not in FRAMED_TYPES:
            raise ValueError(
                f'frame with {self.type}, expected it for {" and ".join(FRAMED_TYPES)} only'
            )
        if self.gain != GAIN and not self.of_tool_velocity:
            raise ValueError(
                f'gain with {self.type}, expected it for {TWIST_STAMPED} of the tool only'
            )
        if self.fields is not None:
            check_fields(self.fields, self.joints, self.type)
            if any(self.offset):
                raise ValueError('offset of a velocity is not 0, expected 0: it would never stand')
        if self.send == 'chunk' and self.type != JOINT_TRAJECTORY:
            raise ValueError(f"send is 'chunk' with {self.type}, expected {JOINT_TRAJECTORY}")
        if self.velocities and (self.type != JOINT_TRAJECTORY or self.send == 'chunk'):
            raise ValueError(
                f'velocities with {self.type} and send {self.send}, expected it for '
                f'{JOINT_TRAJECTORY} and send tick only: whole chunks have them anyway'
            )
        return self

    @property
    def of_tool_velocity(self) -> bool:
        """True for velocities of the robot's tool."""
        return self.type == TWIST_STAMPED and not self.of_velocities

    @property
    def of_tool(self) -> bool:
        """True for poses, or velocities, of the robot's tool."""
        return self.type == POSE_STAMPED or self.of_tool_velocity

    @property
    def of_velocities(self) -> bool:
        """True for the velocities of a base, which stand in a twist."""
        return self.fields is not None

    @property
    def is_converted(self) -> bool:
        """True when the message's positions are not ours as they are."""
        return any(scale != 1 for scale in self.scale) or any(self.offset)
