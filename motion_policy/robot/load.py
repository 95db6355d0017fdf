# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Read a robot spec from YAML.

Every mistake becomes one line: file, key, what was found, what was expected.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from motion_policy.declared import UNKNOWN_KEY
from motion_policy.documents import MOST_BYTES, parse_yaml
from motion_policy.files import FileError, read_text
from motion_policy.robot.errors import RobotSpecError
from motion_policy.robot.spec import RobotSpec
from motion_policy.robot.tool import tool_movers, with_tool
from motion_policy.robot.urdf import is_urdf_text, limits_from_urdf, path_of_urdf
from motion_policy.share import share_dir


def load_robot_spec(path: str | Path) -> RobotSpec:
    """Load a robot spec from a YAML file, or by the name of a shipped one (`tabletop_sim`).

    Raises:
        RobotSpecError: no such file, or what it says is not a robot.
    """
    file = _find(path)
    try:
        text = read_text(file, MOST_BYTES, 'a robot spec')
    except FileError as error:
        raise RobotSpecError(str(error)) from None
    return robot_spec_from_yaml(text, file)


def urdf_of_spec(path: str | Path) -> Path | None:
    """Return the URDF that a robot spec names for its limits or tool; None: it names none.

    Raises:
        RobotSpecError: no such file, or what it says is not a mapping of joints.
    """
    file = _find(path)
    try:
        data = parse_yaml(read_text(file, MOST_BYTES, 'a robot spec'), file)
    except FileError as error:
        raise RobotSpecError(str(error)) from None
    for keys in (('joints', 'limits', 'urdf'), ('tool', 'urdf')):
        here = data
        for key in keys:
            here = here.get(key) if isinstance(here, dict) else None
        if here is not None and not is_urdf_text(here):
            return path_of_urdf(here, file, '.'.join(keys))
    return None


def robot_spec_from_yaml(text: str, source: str | Path) -> RobotSpec:
    """Make a robot spec from YAML text; `source` names it in errors and anchors a relative URDF.

    Raises:
        RobotSpecError: the text is not a valid robot spec.
    """
    try:
        data = parse_yaml(text, source)
    except FileError as error:
        raise RobotSpecError(str(error)) from None
    return robot_spec_from(data, source)


def robot_spec_from(data: Any, source: str | Path) -> RobotSpec:
    """Make a robot spec from what YAML says; `source` as above.

    Raises:
        RobotSpecError: it is not a valid robot spec.
    """
    if not isinstance(data, dict):
        raise RobotSpecError(
            f'{source}: holds {type(data).__name__}, expected a mapping with name, rate, joints'
        )
    try:
        robot = RobotSpec.model_validate(_with_urdf_limits(with_tool(data, source), source))
    except ValidationError as error:
        raise RobotSpecError(first_error_line(error, data, source)) from None
    if robot.tool is not None:
        tool_movers(robot.tool, robot.joints.names, source)  # or it says what is wrong
    return robot


def first_error_line(error: ValidationError, data: Any, source: str | Path) -> str:
    """Return the first error of pydantic as one line, and how many more there are."""
    # A misspelt key is also reported as missing; the misspelling is the better line.
    details = sorted(
        error.errors(include_url=False), key=lambda detail: detail['type'] != UNKNOWN_KEY
    )
    more = f' (and {len(details) - 1} more)' if len(details) > 1 else ''
    return f'{source}: {_describe(details[0], data)}{more}'


def error_place(detail: ErrorDetails) -> tuple[int | str, ...]:
    """The keys that lead to what an error of pydantic is about, an unknown key itself included."""
    unknown = (detail['ctx']['key'],) if detail['type'] == UNKNOWN_KEY else ()
    return (*detail['loc'], *unknown)


def _find(path: str | Path) -> Path:
    file = Path(path)
    if os.path.exists(file):
        return file
    robots = share_dir() / 'config' / 'robots'
    named = robots / f'{path}.yaml'
    if file.name == str(path) and os.path.isfile(named):
        return named
    shipped = ', '.join(sorted(known.stem for known in robots.glob('*.yaml')))
    raise RobotSpecError(f'{path}: no such file, expected a YAML file or one of: {shipped}')


def _with_urdf_limits(data: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """Replace `limits.urdf` by the position and velocity limits that the URDF gives."""
    joints = data.get('joints')
    limits = joints.get('limits') if isinstance(joints, dict) else None
    if not isinstance(joints, dict) or not isinstance(limits, dict) or 'urdf' not in limits:
        return data
    names = joints.get('names')
    if not isinstance(names, list):
        return data
    rest = {key: value for key, value in limits.items() if key != 'urdf'}
    velocities = joints.get('velocities')
    of_base = [str(name) for name in velocities] if isinstance(velocities, list) else []
    if of_base and not {'position', 'velocity'} <= rest.keys():
        raise RobotSpecError(
            f"{source}: joints.limits.urdf: '{of_base[0]}' is a velocity, which no URDF limits, "
            'expected joints.limits.position and joints.limits.velocity in the spec'
        )
    looked_up = [str(name) for name in names if str(name) not in of_base]
    found = limits_from_urdf(limits['urdf'], looked_up, source, rest)
    return {**data, 'joints': {**joints, 'limits': {**found, **rest}}}


def _describe(detail: ErrorDetails, data: Any) -> str:
    key = _key_path(error_place(detail), data)
    kind = detail['type']
    if kind == UNKNOWN_KEY:
        found, expected = detail['ctx']['value'], detail['ctx']['expected']
        return f'{key}: unknown key, found {short(found)}, expected {expected}'
    if kind == 'missing':
        return f'{key}: missing, expected a value'
    if kind == 'literal_error':  # all that may stand there
        return f'{key}: found {short(detail["input"])}, expected {detail["ctx"]["expected"]}'
    message = detail['msg'].removeprefix('Value error, ')
    if kind == 'value_error':
        return f'{key}: {message}' if key else message
    return f'{key}: found {short(detail["input"])}, expected {_expectation(message)}'


def _expectation(message: str) -> str:
    message = message.removeprefix('Input should be ').removeprefix('a valid ')
    if not message.startswith("'"):  # one of several words, of which all are told
        message = message.partition(', ')[0]
    message = message.removeprefix('Tuple should have ').removesuffix(' after validation')
    for of_python, of_yaml in (('dictionary', 'mapping'), ('tuple', 'list')):
        if message.startswith(of_python):  # `or instance of` a class of ours may follow
            return of_yaml
    return message


def _key_path(loc: tuple[int | str, ...], data: Any) -> str:
    """Write a location as the file has it: no index where it holds one mapping, not a list."""
    path, here = '', data
    for part in loc:
        if isinstance(part, int):
            if isinstance(here, list):
                path += f'[{part}]'
                here = here[part] if part < len(here) else None
            continue
        path += f'.{part}' if path else part
        here = here.get(part) if isinstance(here, dict) else None
    return path


def short(value: Any) -> str:
    """A value as it reads in one line, of 60 characters at most."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
