# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of six arms of `example-robot-data`: errors, joint steps, cost.

A pose is that of random joints, and the start are joints from which the tool has 5 cm to go. A
walk leads straight on through what the arm cannot follow: its joint steps are held against limits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.errors import UserError
from motion_policy.robot.inverse_kinematics import InverseKinematics
from motion_policy.robot.kinematics import Kinematics

SUMMARY = 'tool poses to joints and back: errors, joint steps near singularities, cost'
POSES = 10_000  # of each arm, if `seconds` allow; at least LEAST_POSES
LEAST_POSES = 50
WALKS, ROWS = 40, 100
STEP_M = 0.05
LARGEST_TURN = 0.6  # [rad] of a joint on those 5 cm
MOST_M, MOST_RAD, MOST_MS = 1e-4, 1e-3, 0.3
PERIOD_S, SPEED = 0.02, 2.0  # of the walks: rows at 50 Hz, joints of 2 rad/s at most
ROUNDING = 1e-9
TURN = 2.9  # [rad] to which a joint without limits is drawn

# Name: file below `robots/`, tool, how the names of its joints begin.
ARMS = {
    'UR5': ('ur_description/urdf/ur5_robot.urdf', 'tool0', ('shoulder', 'elbow', 'wrist')),
    'Panda': ('panda_description/urdf/panda.urdf', 'panda_hand_tcp', ('panda_joint',)),
    'Kinova Jaco 2': (
        'kinova_description/robots/kinova.urdf', 'j2s6s200_end_effector', ('j2s6s200_joint',),
    ),
    'xArm 7': ('xarm_description/urdf/xarm7.urdf', 'link_eef', ('joint',)),
    'Unitree Z1': ('z1_description/urdf/z1.urdf', 'gripperStator', ('joint',)),
    "Baxter's left": ('baxter_description/urdf/baxter.urdf', 'left_gripper', ('left_',)),
}  # fmt: skip


def lines(seconds: float, device: str) -> list[Line]:
    """One arm each, for about `seconds`, until 10 000 poses are done."""
    return [lambda name=name: _arm(name, seconds) for name in ARMS]


def _arm(name: str, seconds: float) -> list[Measurement]:
    file, tool, prefixes = ARMS[name]
    return measure(name, Arm(_robots() / file, tool, prefixes), seconds)


