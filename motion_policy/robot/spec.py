# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The robot spec: what one YAML file says about a robot, checked once and immutable after.

Rule: every vector of joints, in files, networks and commands, has the order of `joints.names`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, field_validator, model_validator

from motion_policy.declared import Declared
from motion_policy.documents import dump_yaml
from motion_policy.robot.gripper import (
    GripperAction,
    GripperService,
    GripperSpec,
    check_grippers,
)
from motion_policy.robot.image_fit import ImageFit
from motion_policy.robot.joint_topic import JOINT_STATE, LATER_KEYS, JointTopic
from motion_policy.robot.quality import QualitySpec
from motion_policy.robot.teleop import TeleopSpec, check_teleop
from motion_policy.robot.tool import ToolSpec
from motion_policy.robot.topic_defaults import commanded_joints, filled_teleop, filled_topics
from motion_policy.robot.twist import (
    LINEAR,
    ODOMETRY,
    VELOCITY_TYPES,
)
from motion_policy.robot.values import (
    Finite,
    Hertz,
    NotNegative,
    Seconds,
    Stamp,
    Topic,
    no_repeats,
    one_of,
)
from motion_policy.robot.vector import VectorSpec

NANOSECONDS_PER_S = 1_000_000_000
MOST_PIXELS = 2**15  # along an edge of an image
FARTHEST_MM = 65534  # of depth; what is beyond is no measurement
SLOWEST_HZ = 1e-3
STANDS_SHARE = 0.05  # of its limit: a base that is measured to be no faster stands
CLOCK_GRANULARITY_NS = 1_000_000  # by which two readings of one clock may differ
CLOCK_STEP_NS = 10_000_000  # a clock that goes back by more was set back

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
WRENCH = 'geometry_msgs/msg/WrenchStamped'

CAMERA_TYPES = (IMAGE, COMPRESSED_IMAGE)
FIT_KEYS = tuple(ImageFit.model_fields)

# The names of the joint streams, which nothing else may take.
JOINT_STREAM_NAME = re.compile(r'(state|leader)(_\d+)?')

Role = Literal['camera', 'state', 'leader', 'vector', 'depth']
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StreamSpec:
    """One topic that is read: its name in rows and files, and how old its newest sample may be.

    `rate` [Hz] is how often it speaks, if the robot spec says so. A stamp may lead its reception
    by `max_lead_ns`. A sample in a row is the mean of those of the last `window_ns`; 0: the newest
    alone, or the last `window_count`. `source` is what the spec says of its messages; None: they
    are taken unread.
    """

    name: str
    role: Role
    topic: str
    type: str
    max_age: float
    stamp: Stamp
    rate: float | None = None
    max_lead_ns: int = NANOSECONDS_PER_S // 50 + CLOCK_GRANULARITY_NS
    source: CameraSpec | JointTopic | VectorSpec | DepthSpec | None = None
    window_ns: int = 0
    window_count: int = 0

    @property
    def max_age_ns(self) -> int:
        """Greatest age of a sample that still counts, in nanoseconds."""
        return round(self.max_age * NANOSECONDS_PER_S)


class ImageTopic(ImageFit):
    """A topic of images: message type, their size in pixels as they are sent, and what a policy
    sees of them.
    """

    topic: Topic
    type: str = IMAGE
    width: int = Field(gt=0, le=MOST_PIXELS)
    height: int = Field(gt=0, le=MOST_PIXELS)
    max_age: Seconds = 0.2
    stamp: Stamp = 'header'
    rate: Hertz | None = None

    @field_validator('type')
    @classmethod
    def _type(cls, value: str) -> str:
        return one_of(value, CAMERA_TYPES)

    @model_validator(mode='after')
    def _crop_is_within(self) -> ImageTopic:
        self.check_within((self.height, self.width))
        return self

    @property
    def image_fit(self) -> ImageFit:
        """What a policy sees of its images."""
        return ImageFit(crop=self.crop, rotate=self.rotate, fit=self.fit)


class CameraSpec(ImageTopic):
    """One camera, whose images have colours."""


class DepthSpec(ImageTopic):
    """One depth camera, whose images hold distances."""


