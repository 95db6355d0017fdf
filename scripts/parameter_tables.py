# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of parameters in docs/reference/nodes.md, read from the code.

Run it again when `test/docs/test_parameter_tables.py` says that they differ from the code. It
needs no ROS 2.
"""

from __future__ import annotations

import re
from pathlib import Path

from motion_policy.declared import Declared
from motion_policy.nodes.parameters.arm import (
    ControlParameters,
    GuardParameters,
    SwitchParameters,
)
from motion_policy.nodes.parameters.episodes import RecorderParameters, ReplayParameters
from motion_policy.nodes.parameters.fields import ParameterEntry, entries
from motion_policy.nodes.parameters.policy import PolicyParameters
from motion_policy.nodes.parameters.rehearsal import RehearsalParameters
from motion_policy.nodes.parameters.simulation import (
    DemonstratorParameters,
    SceneParameters,
    SimParameters,
    TaughtSceneParameters,
)
from motion_policy.nodes.parameters.teleop import TeleopParameters
from motion_policy.simulation import SCENES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'reference' / 'nodes.md'
END = '<!-- end -->\n'

# By the node that has them, or by where they are declared.
TABLES: dict[str, tuple[type[Declared], ...]] = {
    'policy_node': (PolicyParameters,),
    'arm_driver': (ControlParameters, GuardParameters, SwitchParameters),
    'recorder_node': (RecorderParameters,),
    'replay_node': (ReplayParameters,),
    'teleop_node': (TeleopParameters,),
    'sim_node': (SceneParameters, SimParameters),
    'demonstrator_node': (TaughtSceneParameters, DemonstratorParameters),
    'rehearsal_node': (RehearsalParameters,),
}
ENTRIES = {
    node: [entry for group in groups for entry in entries(group)]
    for node, groups in TABLES.items()
}
# What a scene gives a parameter as its default, in the order of the scenes.
OF_SCENE = {'robot': 'robot', 'cube': 'usual_place'}
# Names that are no words of a sentence; they and topics stand as code.
NAMES = {
    entry.name for found in ENTRIES.values() for entry in found if re.search(r'[._]', entry.name)
}
CODE = re.compile(rf'(?<![\w./`])(?:~/\w+|{"|".join(sorted(map(re.escape, NAMES)))})(?![\w/`])')


def begin_mark(node: str) -> str:
    """What stands before the table of a node."""
    return f'<!-- parameters of {node}, written by scripts/parameter_tables.py -->\n'


def table(node: str) -> str:
    """List the parameters of a node in Markdown."""
    lines = [
        '| parameter | type | default | may be | changes | meaning |',
        '|---|---|---|---|---|---|',
    ]
    for entry in ENTRIES[node]:
        text = CODE.sub(r'`\g<0>`', entry.text).replace('|', '\\|').replace('<', '&lt;')
        cells = (
            f'`{entry.name}`',
            entry.type,
            _default(entry),
            _may_be(entry),
            entry.change.value,
            text,
        )
        lines.append(''.join(f'| {cell} ' if cell else '| ' for cell in cells) + '|')
    return '\n'.join(lines) + '\n'


def _default(entry: ParameterEntry) -> str:
    default = entry.default
    if default is None:
        return ', '.join(f'`{getattr(scene, OF_SCENE[entry.name])}`' for scene in SCENES.values())
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return f'`{default}`'
    return f'`{default}`' if default and isinstance(default, str) else str(default)


def _may_be(entry: ParameterEntry) -> str:
    if entry.choices:
        return ', '.join(f'`{word}`' for word in entry.choices)
    if entry.length is not None:
        return f'{entry.length} numbers'
    if entry.minimum is not None and entry.maximum is not None:
        return f'{entry.minimum:.10g} to {entry.maximum:.10g}'
    return ''


def with_tables(page: str) -> str:
    """Return the page with every table between its marks; SystemExit if one has none."""
    for node in TABLES:
        before, begin, rest = page.partition(begin_mark(node))
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise SystemExit(f'{PAGE}: no {begin_mark(node).strip()} or no {END.strip()} after it')
        page = f'{before}{begin}\n{table(node)}\n{end}{after}'
    return page


def main() -> None:
    """Write them anew."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding='utf-8')), encoding='utf-8')


if __name__ == '__main__':
    main()
