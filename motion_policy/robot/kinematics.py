# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics of a URDF by Pinocchio, from joint positions in the order of the robot spec.

Rule: no joint that is not known is guessed. What it moves cannot be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.robot.joint_topic import JointTopic
from motion_policy.robot.spec import Float64Array, RobotSpec
from motion_policy.robot.urdf import Mimic, is_urdf_text, mimic_joints, urdf_name

AXES = ('x', 'y', 'z')
MOST_M = 1e4  # from the root link to another one
NEAR_SINGULAR, DAMPING = 0.1, 0.1  # m or rad per unit of a joint
ALL_ROWS = slice(None)  # of a velocity (6,)
RIM_POINTS = 32  # of a circle: its polygon is 0.5 % wider


class Kinematics:
    """Where the links of a robot are when its joints (J,) are somewhere.

    A joint of the URDF that is not among `joint_names` follows another one where the URDF says so
    (`<mimic>`); otherwise its position is not known. Names that the URDF does not have (a gripper,
    say) move nothing.

    Args:
        urdf: the robot, the path of a file or the text itself.
        joint_names: in the order of every vector given here.
        key: the parameter that names the URDF, for errors.

    Attributes:
        pinocchio: the library.
        model, data: the robot, in its terms.
        factors: (nv, J), how far each joint of the model moves when one of ours moves by 1.

    Raises:
        UserError: no such file, no URDF, a link that is nowhere, or a named joint that moves in
            several ways, or about no axis.
    """

    def __init__(self, urdf: str | Path, joint_names: Sequence[str], key: str) -> None:
        self.urdf, self.key = urdf_name(urdf), key
        self.pinocchio = _library(key)
        self.model = _load(self.pinocchio, urdf, key)
        self.data = self.model.createData()
        self._names = list(joint_names)
        self._neutral: Float64Array = self.pinocchio.neutral(self.model)
        self.factors: Float64Array = np.zeros((self.model.nv, len(self._names)))
        self._offsets: Float64Array = np.zeros(self.model.nv)
        self._unknown: frozenset[int] = self._place(mimic_joints(urdf))
        self._plain_q, self._plain_v, self._endless_q, self._endless_v = self._columns()
        self._check_places()

    def configuration(self, joints: Float64Array) -> Float64Array:
        """Return the model's configuration (nq,) for our joints (J,)."""
        moved = self.factors @ joints + self._offsets
        configuration = self._neutral.copy()
        configuration[self._plain_q] = moved[self._plain_v]
        if len(self._endless_q):  # a joint without limits is told as cosine and sine
            angles = moved[self._endless_v]
            configuration[self._endless_q] = np.cos(angles)
            configuration[self._endless_q + 1] = np.sin(angles)
        return configuration

    def link(self, name: str, key: str) -> int:
        """Return the number of a link; UserError if there is none, or nobody knows where it is."""
        body = self.pinocchio.FrameType.BODY  # a joint may have the name of a link
        if not self.model.existFrame(name, body):
            raise UserError(
                f"{key}: {self.urdf} has no link '{name}', expected one of: "
                f'{", ".join(self.links())}'
            )
        number: int = self.model.getFrameId(name, body)
        unknown = self.unknown_mover(self.mover(number))
        if unknown:
            raise UserError(
                f"{self.key}: {self.urdf}: joint '{unknown}' moves '{name}', expected only "
                f'joints of the robot: {", ".join(self._names)}'
            )
        return number

    def links(self) -> list[str]:
        """Return the names of all links."""
        body = self.pinocchio.FrameType.BODY
        return [frame.name for frame in self.model.frames if frame.type == body]

    def mover(self, link: int) -> int:
        """Return the last joint of those that move a link; 0: none does."""
        frame = self.model.frames[link]
        # Before Pinocchio 3 it was called parent.
        joint: int = frame.parentJoint if hasattr(frame, 'parentJoint') else frame.parent
        return joint

    def unknown_mover(self, joint: int) -> str:
        """Name a joint whose position is not known, and that moves what `joint` moves; or ''."""
        for mover in self.model.supports[joint]:
            if mover in self._unknown:
                name: str = self.model.names[mover]
                return name
        return ''

    def position(self, link: int, joints: Float64Array) -> Float64Array:
        """Return where the origin of a link is when the joints (J,) are there.

        That is (3,): x, y, z [m] in the frame of the root link.
        """
        pinocchio, data = self.pinocchio, self.data
        pinocchio.framesForwardKinematics(self.model, data, self.configuration(joints))
        position: Float64Array = data.oMf[link].translation.copy()
        return position

    def poses(self, link: int, joints: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return where a link is, and how it is turned, at each of T rows of joints (T, J).

        Positions (T, 3) [m] and rotation matrices (T, 3, 3) in the frame of the root link.
        """
        pinocchio, model, data = self.pinocchio, self.model, self.data
        positions, rotations = np.empty((len(joints), 3)), np.empty((len(joints), 3, 3))
        for row, values in enumerate(joints):
            pinocchio.framesForwardKinematics(model, data, self.configuration(values))
            pose = data.oMf[link]
            positions[row], rotations[row] = pose.translation, pose.rotation
        return positions, rotations

    def position_and_quaternion(self, link: int, joints: Float64Array) -> Float64Array:
        """Return where a link is, and how it is turned, when the joints (J,) are there.

        That is (7,): x, y, z [m] and a quaternion x, y, z, w with w >= 0, in the frame of the root
        link.
        """
        pinocchio, data = self.pinocchio, self.data
        pinocchio.framesForwardKinematics(self.model, data, self.configuration(joints))
        numbers: Float64Array = pinocchio.SE3ToXYZQUAT(data.oMf[link])
        if numbers[6] < 0:
            numbers[3:] *= -1
        return numbers

    def root(self) -> str:
        """Return the name of the link in whose frame poses are."""
        return self.links()[0]

    def movers(self, link: int) -> npt.NDArray[np.intp]:
        """Return which of our joints move a link, as sorted numbers."""
        columns = [
            self.model.joints[at].idx_v for at in list(self.model.supports[self.mover(link)])[1:]
        ]
        moving = self.factors[columns].any(axis=0) if columns else np.zeros(len(self._names), bool)
        return np.flatnonzero(moving)

    def jacobian(self, link: int, joints: Float64Array) -> Float64Array:
        """Return d position / d joints (3, J) of the origin of a link."""
        return self.twist_jacobian(link, joints)[:3]

    def twist_jacobian(self, link: int, joints: Float64Array) -> Float64Array:
        """Return the Jacobian (6, J) of a link's velocity: of its origin, then of its rotation.

        In [m] and [rad] per unit of each joint, along the axes of the root link.
        """
        whole = self.pinocchio.computeFrameJacobian(
            self.model, self.data, self.configuration(joints), link,
            self.pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED,
        )  # fmt: skip
        jacobian: Float64Array = six_rows(whole) @ self.factors
        return jacobian

    def joint_velocity(
        self,
        link: int,
        joints: Float64Array,
        twist: Float64Array,
        columns: Sequence[int],
        rows: slice = ALL_ROWS,
    ) -> Float64Array:
        """Return how some of the joints (J,) move (n,), where they are, for a link to move.

        That is with a velocity (6,) as `twist_jacobian` has it, while the others stand. By least
        squares; damped in those directions in which the link hardly moves, near a singularity
        (Chiaverini, Siciliano and Egeland 1994, doi:10.1109/87.294335). With `rows` only those of
        the velocity count.
        """
        jacobian = self.twist_jacobian(link, joints)[rows, columns]
        left, sizes, right = np.linalg.svd(jacobian, full_matrices=False)
        near = np.maximum(1 - (sizes / NEAR_SINGULAR) ** 2, 0.0)
        shares = sizes / (sizes**2 + near * DAMPING**2)
        velocity: Float64Array = (shares * (twist[rows] @ left)) @ right
        return velocity

    def difference(self, link: int, joints: Float64Array, others: Float64Array) -> Float64Array:
        """Return how far a link is (6,) at `others` (J,) from where it is at `joints` (J,).

        That is x, y, z [m] and the rotation as an axis times an angle [rad], along the axes of the
        root link.
        """
        positions, rotations = self.poses(link, np.array([joints, others]))
        turned = self.pinocchio.log3(rotations[1] @ rotations[0].T)
        return np.concatenate((positions[1] - positions[0], turned))

    def lever(self, joint: int, points: Float64Array, slides: Float64Array) -> Float64Array:
        """Return how far (nv,) a point moves at most when one joint of the model moves by 1.

        It is one of the hull of some `points` (n, 3) [m] in the frame of `joint`, which moves
        them. A turning joint moves a point by its distance from the axis: the greatest in the
        region that the joints between can bring it to, where sliding ones go up to `slides` (nv,)
        [m] to both sides. So this holds wherever the joints are.
        """
        lever = np.zeros(self.model.nv)
        for index in reversed(list(self.model.supports[joint])[1:]):
            slide, axis = self._axis(index)
            column = self.model.joints[index].idx_v
            height = points @ axis
            if slide:
                lever[column] = 1.0
                reach = slides[column] * axis
                points = np.concatenate((points - reach, points + reach))
            else:
                radius = np.linalg.norm(points - height[:, None] * axis, axis=1).max()
                lever[column] = radius
                points = _swept(axis, float(radius), float(height.min()), float(height.max()))
            placement = self.model.jointPlacements[index]
            points = points @ placement.rotation.T + placement.translation
        return lever

    def slides(self, lower: Float64Array, upper: Float64Array) -> Float64Array:
        """Return how far (nv,) each joint of the model is from 0 at most, for our limits (J,)."""
        extent = np.maximum(np.abs(lower), np.abs(upper))
        slides: Float64Array = np.abs(self.factors) @ extent + np.abs(self._offsets)
        return slides

    def _axis(self, index: int) -> tuple[bool, Float64Array]:
        """Return whether a joint of the model slides, and its axis (3,)."""
        jacobian = self.pinocchio.computeJointJacobian(self.model, self.data, self._neutral, index)
        # In the frame of the joint: of what moves it, the last is the joint itself.
        subspace: Float64Array = six_rows(jacobian)[:, self.model.joints[index].idx_v]
        slides = bool(subspace[:3].any())
        return slides, subspace[:3] if slides else subspace[3:]

    def _place(self, mimics: dict[str, Mimic]) -> frozenset[int]:
        """Fill factors and offsets; return the joints whose position they do not give."""
        unknown = set()
        for index in range(1, self.model.njoints):
            name, joint = self.model.names[index], self.model.joints[index]
            leader, factor, offset = _leader(name, self._names, mimics)
            if leader not in self._names:
                unknown.add(index)
            elif joint.nv != 1:
                raise UserError(
                    f"{self.key}: {self.urdf}: joint '{name}' moves in several ways, expected "
                    'one that turns or slides'
                )
            elif not self._axis(index)[1].any():
                raise UserError(
                    f"{self.key}: {self.urdf}: <axis> of joint '{name}' has no direction, "
                    'expected three numbers that are not all 0'
                )
            else:
                self.factors[joint.idx_v, self._names.index(leader)] = factor
                self._offsets[joint.idx_v] = offset
        return frozenset(unknown)

    def _check_places(self) -> None:
        self.pinocchio.framesForwardKinematics(self.model, self.data, self._neutral)
        for frame, pose in zip(self.model.frames, self.data.oMf, strict=True):
            if not np.abs(pose.translation).max() <= MOST_M:
                raise UserError(
                    f"{self.key}: {self.urdf}: '{frame.name}' is at "
                    f'{pose.translation.round(3).tolist()} m, expected at most {MOST_M:g} m from '
                    'the root link'
                )

    def _columns(self) -> tuple[Any, Any, Any, Any]:
        """Return the columns in configurations and velocities, of joints with one and two."""
        known = [
            self.model.joints[index]
            for index in range(1, self.model.njoints)
            if index not in self._unknown
        ]
        columns = []
        for numbers in (1, 2):
            some = [joint for joint in known if joint.nq == numbers]
            columns += [[joint.idx_q for joint in some], [joint.idx_v for joint in some]]
        plain_q, plain_v, endless_q, endless_v = (np.array(c, dtype=np.intp) for c in columns)
        return plain_q, plain_v, endless_q, endless_v


def six_rows(jacobian: Float64Array) -> Float64Array:
    """Return a Jacobian as (6, nv): of a model with one joint Pinocchio gives (6,)."""
    return jacobian.reshape(6, -1)


def _swept(axis: Float64Array, radius: float, low: float, high: float) -> Float64Array:
    """Return points whose hull holds the cylinder about an axis through the origin."""
    first = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    first /= np.linalg.norm(first)
    angles = np.arange(RIM_POINTS) * (2 * np.pi / RIM_POINTS)
    around = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), np.cross(axis, first))
    rim: Float64Array = around * (radius / np.cos(np.pi / RIM_POINTS))
    return np.concatenate((rim + low * axis, rim + high * axis))


def _leader(name: str, known: Sequence[str], mimics: dict[str, Mimic]) -> tuple[str, float, float]:
    """Return the joint that `name` follows in the end, with the factor and offset to get there."""
    factor, offset, passed = 1.0, 0.0, {name}
    while name not in known and name in mimics:
        mimic = mimics[name]
        offset += factor * mimic.offset
        factor *= mimic.multiplier
        name = mimic.joint
        if name in passed:
            break
        passed.add(name)
    return name, factor, offset


def _library(key: str) -> Any:
    try:
        import pinocchio
    except ImportError:
        raise UserError(f'{key} needs Pinocchio for forward kinematics: pip install pin') from None
    return pinocchio


def _load(pinocchio: Any, urdf: str | Path, key: str) -> Any:
    text = is_urdf_text(urdf)
    if not text and not Path(urdf).is_file():
        raise UserError(f'{key}: {urdf}: no such file, expected a URDF')
    build = pinocchio.buildModelFromXML if text else pinocchio.buildModelFromUrdf
    try:
        return build(str(urdf))
    except (RuntimeError, ValueError) as error:
        line = ' '.join(str(error).split())[:150]
        raise UserError(f'{key}: {urdf_name(urdf)}: is no URDF: {line}') from None


def commanded_tool(topic: JointTopic, robot: RobotSpec) -> tuple[Kinematics, int]:
    """Return the kinematics of a robot and its tool, of which a command topic says something.

    Raises:
        UserError: not all joints of the topic move it, or there is no link that a velocity is in.
    """
    assert robot.tool is not None
    where = f'topic {topic.topic} ({topic.type})'
    names = robot.joints.names
    kinematics = Kinematics(robot.tool.urdf, names, where)
    link = kinematics.link(robot.tool.link, where)
    movers = [names[column] for column in kinematics.movers(link)]
    unmoved = [joint for joint in topic.joints if joint not in movers]
    if unmoved:
        raise UserError(
            f"{where}: joint '{unmoved[0]}' does not move the tool '{robot.tool.link}', "
            f'expected joints of: {", ".join(movers)}; others on topics of their own'
        )
    if topic.of_tool_velocity and topic.frame is not None:
        kinematics.link(topic.frame, f'{where}: frame')
    return kinematics, link


def checked_box(box: Sequence[float], key: str) -> tuple[Float64Array, Float64Array]:
    """Return lowest and highest corner (3,) of x min, x max, y min, y max, z min, z max [m]."""
    values = np.asarray(box, dtype=np.float64)
    if values.shape != (6,) or not np.isfinite(values).all():
        raise UserError(
            f'{key}: found {list(box)}, expected 6 numbers: x min, x max, y min, y max, '
            'z min, z max'
        )
    low, high = values[0::2], values[1::2]
    for axis, least, most in zip(AXES, low, high, strict=True):
        if not least < most:
            raise UserError(f'{key}: {axis} from {least:g} to {most:g}, expected min < max')
    return low, high