class LimitsSpec(Declared):
    """Limits per joint, in joint order, SI units (rad or m, per second, per second squared)."""

    position: tuple[tuple[float, float], ...]
    velocity: tuple[float, ...]
    acceleration: tuple[float, ...]

    @field_validator('position')
    @classmethod
    def _position(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for index, (low, high) in enumerate(value):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f'entry {index} is [{low}, {high}], expected finite low < high')
        return value

    @field_validator('velocity', 'acceleration')
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, limit in enumerate(value):
            if not (math.isfinite(limit) and limit > 0):
                raise ValueError(f'entry {index} is {limit}, expected a finite number > 0')
        return value

    def position_array(self) -> Float64Array:
        """Return lower and upper bounds, shape (J, 2)."""
        return np.array(self.position, dtype=np.float64)

    def velocity_array(self) -> Float64Array:
        """Return the greatest speeds, shape (J,)."""
        return np.array(self.velocity, dtype=np.float64)

    def acceleration_array(self) -> Float64Array:
        """Return the greatest accelerations, shape (J,)."""
        return np.array(self.acceleration, dtype=np.float64)


class JointsSpec(Declared):
    """The joints, the topics that carry them and their limits.

    The value of those in `velocities` is a velocity [m/s or rad/s], that of a mobile base: their
    limits of position, velocity and acceleration are those of velocity, acceleration and jerk.
    """

    names: tuple[str, ...] = Field(min_length=1)
    velocities: tuple[str, ...] = ()
    state: tuple[JointTopic, ...] = Field(min_length=1)
    leader: tuple[JointTopic, ...] = ()
    command: tuple[JointTopic, ...] = Field(min_length=1)
    grippers: dict[str, GripperSpec] = Field(default_factory=dict)
    limits: LimitsSpec

    @model_validator(mode='before')
    @classmethod
    def _fill_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names, velocities = data.get('names'), data.get('velocities')
        velocities = list(velocities) if isinstance(velocities, (list, tuple)) else []
        if velocities and isinstance(names, (list, tuple)):
            names = [name for name in names if name not in velocities]
        filled = dict(data)
        for role in ('state', 'leader', 'command'):
            if role in data:
                theirs = (
                    commanded_joints(names, data.get('grippers')) if role == 'command' else names
                )
                filled[role] = filled_topics(data[role], theirs, velocities)
        return filled

    @field_validator('names')
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        no_repeats('names', value)
        return value

    @field_validator('state')
    @classmethod
    def _state_type(cls, value: tuple[JointTopic, ...]) -> tuple[JointTopic, ...]:
        for topic in value:
            one_of(topic.type, (JOINT_STATE, *VELOCITY_TYPES))
        return value

    @model_validator(mode='after')
    def _fits_together(self) -> JointsSpec:
        self._check_velocities()
        for role in ('state', 'leader', 'command'):
            topics: tuple[JointTopic, ...] = getattr(self, role)
            if topics:
                expected = self._commanded_by_topics() if role == 'command' else self.names
                _covers_exactly_once(role, topics, expected)
            if role != 'leader' and any(topic.is_converted for topic in topics):
                raise ValueError(f'{role} has scale or offset, expected these for leader only')
            for topic in topics:
                if role != 'command' and topic.of_tool:
                    raise ValueError(f'{role} has {topic.type}, expected it for command only')
            if role != 'command' and any(topic.send != 'tick' for topic in topics):
                raise ValueError(f"{role} has send 'chunk', expected it for command only")
            if role != 'command' and any(topic.velocities for topic in topics):
                raise ValueError(f'{role} has velocities, expected it for command only')
            if self.velocities and any(topic.send != 'tick' for topic in topics):
                raise ValueError(
                    f"{role} has send 'chunk', expected 'tick' in a robot with velocities: a "
                    'base that drives is stopped at once, not where a trajectory ends'
                )
            if role != 'command' and any(topic.frame for topic in topics):
                raise ValueError(f'{role} has frame, expected it for command only')
        for kind in ('position', 'velocity', 'acceleration'):
            count = len(getattr(self.limits, kind))
            if count != len(self.names):
                raise ValueError(
                    f'limits.{kind} has {count} entries, expected {len(self.names)}, '
                    'one for each of names'
                )
        check_grippers(self.grippers, self.names, self.limits.position)
        return self

    @property
    def acting_grippers(self) -> dict[str, GripperAction | GripperService]:
        """What moves the grippers that no command topic carries, by their joints."""
        moved = {name: gripper.interface for name, gripper in self.grippers.items()}
        return {name: interface for name, interface in moved.items() if interface is not None}

    @property
    def position_columns(self) -> list[int]:
        """Places of the joints whose value is a position."""
        return [j for j, name in enumerate(self.names) if name not in self.velocities]

    @property
    def are_velocities(self) -> npt.NDArray[np.bool_]:
        """Which joints (J,) are velocities."""
        return np.array([name in self.velocities for name in self.names])

    @property
    def creeping(self) -> Float64Array:
        """The velocity (J,) up to which a base counts as standing; 0 of positions."""
        greatest = np.abs(self.limits.position_array()).max(axis=1)
        return np.where(self.are_velocities, STANDS_SHARE * greatest, 0.0)

    def unit_of(self, name: str) -> str:
        """m/s or rad/s of a velocity; '' of a position, whose joint turns or slides."""
        for topic in self.state:
            for joint, field in zip(topic.joints, topic.fields or (), strict=False):
                if joint == name:
                    return 'm/s' if field in LINEAR else 'rad/s'
        return ''

    @property
    def labels(self) -> tuple[str, ...]:
        """The joints' names, those of velocities with their unit."""
        units = {name: self.unit_of(name) for name in self.names}
        return tuple(f'{name} ({unit})' if unit else name for name, unit in units.items())

    def _check_velocities(self) -> None:
        no_repeats('velocities', self.velocities)
        for name in self.velocities:
            if name not in self.names:
                raise ValueError(f"velocities has '{name}', expected only joints of names")
            if name in self.grippers:
                raise ValueError(f"velocities has '{name}', expected no joint of grippers")
        for role in ('state', 'leader', 'command'):
            for topic in getattr(self, role):
                self._check_kind(role, topic)
        for name, (low, high) in zip(self.names, self.limits.position, strict=False):
            if name in self.velocities and not low <= 0 <= high:
                raise ValueError(
                    f'limits.position of {name}, a velocity, is [{low:g}, {high:g}], expected 0 '
                    'within: it stands when it is stopped'
                )

    def _check_kind(self, role: str, topic: JointTopic) -> None:
        of_velocities = [joint in self.velocities for joint in topic.joints]
        where = f"{role} on topic '{topic.topic}'"
        if any(of_velocities) and not all(of_velocities):
            velocity = topic.joints[of_velocities.index(True)]
            other = topic.joints[of_velocities.index(False)]
            raise ValueError(
                f"{where} carries '{velocity}', a velocity, and '{other}', a position, expected "
                'topics of their own'
            )
        if not all(of_velocities):
            if topic.type in VELOCITY_TYPES and not (role == 'command' and topic.of_tool_velocity):
                raise ValueError(
                    f"{where} carries '{topic.joints[0]}' by {topic.type}, expected joints of "
                    'joints.velocities'
                )
            return
        if topic.type not in VELOCITY_TYPES:
            raise ValueError(
                f"{where} carries '{topic.joints[0]}', a velocity, by {topic.type}, expected "
                f'{" or ".join(VELOCITY_TYPES)}'
            )
        if topic.fields is None:
            raise ValueError(f'{where} has no fields, expected e.g. fields: [linear.x]')
        if role != 'state' and topic.type == ODOMETRY:
            raise ValueError(f'{role} has {ODOMETRY}, expected it for state only')

    def _commanded_by_topics(self) -> tuple[str, ...]:
        acting = self.acting_grippers
        for topic in self.command:
            for joint in topic.joints:
                if joint in acting:
                    raise ValueError(
                        f"command carries '{joint}', which the action or service of "
                        f'grippers.{joint} moves, expected one of the two'
                    )
        return tuple(name for name in self.names if name not in acting)


