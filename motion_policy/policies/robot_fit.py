# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a robot is one that a policy can drive, or a run can go on with.

Rule: what changes the meaning of a number that a policy gets or gives is refused in one line.
What does not, such as a name of a topic, a velocity limit or another rate, is not compared.
"""

from __future__ import annotations

import numpy as np

from motion_policy.policies.action_space import KEY, OF_TOOL, angles_between
from motion_policy.policies.base import Model, PolicySpec
from motion_policy.policies.checkpoint import Checkpoint, CheckpointError
from motion_policy.robot import RobotSpec
from motion_policy.robot.kinematics import Kinematics
from motion_policy.robot.tool import ToolSpec

TOOL_M, TOOL_DEGREES = 1e-3, 0.1  # by which a tool may be elsewhere and still be the same one
TOOL_POSES = 16  # at which that is looked at


def check_robot(policy: Model, robot: RobotSpec) -> None:
    """CheckpointError when the policy cannot drive this robot, as `check_same_meaning` says."""
    check_same_meaning(policy.spec, policy.source, robot)


def check_same_meaning(spec: PolicySpec, source: str, robot: RobotSpec) -> None:
    """CheckpointError when joints, cameras, vectors or the tool are not those of training.

    Args:
        spec: of the policy.
        source: its name, for the message.
        robot: the one that is there now.
    """
    trained, here = tuple(spec.robot.joints.names), tuple(robot.joints.names)
    if trained != here:
        raise CheckpointError(
            f'{source}: was trained for joints [{", ".join(trained)}] of '
            f"'{spec.robot.name}', but '{robot.name}' has [{', '.join(here)}]"
        )
    for name in here:
        in_training, now = (
            'a velocity' if name in each.joints.velocities else 'a position'
            for each in (spec.robot, robot)
        )
        if in_training != now:
            raise CheckpointError(
                f"{source}: joint '{name}' was {in_training} in training, but is {now} of "
                f"'{robot.name}'"
            )
    for name in spec.inputs:
        _check_vector(spec.robot, source, robot, name)
    for name in spec.cameras:
        _check_camera(spec, source, robot, name)
    tool, other = spec.robot.tool, robot.tool
    if spec.action_space not in OF_TOOL or tool is None or other is None:
        return  # a robot spec that says nothing of its tool is no other
    if not is_same_tool(tool, other, spec.robot):
        away_m, degrees = tool_distance(tool, other, spec.robot)
        raise CheckpointError(
            f"{source}: predicts poses of the tool '{tool.link}', but that of '{robot.name}' "
            f"('{other.link}') is up to {1e3 * away_m:.1f} mm and {degrees:.2f} degrees "
            f'elsewhere at the same joints, expected at most {1e3 * TOOL_M:g} mm and '
            f'{TOOL_DEGREES:g} degrees'
        )


def is_same_tool(first: ToolSpec, second: ToolSpec, robot: RobotSpec) -> bool:
    """Whether two tools are at one pose when the joints of a robot are; see `tool_distance`."""
    away_m, degrees = tool_distance(first, second, robot)
    return away_m <= TOOL_M and degrees <= TOOL_DEGREES


def tool_distance(first: ToolSpec, second: ToolSpec, robot: RobotSpec) -> tuple[float, float]:
    """How far two tools are from one another when the joints of a robot are the same.

    The greatest distance [m] and angle [degrees] among random joints within its limits. UserError
    without Pinocchio, or where a URDF has not what the tool needs.
    """
    if first == second:
        return 0.0, 0.0
    low, high = robot.joints.limits.position_array().T
    joints = np.random.default_rng(0).uniform(low, high, (TOOL_POSES, len(low)))
    poses = []
    for tool in (first, second):
        kinematics = Kinematics(tool.urdf, robot.joints.names, KEY)
        poses.append(kinematics.poses(kinematics.link(tool.link, KEY), joints))
    (positions, rotations), (others, turned) = poses
    away = np.linalg.norm(positions - others, axis=1)
    return float(away.max()), float(np.degrees(angles_between(rotations, turned)).max())


def _check_vector(trained: RobotSpec, source: str, robot: RobotSpec, name: str) -> None:
    seen, found = trained.vectors[name], robot.vectors.get(name)
    if found is None or seen.columns != found.columns:
        known = ', '.join(found.fields if found else robot.vectors) or 'none'
        raise CheckpointError(
            f"{source}: needs vector '{name}' ({', '.join(seen.fields)}), but "
            f"'{robot.name}' has: {known}"
        )
    if seen.transform != found.transform:
        raise CheckpointError(
            f"{source}: vector '{name}' was {seen.meaning} in training, but "
            f"'{robot.name}' has {found.meaning}"
        )
    if seen.kept != found.kept:
        raise CheckpointError(
            f"{source}: vector '{name}' was the {seen.kept} in training, but "
            f"'{robot.name}' has window: {found.kept}"
        )
    if seen.window == 'mean' and trained.rate != robot.rate:
        raise CheckpointError(
            f"{source}: vector '{name}' was the mean of {1e3 / trained.rate:g} ms in training "
            f"(rate {trained.rate:g}), but '{robot.name}' has rate {robot.rate:g}, a mean of "
            f'{1e3 / robot.rate:g} ms: expected rate {trained.rate:g}'
        )


def _check_camera(spec: PolicySpec, source: str, robot: RobotSpec, name: str) -> None:
    if name not in robot.image_topics:
        known = ', '.join(robot.image_topics) or 'none'
        raise CheckpointError(f"{source}: needs camera '{name}', but '{robot.name}' has: {known}")
    then, now = spec.robot.image_topics[name], robot.image_topics[name]
    if then.width * now.height != now.width * then.height:
        raise CheckpointError(
            f"{source}: camera '{name}' was {then.width}x{then.height} in training, "
            f"'{robot.name}' has {now.width}x{now.height}: another shape of image"
        )
    crop = spec.view(name).options.crop
    if crop is not None and (then.width, then.height) != (now.width, now.height):
        raise CheckpointError(
            f"{source}: camera '{name}' was {then.width}x{then.height} in training, "
            f'where crop {list(crop)} was taken, '
            f"'{robot.name}' has {now.width}x{now.height}: expected the same size"
        )


def other_fits(checkpoint: Checkpoint, robot: RobotSpec) -> list[str]:
    """Lines on cameras of which a robot spec says that something else is seen than in training.

    What was seen in training is what the policy sees. A spec that says nothing is no other.
    """
    spec, lines = checkpoint.spec, []
    for name in spec.cameras:
        there, seen = robot.image_topics.get(name), spec.view(name).options
        if there is not None and not there.image_fit.is_plain and there.image_fit != seen:
            lines.append(
                f"{checkpoint.name}: camera '{name}' is seen as in training, with {seen}; "
                f"'{robot.name}' says {there.image_fit}"
            )
    return lines
