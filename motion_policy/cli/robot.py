# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy robot`: a first spec from what is on the topics, or a spec held against them.

The topics are those of a running graph, or of a bag.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from motion_policy.cli.literal import escape
from motion_policy.episodes.formats.rosbag.read import (
    bag_duration_ns,
    bag_topics,
    fields_in_bag,
    read_messages,
)
from motion_policy.errors import UserError
from motion_policy.files import check_output, write_json, write_text
from motion_policy.robot import RobotSpec, RobotSpecError, load_robot_spec, robot_spec_from_yaml
from motion_policy.robot.load import urdf_of_spec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.robot.urdf import UrdfJoint, moving_joints
from motion_policy.streams.message_fields import FieldsOf
from motion_policy.survey.draft import draft_spec
from motion_policy.survey.fit import Finding, problems, spec_findings
from motion_policy.survey.observed import (
    READ_TYPES,
    STRING,
    Observed,
    Survey,
    is_description,
    relative_topic,
)

MOST_IMAGES = 100  # of a topic of a bag that are looked at
MARKS = {'fits': '[green]fits[/]', 'note': '[yellow]note[/]', 'problem': '[red]problem[/]'}


@dataclass(frozen=True)
class Arguments:
    """Write a first robot spec from what is on the topics (`new`), or hold one against them
    (`check`).

    It listens to the running ROS 2 graph, or reads a bag. Exit code 1: what was written does not
    load yet, or the spec does not fit.
    """

    action: tyro.conf.Positional[Literal['new', 'check']]
    """new: write SPEC; check: hold SPEC against the topics."""

    spec: tyro.conf.Positional[str]
    """Robot spec: a YAML file; of check also the name of a shipped one."""

    bag: Path | None = None
    """A rosbag2 recording instead of the running graph."""

    urdf: Path | None = None
    """URDF for joint order and limits; else the one on robot_description, or that SPEC names."""

    namespace: str = ''
    """Topics in this namespace are relative ones in the spec."""

    seconds: float = 5.0
    """How long to listen to the running graph."""

    force: bool = False
    """new: replace SPEC if it is there."""

    json: Path | None = None
    """Write what was found as JSON."""


def run(arguments: Arguments) -> int:
    """Write or check; 0 if it loads, or fits, else 1."""
    if not 0 < arguments.seconds <= 3600:
        raise UserError(f'--seconds is {arguments.seconds:g}, expected more than 0, at most 3600')
    if arguments.bag is not None and not arguments.bag.exists():
        raise UserError(f'{arguments.bag}: no such file or folder, expected a rosbag2 recording')
    return _new(arguments) if arguments.action == 'new' else _check(arguments)


def _new(arguments: Arguments) -> int:
    console, path = Console(), Path(arguments.spec)
    if path.exists() and not arguments.force:
        raise UserError(f'{path}: is there already, expected another name, or --force')
    if path.suffix not in ('.yaml', '.yml'):
        raise UserError(f'{path}: expected a name that ends with .yaml')
    inputs = [each for each in (arguments.urdf, arguments.bag) if each is not None]
    check_output(path, inputs)
    survey = _survey(arguments, frozenset(), console)
    urdf, where = _urdf(arguments, survey, None)
    draft = draft_spec(path.stem, survey, urdf or {}, where=where, namespace=arguments.namespace)
    write_text(path, draft.text)
    _print(console, f'{path}: written from {len(survey.topics)} topics')
    for guess in draft.guesses:
        _print(console, f'  {guess}')
    for todo in draft.todos:
        console.print(f'  [yellow]TODO[/] {escape(todo)}', soft_wrap=True, highlight=False)
    missing = ''
    try:
        robot_spec_from_yaml(draft.text, path)
        _print(console, f'{path} loads; next: motion-policy rehearse --robot {path}')
    except RobotSpecError as error:
        missing = str(error)
        console.print(f'[red]does not load yet[/] {escape(missing)}', soft_wrap=True)
    if arguments.json:
        told = {'spec': str(path), 'loads': not missing, 'missing': missing}
        write_json(arguments.json, {**told, 'guesses': draft.guesses, 'todos': draft.todos})
    return 1 if missing else 0