class Arm:
    """An arm to be measured: its kinematics, limits (J,) and how it is turned by IK.

    Args:
        urdf: a file.
        tool: a link.
        prefixes: how the names of the joints that are moved begin; the others stay.
    """

    def __init__(self, urdf: Path, tool: str, prefixes: tuple[str, ...]) -> None:
        model = Kinematics(urdf, (), 'urdf').model
        names = list(model.names)[1:]
        kinematics = Kinematics(urdf, names, 'urdf')
        self.kinematics, self.link = kinematics, kinematics.link(tool, 'tool')
        first = [model.joints[at + 1].idx_q for at in range(len(names))]
        endless = np.array([model.joints[at + 1].nq == 2 for at in range(len(names))])
        self.lower = np.where(endless, -TURN, model.lowerPositionLimit[first])
        self.upper = np.where(endless, TURN, model.upperPositionLimit[first])
        self.lower, self.upper = np.maximum(self.lower, -TURN), np.minimum(self.upper, TURN)
        self.moved = np.array([name.startswith(prefixes) for name in names])
        self.inverse = InverseKinematics(kinematics, self.link, self.lower, self.upper)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Joints (J,) anywhere within the limits; those that are not moved stand in the middle."""
        middle = (self.lower + self.upper) / 2
        return np.where(self.moved, random.uniform(self.lower, self.upper), middle)

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the tool is (3,), and how it is turned (3, 3)."""
        positions, rotations = self.kinematics.poses(self.link, joints[None])
        return positions[0], rotations[0]

    def neighbours(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Joints and others (J,), between which the tool moves by `STEP_M` and turns somewhat."""
        while True:
            start = self.draw(random)
            towards = np.where(self.moved, random.normal(size=len(start)), 0.0)
            begin, share = self.pose(start)[0], 0.1
            for _ in range(6):
                gone = np.linalg.norm(self.pose(start + share * towards)[0] - begin)
                share *= STEP_M / max(float(gone), 1e-4)
            goal = start + share * towards
            small = np.abs(goal - start).max() < LARGEST_TURN
            if small and ((goal >= self.lower) & (goal <= self.upper)).all():
                return start, goal


def measure(name: str, arm: Arm, seconds: float) -> list[Measurement]:
    """Round trips and walks of one arm: greatest errors, mean cost, greatest joint step."""
    random, free = np.random.default_rng(0), np.full(len(arm.lower), np.inf)
    errors, costs_ms = [], []
    until = time.monotonic() + seconds
    while len(errors) < POSES and (time.monotonic() < until or len(errors) < LEAST_POSES):
        start, goal = arm.neighbours(random)
        position, rotation = arm.pose(goal)
        begin = time.process_time_ns()
        reached = arm.inverse.solve(position, rotation, start, free)
        costs_ms.append((time.process_time_ns() - begin) * 1e-6)
        at, turned = arm.pose(reached.joints)
        angle = np.linalg.norm(rotation - turned) / np.sqrt(2)
        errors.append((np.linalg.norm(at - position), angle))
    furthest, most_turned = np.max(errors, axis=0)
    step, lags, walk_ms = _walks(arm, random)
    count = {'poses': len(errors), 'missed': int((np.array(errors)[:, 0] > MOST_M).sum())}
    costs = {'p99_ms': float(np.percentile(costs_ms, 99))}
    figures = (
        ('position after FK and IK', furthest, MOST_M, 'm, greatest', count),
        ('rotation after FK and IK', most_turned, MOST_RAD, 'rad, greatest', {}),
        ('IK of one pose', np.mean(costs_ms), MOST_MS, 'ms of CPU, mean', costs),
        ('IK of a row of the walks', walk_ms, MOST_MS, 'ms of CPU, mean', {}),
        ('joint step on walks', step, PERIOD_S * SPEED + ROUNDING, 'rad, greatest', lags),
    )
    return [
        Measurement(f'{name}: {what}', float(ours), goal, 'goal', unit, 1.0, details)
        for what, ours, goal, unit, details in figures
    ]


def _walks(arm: Arm, random: np.random.Generator) -> tuple[float, dict[str, float], float]:
    """The greatest joint step [rad] on straight walks, how far behind the tool was, cost per row.

    Each row leads 1 cm on, through what is out of reach and back, so past the edge of what the arm
    reaches, where it is singular.
    """
    most = np.full(len(arm.lower), PERIOD_S * SPEED)
    greatest, behind, begin = 0.0, [], time.process_time_ns()
    for _ in range(WALKS):
        joints = arm.draw(random)
        position, rotation = arm.pose(joints)
        along = random.normal(size=3)
        along *= 0.01 / np.linalg.norm(along)
        for row in range(ROWS):
            position = position + (along if row < ROWS // 2 else -along)
            reached = arm.inverse.solve(position, rotation, joints, most)
            greatest = max(greatest, float(np.abs(reached.joints - joints).max()))
            assert (reached.joints >= arm.lower).all() and (reached.joints <= arm.upper).all()
            joints = reached.joints
            behind.append(reached.position_error)
    walk_ms = (time.process_time_ns() - begin) * 1e-6 / (WALKS * ROWS)
    lags = {'rows': WALKS * ROWS, 'rows_behind_by_1mm': int((np.array(behind) > 1e-3).sum())}
    return greatest, lags, walk_ms


def _robots() -> Path:
    for folder in map(Path, sys.path):
        found = folder / 'cmeel.prefix' / 'share' / 'example-robot-data' / 'robots'
        if found.is_dir():
            return found
    raise UserError('bench kinematics needs the arms of: pip install example-robot-data')


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
