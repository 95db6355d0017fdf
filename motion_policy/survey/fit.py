# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a robot spec is that of what is on the topics, line by line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from motion_policy.errors import UserError
from motion_policy.robot import CameraSpec, JointTopic, RobotSpec, VectorSpec
from motion_policy.robot.gripper import GripperAction, GripperGoal, GripperService
from motion_policy.robot.joint_topic import JOINT_STATE, JOINT_TRAJECTORY
from motion_policy.robot.kinematics import commanded_tool
from motion_policy.robot.spec import (
    COMPRESSED_IMAGE,
    IMAGE,
    DepthSpec,
    StreamSpec,
)
from motion_policy.robot.urdf import UrdfJoint
from motion_policy.robot.vector import TRANSFORMS
from motion_policy.streams.depth import decode_depth
from motion_policy.streams.images import image_to_rgb
from motion_policy.streams.joints import read_joint_message
from motion_policy.streams.message_fields import FieldsOf, with_known_fields
from motion_policy.streams.vectors import VectorReader
from motion_policy.survey.observed import Observed, Survey, full_topic

TOO_SLOW, TOO_FAST = 0.6, 1.7  # of the rate that the spec says
ROUNDING = 1e-3  # rad or m, per second: of limits


@dataclass(frozen=True)
class Finding:
    """One line: what it is about, what was found, and whether that fits; a note does neither."""

    about: str
    text: str
    kind: str  # fits, note, problem


