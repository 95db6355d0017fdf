# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What leads an arm by hand, as a robot spec says it under `teleop`.

Rule: what is named here moves the arm; what is recorded as the action stands in `joints.leader`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from motion_policy.declared import Declared
from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.twist import FIELDS, ODOMETRY, TWIST, TWIST_STAMPED, VELOCITY_TYPES
from motion_policy.robot.values import (
    Finite,
    NotNegative,
    Seconds,
    Stamp,
    Topic,
    no_repeats,
    one_of,
)

# Of motion at full speed, where the spec says nothing: 0.9 and 0.6 rad for a joint of 3 rad/s.
APART_S, JUMP_S = 0.3, 0.2

Float64Array = npt.NDArray[np.float64]
Input = Annotated[int, Field(ge=0, le=63)]  # number of an axis or a button


class LeaderRange(Declared):
    """Two positions of a leader's joint, and where ours is then; beyond them ours goes no further.

    Either may be the greater [rad or m].
    """

    leader: tuple[Finite, Finite]
    arm: tuple[Finite, Finite]

    @model_validator(mode='after')
    def _apart(self) -> LeaderRange:
        for key in ('leader', 'arm'):
            one, other = getattr(self, key)
            if one == other:
                raise ValueError(f'{key} is [{one:g}, {other:g}], expected two different numbers')
        return self


class TwistLeader(Declared):
    """Velocities that a person wants of the robot's tool, in a twist [m/s and rad/s].

    They are along the axes of the root link, or of the `tool`; the origin of the tool is moved at
    most `linear` [m/s] fast and turned at most `angular` [rad/s] fast, in the same direction.
    Where nothing was heard for `max_age` [s] nothing is wanted.
    """

    topic: Topic
    type: str = TWIST_STAMPED
    axes: Literal['root', 'tool'] = 'root'
    linear: float = Field(default=0.25, gt=0, le=10)
    angular: float = Field(default=0.8, gt=0, le=10)
    max_age: Seconds = 0.3
    stamp: Stamp = 'header'

    @field_validator('type')
    @classmethod
    def _type(cls, value: str) -> str:
        return one_of(value, (TWIST, TWIST_STAMPED))


class JoyLeader(Declared):
    """A gamepad or SpaceMouse, whose axes are velocities of the tool, or of joints.

    `axes` are the numbers of the axes by what they move: fields of a twist, or joints; `reversed`
    those that go the other way. Within `dead_zone` of its middle an axis is 0; `expo`, from 0 to
    1, makes it finer there. Full is `linear` [m/s] or `angular` [rad/s] of the tool, along the
    axes of `frame`, or `joint_speed` of a joint's full speed. Nothing moves but while the button
    `dead_man` is held, of which something is heard within `max_age` [s]. The other buttons act
    when they are pressed.
    """

    topic: Topic = 'joy'
    axes: dict[str, Input] = Field(min_length=1)
    reversed: tuple[str, ...] = ()
    dead_zone: float = Field(default=0.1, ge=0, lt=1)
    expo: float = Field(default=0.3, ge=0, le=1)
    frame: Literal['root', 'tool'] = 'root'
    linear: float = Field(default=0.25, gt=0, le=10)
    angular: float = Field(default=0.8, gt=0, le=10)
    joint_speed: float = Field(default=0.25, gt=0, le=1)
    max_age: Seconds = 0.5
    dead_man: Input
    close: Input | None = None
    open: Input | None = None
    toggle: Input | None = None
    faster: Input | None = None
    slower: Input | None = None
    home: Input | None = None
    switch_frame: Input | None = None

    @model_validator(mode='after')
    def _fits_together(self) -> JoyLeader:
        for name in self.reversed:
            if name not in self.axes:
                raise ValueError(f"reversed has '{name}', expected only keys of axes")
        used: dict[int, str] = {}
        for key, number in self.buttons.items():
            if (other := used.setdefault(number, key)) != key:
                raise ValueError(f'{key} is button {number}, as {other} is, expected another one')
        if self.of_tool and not set(self.axes) <= set(FIELDS):
            odd = next(name for name in self.axes if name not in FIELDS)
            raise ValueError(f"axes has '{odd}' beside fields of a twist, expected only these")
        if self.switch_frame is not None and not self.of_tool:
            raise ValueError('switch_frame with axes of joints, expected it for those of the tool')
        return self

    @property
    def of_tool(self) -> bool:
        """Whether the tool is moved, not joints."""
        return any(name in FIELDS for name in self.axes)

    @property
    def buttons(self) -> dict[str, int]:
        """The numbers of its buttons by what they do."""
        keys = 'dead_man', 'close', 'open', 'toggle', 'faster', 'slower', 'home', 'switch_frame'
        numbers = {key: getattr(self, key) for key in keys}
        return {key: number for key, number in numbers.items() if number is not None}