def _check(arguments: Arguments) -> int:
    if arguments.force:
        raise UserError('robot check: --force means nothing, expected it with new only')
    console = Console()
    robot = load_robot_spec(arguments.spec)
    types = frozenset(stream.type for stream in robot.streams())
    survey = _survey(arguments, types, console)
    urdf, _ = _urdf(arguments, survey, robot)
    found = spec_findings(
        robot, survey, _fields_of(arguments, robot), urdf, namespace=arguments.namespace
    )
    for each in found:
        console.print(
            f'{MARKS[each.kind]} {escape(f"{each.about}: {each.text}")}',
            soft_wrap=True,
            highlight=False,
        )
    wrong = problems(found)
    heard = str(arguments.bag) if arguments.bag else 'what is on the topics'
    verdict = f'{len(wrong)} problem(s)' if wrong else 'fits'
    _print(console, f"'{robot.name}' and {heard}: {verdict}")
    if arguments.json:
        write_json(
            arguments.json, {'fits': not wrong, 'found': [_as_json(each) for each in found]}
        )
    return 1 if wrong else 0


def _as_json(finding: Finding) -> dict[str, str]:
    return {'about': finding.about, 'kind': finding.kind, 'text': finding.text}


def _print(console: Console, line: str) -> None:
    console.print(escape(line), soft_wrap=True, highlight=False)


def _survey(arguments: Arguments, types: frozenset[str], console: Console) -> Survey:
    if arguments.bag is not None:
        return survey_bag(arguments.bag, types)
    # Without ROS 2 a bag can be read all the same.
    from motion_policy.nodes.graph_survey import survey_graph

    with console.status(f'listening for {arguments.seconds:g} s'):
        survey = survey_graph(arguments.seconds, types)
    if not any(each.count for each in survey.topics.values()):
        raise UserError(
            'nothing was heard that may be of a robot: expected its driver to run in this ROS '
            'domain, --seconds to be longer, or --bag'
        )
    return survey


def survey_bag(bag: Path, types: frozenset[str]) -> Survey:
    """What is in a bag."""
    survey = Survey(seconds=bag_duration_ns(bag) / NANOSECONDS_PER_S)
    for entry in bag_topics(bag):
        survey.topics[entry.topic] = Observed(entry.topic, entry.type)
    wanted = {*READ_TYPES, *types, STRING}
    for topic, kind, receive_ns, message in read_messages(bag, wanted, MOST_IMAGES):
        if is_description(topic, [kind]):
            survey.urdfs[topic] = message.data
        elif kind != STRING:
            survey.topics[topic].take(message, receive_ns)
    return survey


def _urdf(
    arguments: Arguments, survey: Survey, robot: RobotSpec | None
) -> tuple[dict[str, UrdfJoint] | None, str]:
    """The joints of the URDF that is at hand, and what it is called; None without one."""
    path = arguments.urdf or (urdf_of_spec(arguments.spec) if robot is not None else None)
    if path is not None:
        return moving_joints(path), path.name
    topic = survey.description(arguments.namespace)
    if not topic:
        return None, ''
    joints = moving_joints(survey.urdfs[topic])
    if robot is not None:
        measured = {name for topic in robot.joints.state for name in topic.message_names}
        if not measured & set(joints):  # of another robot
            return None, ''
    return joints, relative_topic(topic, arguments.namespace)


def _fields_of(arguments: Arguments, robot: RobotSpec) -> FieldsOf:
    types = {vector.type for vector in robot.vectors.values() if vector.transform is None}
    if arguments.bag is not None:
        return fields_in_bag(arguments.bag, types)
    from motion_policy.nodes.subscriptions import fields_of

    return fields_of
