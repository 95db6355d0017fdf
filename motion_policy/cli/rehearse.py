# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy rehearse`: a stand-in for the driver of any arm, made from its spec.

What the arm felt of its commands is told as it happens, and as a table at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from motion_policy.cli.keyboard import keyboard
from motion_policy.cli.literal import escape
from motion_policy.files import write_json
from motion_policy.rehearsal.faults import read_fault
from motion_policy.rehearsal.keys import KeyFaults
from motion_policy.rehearsal.report import COLUMNS, RehearsalReport
from motion_policy.rehearsal.schedule import stream_rates
from motion_policy.robot import RobotSpec, load_robot_spec


@dataclass(frozen=True)
class Arguments:
    """Stand in for the driver of an arm: send every stream of its spec, and obey its commands.

    Ends with Ctrl-C or q, and a table of what the arm felt; exit code 1 if a limit was broken.
    """

    robot: str
    """Robot spec: a YAML file, or the name of a shipped one."""

    fault: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """What goes wrong, KIND[:NAME][@START][+DURATION]: camera:top@5s; may be given again."""

    guide: bool = False
    """Somebody guides the arm along a smooth path, with its leader or by hand, until a command
    comes."""

    seconds: float = 0.0
    """End after so many seconds; 0: when it is ended."""

    namespace: str = ''
    """Namespace of the node, and so of the robot's relative topics."""

    urdf: Path | None = None
    """URDF to publish on robot_description; else the one that the spec names."""

    json: Path | None = None
    """Write what the arm felt as JSON."""


def run(arguments: Arguments) -> int:
    """Rehearse until it is ended; 0 if every limit was kept, else 1."""
    # Without ROS 2 there is help all the same.
    from motion_policy.nodes.rehearsal_node import rehearse

    console = Console()
    robot = load_robot_spec(arguments.robot)
    for text in arguments.fault:
        read_fault(text, robot)
    settings = {
        'robot': arguments.robot,
        'guide': arguments.guide,
        'seconds': float(arguments.seconds),
        'faults': list(arguments.fault) or [''],
        'urdf': str(arguments.urdf or ''),
    }

    def tell(line: str) -> None:
        console.print(escape(line), soft_wrap=True, highlight=False)

    with keyboard() as read_key:
        _tell_begin(robot, console, keys=read_key is not None)
        code, report = rehearse(settings, tell, read_key, arguments.namespace)
    if report is None or code == 2:
        return code or 1
    _print_report(report, console)
    if arguments.json:
        write_json(arguments.json, report.as_json())
    return code


def _tell_begin(robot: RobotSpec, console: Console, *, keys: bool) -> None:
    rates = stream_rates(robot)
    for stream in robot.streams():
        line = f'  {stream.name}: {stream.topic} ({stream.type}) at {rates[stream.name]:g} Hz'
        console.print(escape(line), soft_wrap=True, highlight=False)
    for topic in robot.joints.command:
        line = f'  obeys {topic.topic} ({topic.type})'
        console.print(escape(line), soft_wrap=True, highlight=False)
    for name in robot.joints.acting_grippers:
        interface = robot.joints.grippers[name].interface
        assert interface is not None
        line = f'  serves {interface.name} ({interface.type}) for {name}'
        console.print(escape(line), soft_wrap=True, highlight=False)
    if keys:
        for line in KeyFaults(robot).help():
            console.print(escape(f'    {line}'), soft_wrap=True, highlight=False)


def _print_report(report: RehearsalReport, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column)
    for row in report.rows():
        table.add_row(*map(escape, row))
    console.print(table)
    for line in report.lines():
        console.print(escape(line), soft_wrap=True, highlight=False)
    verdict = 'every limit was kept' if report.kept else 'a limit was broken'
    console.print(verdict if report.commanded else 'nothing was commanded')
