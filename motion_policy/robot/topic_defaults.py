# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What the topics of a robot spec carry where they do not say so, before anything is checked."""

from __future__ import annotations

from typing import Any

from motion_policy.robot.twist import USUAL_FIELDS, VELOCITY_TYPES


def commanded_joints(names: Any, grippers: Any) -> Any:
    """The joints that a command topic carries unless it says which."""
    if not isinstance(names, (list, tuple)) or not isinstance(grippers, dict):
        return names
    acting = {
        name
        for name, gripper in grippers.items()
        if getattr(gripper, 'interface', None)
        or (isinstance(gripper, dict) and (gripper.get('action') or gripper.get('service')))
    }
    return [name for name in names if name not in acting]


def filled_teleop(data: Any) -> Any:
    """Fill what the topics of a leader, and of what moves it, in a robot spec leave out."""
    if not isinstance(data, dict):
        return data
    teleop, joints = data.get('teleop'), data.get('joints')
    if not isinstance(teleop, dict) or not isinstance(joints, dict):
        return data
    names, velocities = joints.get('names'), joints.get('velocities')
    velocities = list(velocities) if isinstance(velocities, (list, tuple)) else []
    if isinstance(names, (list, tuple)):
        names = [name for name in names if name not in velocities]
    filled = dict(teleop)
    if 'leader' in teleop:
        filled['leader'] = filled_topics(teleop['leader'], names, velocities)
    takeover = teleop.get('takeover')
    if isinstance(takeover, dict) and 'leader_command' in takeover:
        command = filled_topics(takeover['leader_command'], names, velocities)
        filled['takeover'] = {**takeover, 'leader_command': command}
    return {**data, 'teleop': filled}


def filled_topics(value: Any, names: Any, velocities: list[Any]) -> Any:
    """Turn one mapping into a list of one and fill what a topic leaves out.

    `names` are the joints that have positions.
    """
    entries = [value] if isinstance(value, dict) else value
    if not isinstance(entries, (list, tuple)):
        return entries
    return [
        _with_defaults(entry, names, velocities) if isinstance(entry, dict) else entry
        for entry in entries
    ]


def _with_defaults(entry: dict[str, Any], names: Any, velocities: list[Any]) -> dict[str, Any]:
    of_base = velocities and entry.get('type') in VELOCITY_TYPES
    joints = entry.get('joints', velocities if of_base else names)
    count = len(joints) if isinstance(joints, (list, tuple)) else 0
    defaults = {
        'joints': joints,
        'message_names': joints,
        'scale': [1.0] * count,
        'offset': [0.0] * count,
    }
    if of_base and count in USUAL_FIELDS and all(joint in velocities for joint in joints):
        defaults['fields'] = USUAL_FIELDS[count]
    return {**defaults, **entry}