@dataclass
class _Fit:
    robot: RobotSpec
    survey: Survey
    fields_of: FieldsOf
    namespace: str
    found: list[Finding] = field(default_factory=list)

    def fits(self, about: str, text: str) -> None:
        self.found.append(Finding(about, text, 'fits'))

    def note(self, about: str, text: str) -> None:
        self.found.append(Finding(about, text, 'note'))

    def problem(self, about: str, text: str) -> None:
        self.found.append(Finding(about, text, 'problem'))

    def topic(self, about: str, topic: str, type_name: str) -> Observed | None:
        """The topic of this type; None, and why, where it is not there."""
        name = full_topic(topic, self.namespace)
        seen = self.survey.topics.get(name)
        if seen is None:
            near = get_close_matches(name, self.survey.topics, 1, 0.6)
            same = [each.topic for each in self.survey.of_type(type_name)]
            meant = f'; did you mean {near[0]}?' if near else ''
            if not near and same:
                meant = f'; of {type_name} there are: {", ".join(same)}'
            compressed = self.survey.topics.get(f'{name}/compressed')
            if type_name == IMAGE and compressed is not None:
                meant = f', but {compressed.topic}: expected that, with type {COMPRESSED_IMAGE}'
            self.problem(about, f'{name} is not there{meant}')
            return None
        if seen.type != type_name:
            self.problem(about, f'{name} is of type {seen.type}, the spec says {type_name}')
            return None
        return seen

    def stream(self, stream: StreamSpec) -> None:
        """Everything on a topic that is read."""
        about = stream.name
        seen = self.topic(about, stream.topic, stream.type)
        if seen is None:
            return
        if not seen.count:
            by = ' and '.join(each.node for each in seen.publishers) or 'nobody'
            self.problem(about, f'{seen.topic} ({seen.type}): no message came; {by} publishes it')
            return
        before = len(self.found)
        self._content(stream, seen)
        self._stamps(stream, seen)
        self._rate(stream, seen)
        if not any(each.kind == 'problem' for each in self.found[before:]):
            told = f'{seen.topic} ({seen.type}), {seen.count} messages'
            self.fits(about, f'{told}, {seen.rate_hz:.1f} Hz' if seen.rate_hz else told)

    def _content(self, stream: StreamSpec, seen: Observed) -> None:
        source = stream.source
        if isinstance(source, CameraSpec):
            self._camera(stream.name, source, seen)
        elif isinstance(source, JointTopic) and stream.role in ('state', 'leader'):
            self._joints(stream.name, source, seen, is_state=stream.role == 'state')
        elif isinstance(source, DepthSpec):
            self._try(stream.name, lambda: decode_depth(seen.last, source))
        elif isinstance(source, VectorSpec):
            self._vector(stream.name, source, seen)

    def _camera(self, about: str, camera: CameraSpec, seen: Observed) -> None:
        if seen.is_depth:
            self.problem(about, f'{seen.topic} holds depth ({seen.encoding}), expected colours')
            return
        wanted = camera.width, camera.height
        if seen.size not in (None, wanted):
            width, height = seen.size or (0, 0)
            self.problem(
                about, f'images are {width}x{height}, the spec says {wanted[0]}x{wanted[1]}'
            )
        self._try(about, lambda: image_to_rgb(seen.last))

    def _joints(self, about: str, topic: JointTopic, seen: Observed, *, is_state: bool) -> None:
        if topic.of_velocities:
            self._velocities(about, topic, seen, is_state=is_state)
            return
        if seen.type != JOINT_STATE:
            if seen.length and seen.length != len(topic.joints):
                self.problem(
                    about, f'messages hold {seen.length} numbers, expected {len(topic.joints)}'
                )
            return
        missing = [name for name in topic.message_names if name not in seen.joints]
        for name in missing:
            near = get_close_matches(name, seen.joints, 1, 0.5)
            meant = f'; did you mean {near[0]}?' if near else ''
            self.problem(
                about, f"joint '{name}' is not in it, found {', '.join(seen.joints)}{meant}"
            )
        if not is_state:
            return
        for ours, theirs in zip(topic.joints, topic.message_names, strict=True):
            joint = seen.joints.get(theirs)
            if joint:
                self._within(about, ours, joint.low, joint.high)

    def _within(self, about: str, joint: str, seen_low: float, seen_high: float) -> None:
        joints = self.robot.joints
        low, high = joints.limits.position[joints.names.index(joint)]
        if not (low - ROUNDING <= seen_low and seen_high <= high + ROUNDING):
            self.problem(
                about,
                f"joint '{joint}' was from {seen_low:.4g} to {seen_high:.4g}, beyond its limits "
                f'[{low:g}, {high:g}]',
            )

    def _velocities(
        self, about: str, topic: JointTopic, seen: Observed, *, is_state: bool
    ) -> None:
        if topic.type != seen.type:
            return
        self._try(about, lambda: read_joint_message(seen.last, topic))
        if is_state:
            for joint, name in zip(topic.joints, topic.fields or (), strict=True):
                self._within(about, joint, *seen.twist.get(name, (0.0, 0.0)))

    def _vector(self, about: str, vector: VectorSpec, seen: Observed) -> None:
        if vector.transform is not None:
            self.note(about, f'transforms of {seen.topic} are not looked at')
            return
        known = with_known_fields(
            self.robot.model_copy(update={'vectors': {about: vector}}), self.fields_of
        )
        self._try(about, lambda: VectorReader(known.vectors[about]).read(seen.last))

    def _try(self, about: str, read: Any) -> None:
        try:
            read()
        except UserError as error:
            self.problem(about, str(error))

    def _stamps(self, stream: StreamSpec, seen: Observed) -> None:
        if stream.stamp == 'receive' or not hasattr(seen.last, 'header'):
            return
        if seen.without_stamp:
            self.problem(
                stream.name,
                f'{seen.without_stamp} of {seen.count} messages have no stamp, expected '
                'stamp: receive',
            )
        behind_s = seen.stamp_behind_s
        if behind_s is None:
            return
        if -behind_s * 1e9 > stream.max_lead_ns:
            self.problem(
                stream.name,
                f'stamps are {-behind_s:.3f} s ahead of their reception: synchronise the clocks, '
                'or stamp: receive',
            )
        elif behind_s > stream.max_age:
            self.problem(
                stream.name,
                f'stamps are {behind_s:.3f} s behind their reception, max_age is '
                f'{stream.max_age:g}: every message is stale',
            )

    def _rate(self, stream: StreamSpec, seen: Observed) -> None:
        rate_hz = seen.rate_hz
        if not rate_hz:
            self.note(stream.name, f'{seen.count} message(s): the rate is not known')
        elif stream.rate and rate_hz < TOO_SLOW * stream.rate:
            self.problem(
                stream.name, f'comes at {rate_hz:.1f} Hz, the spec says {stream.rate:g} Hz'
            )
        elif stream.rate and rate_hz > TOO_FAST * stream.rate:
            self.note(stream.name, f'comes at {rate_hz:.1f} Hz, the spec says {stream.rate:g} Hz')
        elif stream.role == 'state' and not stream.rate and rate_hz < TOO_SLOW * self.robot.rate:
            self.note(
                stream.name,
                f'comes at {rate_hz:.1f} Hz, rows and commands at {self.robot.rate:g} Hz',
            )
        elif rate_hz and 1 / rate_hz > stream.max_age:
            self.problem(
                stream.name,
                f'comes at {rate_hz:.2f} Hz, which is stale after max_age {stream.max_age:g} s',
            )

    def command(self, topic: JointTopic) -> None:
        """Who listens to commands, and what they take."""
        name = full_topic(topic.topic, self.namespace)
        about = f'command {topic.topic}'
        if topic.of_tool:
            try:
                commanded_tool(topic, self.robot)
            except UserError as error:
                self.problem(about, str(error))
                return
        seen = self.survey.topics.get(name)
        if not self.survey.live:
            if seen is not None and seen.type != topic.type:
                self.problem(about, f'{name} is of type {seen.type}, the spec says {topic.type}')
            else:
                self.note(about, f'{name}: who listens is not in a bag')
            return
        if seen is None or not seen.listeners:
            near = [
                each.topic
                for each in self.survey.topics.values()
                if each.type == topic.type and each.listeners
            ]
            meant = f'; somebody does on {", ".join(sorted(near))}' if near else ''
            self.problem(about, f'nobody listens on {name} ({topic.type}){meant}')
            return
        if seen.type != topic.type:
            self.problem(about, f'{name} is heard as {seen.type}, the spec says {topic.type}')
            return
        deaf = [each.node for each in seen.listeners if each.latched]
        for node in deaf:
            self.problem(
                about,
                f'{node} asks for transient_local QoS, which ours is not: it hears nothing',
            )
        joints = self.survey.controllers.get(name)
        sent = topic.message_names if topic.type == JOINT_TRAJECTORY else topic.joints
        if joints and topic.type == JOINT_TRAJECTORY and set(joints) != set(sent):
            self.problem(
                about, f'the controller has [{", ".join(joints)}], the spec [{", ".join(sent)}]'
            )
            return
        if joints and topic.type != JOINT_TRAJECTORY and len(joints) != len(sent):
            self.problem(about, f'the controller takes {len(joints)} numbers, not {len(sent)}')
            return
        if len(deaf) < len(seen.listeners):
            nodes = ' and '.join(sorted({each.node for each in seen.listeners}))
            self.fits(about, f'{name} ({topic.type}), heard by {nodes}')
        others = sorted({each.node for each in seen.publishers})
        if others:
            self.note(about, f'{" and ".join(others)} already publishes there')

    def gripper(self, joint: str, interface: GripperAction | GripperService) -> None:
        """Who serves the action or service that moves a gripper."""
        about = f'gripper {joint}'
        goals: list[GripperAction | GripperGoal | GripperService] = [interface]
        if isinstance(interface, GripperAction) and interface.closing is not None:
            goals.append(interface.closing)
        if not self.survey.live:
            self.note(about, f'{interface.name}: who serves it is not in a bag')
            return
        for goal in goals:
            is_service = isinstance(goal, GripperService)
            served = self.survey.services if is_service else self.survey.actions
            name = full_topic(goal.name, self.namespace)
            found = served.get(name)
            if found is None:
                near = ', '.join(n for n, kind in sorted(served.items()) if kind == goal.type)
                meant = f'; of this type there are: {near}' if near and not is_service else ''
                self.problem(about, f'nobody serves {name} ({goal.type}){meant}')
            elif found != goal.type:
                self.problem(about, f'{name} is of type {found}, the spec says {goal.type}')
            else:
                self.fits(about, f'{name} ({goal.type})')

    def limits(self, urdf: dict[str, UrdfJoint]) -> None:
        """The spec's limits within those of the URDF."""
        joints = self.robot.joints
        theirs = {
            ours: name
            for topic in joints.state
            for ours, name in zip(topic.joints, topic.message_names, strict=True)
        }
        before = len(problems(self.found))
        for place in joints.position_columns:
            ours = joints.names[place]
            joint = urdf.get(theirs[ours])
            if joint is None:
                self.note(
                    'limits',
                    f"the URDF has no moving joint '{theirs[ours]}': its limits are not checked",
                )
                continue
            low, high = joints.limits.position[place]
            lower = -math.inf if joint.continuous or joint.lower is None else joint.lower
            upper = math.inf if joint.continuous or joint.upper is None else joint.upper
            if low < lower - ROUNDING or high > upper + ROUNDING:
                self.problem(
                    'limits',
                    f"joint '{ours}' has [{low:g}, {high:g}], the URDF [{lower:g}, {upper:g}]",
                )
            speed = joints.limits.velocity[place]
            if joint.velocity and speed > joint.velocity + ROUNDING:
                self.problem(
                    'limits',
                    f"joint '{ours}' has {speed:g} per second, the URDF {joint.velocity:g}",
                )
        known = any(theirs[ours] in urdf for ours in joints.names)
        if known and len(problems(self.found)) == before:
            self.fits('limits', 'within those of the URDF')


def spec_findings(
    robot: RobotSpec,
    survey: Survey,
    fields_of: FieldsOf,
    urdf: dict[str, UrdfJoint] | None = None,
    *,
    namespace: str = '',
) -> list[Finding]:
    """Hold a spec against what was heard, stream by stream, command by command, then limits.

    Args:
        robot: the spec.
        survey: what was heard.
        fields_of: fields of message types, for vectors.
        urdf: moving joints; None without a URDF.
        namespace: of the robot's relative topics.
    """
    fit = _Fit(robot, survey, fields_of, namespace)
    for stream in robot.streams():
        if stream.type == TRANSFORMS:
            fit.note(stream.name, 'transforms are not looked at')
            continue
        fit.stream(stream)
    for topic in robot.joints.command:
        fit.command(topic)
    for joint, interface in robot.joints.acting_grippers.items():
        fit.gripper(joint, interface)
    if urdf is not None:
        fit.limits(urdf)
    return fit.found


def problems(found: Iterable[Finding]) -> list[Finding]:
    """Those that do not fit."""
    return [each for each in found if each.kind == 'problem']