class LedGripper(Declared):
    """A joint that is opened and closed by a word [rad or m]."""

    joint: str
    open: Finite
    closed: Finite


class TakeoverSpec(Declared):
    """How a person takes over from a policy, and gives back, beside `~/takeover`.

    `button` of the Joy on `topic` does both in turn. A leader that is moved by more than `moved`
    [rad or m] within a second, one entry per joint, takes over; an entry of 0 leaves that joint
    unwatched. `leader_command` is what moves a leader that can be driven: it follows the arm while
    the policy drives, and `moved` is then how far it is held, or pushed, from where it is sent.
    """

    topic: Topic = 'joy'
    button: Input | None = None
    moved: tuple[NotNegative, ...] | None = None
    leader_command: tuple[JointTopic, ...] = ()


class TeleopSpec(Declared):
    """Who leads the arm.

    A `leader` of several topics may carry some of the joints: the others stay where they are.
    `ranges` say of its joints how far they open and close. Per joint, in joint order [rad or m]:
    beyond `apart` from the leader an arm is not enabled, and one that follows comes after it
    slowly; a leader that moves by more than `jump` from one message to the next has jumped. An
    entry of 0 leaves that joint unwatched. In place of a leader, a `twist` or a `joy` may move
    the arm; `gripper` is what is opened and closed then. `takeover` is how a person takes over
    while a policy drives.
    """

    leader: tuple[JointTopic, ...] = ()
    ranges: dict[str, LeaderRange] = Field(default_factory=dict)
    apart: tuple[NotNegative, ...] | None = None
    jump: tuple[NotNegative, ...] | None = None
    twist: TwistLeader | None = None
    joy: JoyLeader | None = None
    gripper: LedGripper | None = None
    takeover: TakeoverSpec | None = None

    @model_validator(mode='after')
    def _takes_over(self) -> TeleopSpec:
        takeover, joy = self.takeover, self.joy
        if takeover is None:
            return self
        if joy is not None and takeover.topic == joy.topic and takeover.button is not None:
            for key, number in joy.buttons.items():
                if number == takeover.button:
                    raise ValueError(
                        f'takeover.button is button {number}, as joy.{key} is, expected another'
                    )
        for key in ('moved', 'leader_command'):
            if getattr(takeover, key) and (self.twist or joy):
                raise ValueError(f'takeover has {key} beside twist or joy, expected a leader')
        self._check_leader_command(takeover.leader_command)
        return self

    def _check_leader_command(self, topics: tuple[JointTopic, ...]) -> None:
        """ValueError for what cannot be sent to a leader, or is not heard of it."""
        no_repeats('takeover.leader_command joints', [j for topic in topics for j in topic.joints])
        scales = {j: s for t in self.leader for j, s in zip(t.joints, t.scale, strict=True)}
        for topic in topics:
            if topic.of_tool or topic.of_velocities or topic.send != 'tick' or topic.velocities:
                raise ValueError(
                    f'takeover.leader_command has {topic.type}, expected positions of joints, one '
                    'command per tick'
                )
            if topic.is_converted:
                raise ValueError(
                    'takeover.leader_command has scale or offset: those of leader hold'
                )
            for joint in topic.joints:
                if not scales.get(joint):
                    raise ValueError(
                        f"takeover.leader_command carries '{joint}', expected joints that leader "
                        'carries with a scale that is not 0'
                    )
            if any(topic.topic == heard.topic for heard in self.leader):
                raise ValueError(
                    f"takeover.leader_command is on '{topic.topic}', a topic of leader, expected "
                    'the one that moves it'
                )

    @model_validator(mode='after')
    def _leads(self) -> TeleopSpec:
        there = [key for key in ('leader', 'twist', 'joy') if getattr(self, key)]
        if len(there) > 1:
            raise ValueError(f'has {" and ".join(there)}, expected one of them')
        if self.gripper is not None and self.twist is None and self.joy is None:
            raise ValueError('has gripper without twist or joy: a leader has its own joint for it')
        led = [joint for topic in self.leader for joint in topic.joints]
        no_repeats('leader joints', led)
        for topic in self.leader:
            if topic.of_tool or topic.type == ODOMETRY:
                raise ValueError(f'leader has {topic.type}, expected positions of joints')
            if topic.send != 'tick' or topic.velocities or topic.frame:
                raise ValueError('leader has send, velocities or frame: these are of commands')
            for joint, scale, offset in zip(topic.joints, topic.scale, topic.offset, strict=True):
                if joint in self.ranges and (scale, offset) != (1, 0):
                    raise ValueError(
                        f"leader converts '{joint}' by scale or offset, and ranges has it, "
                        'expected one of the two'
                    )
        for joint in self.ranges:
            if joint not in led:
                raise ValueError(f"ranges has '{joint}', expected only joints of leader")
        return self

    def options(self) -> dict[str, Any]:
        """What a spec's text holds of it: nothing that is as by default."""
        return self.model_dump(mode='json', exclude_defaults=True)