class RobotSpec(Declared):
    """One robot: rate of commands and rows [Hz], joints, what is measured, what it is watched by.

    A depth camera may have the name of a camera; its stream is called `depth_NAME`.

    Per joint, in joint order: `home` is where `~/home` drives to [rad or m]; a joint that is
    further than `tracking_error` [rad or m] from its commands, or whose effort is beyond
    `effort_limits` [N m or N], stops the arm. An entry of 0 leaves that joint unwatched. Of
    velocities, all are per second, and `home` is 0. `quality` is what its episodes are judged by,
    `teleop` who leads it by hand.
    """

    name: str = Field(min_length=1)
    rate: float = Field(ge=SLOWEST_HZ, le=1000)
    joints: JointsSpec
    cameras: dict[str, CameraSpec] = Field(default_factory=dict)
    vectors: dict[str, VectorSpec] = Field(default_factory=dict)
    depth: dict[str, DepthSpec] = Field(default_factory=dict)
    home: tuple[Finite, ...] | None = None
    tracking_error: tuple[NotNegative, ...] | None = None
    effort_limits: tuple[NotNegative, ...] | None = None
    tool: ToolSpec | None = None
    quality: QualitySpec = QualitySpec()
    teleop: TeleopSpec | None = None

    @model_validator(mode='before')
    @classmethod
    def _fill_teleop(cls, data: Any) -> Any:
        return filled_teleop(data)

    @field_validator('cameras', 'vectors', 'depth')
    @classmethod
    def _stream_names(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in value:
            _check_stream_name(_KINDS[str(info.field_name)], name)
        return value

    @model_validator(mode='after')
    def _one_stream_of_a_name(self) -> RobotSpec:
        for name in self.vectors:
            if name in self.cameras:
                raise ValueError(f"vectors has '{name}', expected a name that no camera has")
        for name in self.depth:
            stream = depth_stream(name)
            for key in ('cameras', 'vectors'):
                if stream in getattr(self, key):
                    raise ValueError(
                        f"{key} has '{stream}', expected another name: the stream of depth "
                        f"'{name}' is called so"
                    )
        return self

    @model_validator(mode='after')
    def _one_type_on_a_topic(self) -> RobotSpec:
        types = {stream.topic: (stream.name, stream.type) for stream in reversed(self.streams())}
        sources: list[tuple[str, VectorSpec | DepthSpec]] = [
            *((f'vectors.{name}', vector) for name, vector in self.vectors.items()),
            *((f'depth.{name}', depth) for name, depth in self.depth.items()),
        ]
        for place, source in sources:
            other, its_type = types[source.topic]
            if its_type != source.type:
                raise ValueError(
                    f"{place} has {source.type} on topic '{source.topic}', expected "
                    f"{its_type} as '{other}' has there"
                )
        return self

    @model_validator(mode='after')
    def _one_value_per_joint(self) -> RobotSpec:
        for key in ('home', 'tracking_error', 'effort_limits'):
            values = getattr(self, key)
            if values is not None and len(values) != len(self.joints.names):
                raise ValueError(
                    f'{key} has {len(values)} entries, expected {len(self.joints.names)}, '
                    'one for each of joints.names'
                )
        for name in self.joints.acting_grippers:
            if self.tracking_error and self.tracking_error[self.joints.names.index(name)]:
                raise ValueError(
                    f'tracking_error of {name} is not 0, expected 0: its action or service moves '
                    'it in its own time'
                )
        for key in ('home', 'effort_limits'):
            for name, value in zip(self.joints.names, getattr(self, key) or (), strict=False):
                if name in self.joints.velocities and value:
                    raise ValueError(f'{key} of {name}, a velocity, is {value:g}, expected 0')
        limits = self.joints.limits.position
        for name, value, (low, high) in zip(
            self.joints.names, self.home or (), limits, strict=False
        ):
            if not low <= value <= high:
                raise ValueError(
                    f'home of {name} is {value:g}, expected it within the limits '
                    f'[{low:g}, {high:g}]'
                )
        return self

    @model_validator(mode='after')
    def _a_tool_for_its_commands(self) -> RobotSpec:
        for topic in self.joints.command:
            if topic.of_tool and self.tool is None:
                what = 'velocity' if topic.of_tool_velocity else 'pose'
                raise ValueError(
                    f'joints.command has {topic.type}, expected tool: whose {what} it is'
                )
            if topic.of_tool_velocity and topic.gain > self.rate / 2:
                raise ValueError(
                    f'gain of {topic.topic} is {topic.gain:g} per second, expected at most half '
                    f'of rate, {self.rate / 2:g}: with more the tool would swing'
                )
        return self

    @model_validator(mode='after')
    def _a_leader_that_fits(self) -> RobotSpec:
        if self.teleop is not None:
            joints = self.joints
            check_teleop(
                self.teleop, joints.names, joints.velocities, joints.limits.position_array(),
                joints.command, self.tool is not None,
            )  # fmt: skip
        return self

    @property
    def period_ns(self) -> int:
        """Time between two rows or commands, in nanoseconds."""
        return round(NANOSECONDS_PER_S / self.rate)

    @property
    def image_topics(self) -> dict[str, CameraSpec | DepthSpec]:
        """Cameras, then depth cameras, by the names of their streams."""
        depth = {depth_stream(name): topic for name, topic in self.depth.items()}
        return {**self.cameras, **depth}

    def with_images(self, streams: Iterable[str]) -> RobotSpec:
        """The robot with only these of its `image_topics`; a KeyError: it has no such one."""
        topics = {name: self.image_topics[name] for name in streams}
        depth = {name: d for name, d in self.depth.items() if depth_stream(name) in topics}
        cameras = {n: topic for n, topic in topics.items() if isinstance(topic, CameraSpec)}
        return self.model_copy(update={'cameras': cameras, 'depth': depth})

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of all streams: cameras, then state, then leader, then vectors, then depth."""
        joints = (name for role in _READ_ROLES for name, _ in self.joint_streams(role))
        return (*self.cameras, *joints, *self.vectors, *map(depth_stream, self.depth))

    def streams(self) -> tuple[StreamSpec, ...]:
        """Return every topic that is read, in the order of `stream_names`."""
        cameras = [self._stream(name, 'camera', camera) for name, camera in self.cameras.items()]
        joints = [
            self._stream(name, role, topic)
            for role in _READ_ROLES
            for name, topic in self.joint_streams(role)
        ]
        vectors = [self._stream(name, 'vector', vector) for name, vector in self.vectors.items()]
        depths = [
            self._stream(depth_stream(name), 'depth', depth) for name, depth in self.depth.items()
        ]
        return (*cameras, *joints, *vectors, *depths)

    def joint_streams(
        self, role: Literal['state', 'leader']
    ) -> tuple[tuple[str, JointTopic], ...]:
        """Return (stream name, topic) pairs of a role: `state`, or `state_0`, `state_1`, ..."""
        topics: tuple[JointTopic, ...] = getattr(self.joints, role)
        if len(topics) == 1:
            return ((role, topics[0]),)
        return tuple((f'{role}_{index}', topic) for index, topic in enumerate(topics))

    def _stream(
        self, name: str, role: Role, source: CameraSpec | JointTopic | VectorSpec | DepthSpec
    ) -> StreamSpec:
        averaged = isinstance(source, VectorSpec) and source.window == 'mean'
        return StreamSpec(
            name,
            role,
            source.topic,
            source.type,
            source.max_age,
            source.stamp,
            source.rate,
            self.period_ns + CLOCK_GRANULARITY_NS,
            source,
            self.period_ns if averaged else 0,
            (source.count or 0) if isinstance(source, VectorSpec) else 0,
        )

    def to_yaml(self) -> str:
        """Return YAML text from which `robot_spec_from_yaml` makes an equal spec."""
        values = self.model_dump(mode='json', exclude_none=True)
        joints = values['joints']
        for key, topics in (('cameras', self.cameras), ('depth', self.depth)):
            for name, topic in topics.items():  # as before there were options
                entry = {k: v for k, v in values[key][name].items() if k not in FIT_KEYS}
                values[key][name] = {**entry, **topic.image_fit.options()}
        for role in ('state', 'leader', 'command'):  # likewise
            for topic in values['joints'][role]:
                for key in LATER_KEYS:
                    if topic[key] == JointTopic.model_fields[key].default:
                        del topic[key]
        for mapping, key in ((values, 'vectors'), (values, 'depth'), (joints, 'velocities')):
            if not mapping[key]:  # as before there were any
                del mapping[key]
        values['quality'] = self.quality.options()
        if not values['quality']:
            del values['quality']
        if self.teleop is not None:
            values['teleop'] = self.teleop.options()
        return dump_yaml(values)


def depth_stream(name: str) -> str:
    """The stream of a depth camera: in rows, stamps and diagnostics."""
    return f'depth_{name}'


_READ_ROLES: tuple[Literal['state', 'leader'], ...] = ('state', 'leader')


_KINDS = {'cameras': 'camera', 'vectors': 'vector', 'depth': 'depth camera'}


def _check_stream_name(kind: str, name: str) -> None:
    if not re.fullmatch(r'[A-Za-z_]\w*', name) or JOINT_STREAM_NAME.fullmatch(name):
        raise ValueError(
            f"a {kind} is named '{name}', expected letters, digits and underscores, "
            "and not 'state' or 'leader'"
        )


def _covers_exactly_once(role: str, topics: Sequence[JointTopic], names: Sequence[str]) -> None:
    carried = [joint for topic in topics for joint in topic.joints]
    no_repeats(f'{role} joints', carried)
    for joint in carried:
        if joint not in names:
            raise ValueError(f"{role} carries '{joint}', expected only joints of names")
    missing = [name for name in names if name not in carried]
    if missing:
        raise ValueError(f"{role} does not carry '{missing[0]}', expected all joints of names")