def check_teleop(
    teleop: TeleopSpec,
    names: tuple[str, ...],
    velocities: tuple[str, ...],
    limits: Float64Array,
    commands: tuple[JointTopic, ...],
    has_tool: bool,
) -> None:
    """ValueError for what does not fit a robot of these joints (J,), with these limits (J, 2)."""
    joy = teleop.joy
    if not has_tool and (teleop.twist is not None or (joy is not None and joy.of_tool)):
        key = 'joy' if teleop.twist is None else 'twist'
        raise ValueError(f'teleop has {key}, expected tool: what it moves')
    for joint in joy.axes if joy is not None and not joy.of_tool else ():
        if joint not in names or joint in velocities:
            raise ValueError(
                f"teleop.joy.axes has '{joint}', expected fields of a twist, or positions of names"
            )
    gripper = teleop.gripper
    if gripper is not None:
        if gripper.joint not in names or gripper.joint in velocities:
            raise ValueError(
                f"teleop.gripper is '{gripper.joint}', expected a position among names"
            )
        low, high = limits[names.index(gripper.joint)]
        for key in ('open', 'closed'):
            value = getattr(gripper, key)
            if not low <= value <= high:
                raise ValueError(
                    f'teleop.gripper.{key} is {value:g}, expected it within the limits '
                    f'[{low:g}, {high:g}]'
                )
    for topic in teleop.leader:
        for joint in topic.joints:
            if joint not in names:
                raise ValueError(f"teleop.leader carries '{joint}', expected joints of names only")
            is_velocity = joint in velocities
            if is_velocity != topic.of_velocities or is_velocity != (topic.type in VELOCITY_TYPES):
                kind = 'a velocity' if joint in velocities else 'a position'
                raise ValueError(
                    f"teleop.leader carries '{joint}', {kind}, by {topic.type}, expected "
                    'velocities of joints.velocities by a twist, and positions by no twist'
                )
        if any(topic.topic == command.topic for command in commands):
            raise ValueError(
                f"teleop.leader is on '{topic.topic}', a topic of joints.command, expected the "
                'topic of the device that leads'
            )
    for joint, span in teleop.ranges.items():
        low, high = limits[names.index(joint)]
        if joint in velocities:
            raise ValueError(f"teleop.ranges has '{joint}', a velocity, expected positions only")
        for value in span.arm:
            if not low <= value <= high:
                raise ValueError(
                    f'teleop.ranges.{joint}.arm has {value:g}, expected it within the limits '
                    f'[{low:g}, {high:g}]'
                )
    for topic in () if teleop.takeover is None else teleop.takeover.leader_command:
        if any(topic.topic == command.topic for command in commands):
            raise ValueError(
                f"teleop.takeover.leader_command is on '{topic.topic}', a topic of "
                'joints.command, expected the one that moves the leader'
            )
    moved = None if teleop.takeover is None else teleop.takeover.moved
    for key, values in {
        'apart': teleop.apart,
        'jump': teleop.jump,
        'takeover.moved': moved,
    }.items():
        if values is not None and len(values) != len(names):
            raise ValueError(
                f'teleop.{key} has {len(values)} entries, expected {len(names)}, one for each of '
                'joints.names'
            )
