# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What package.xml, setup.py and requirements/ say agrees with each other and with the code."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from importlib import metadata
from xml.etree import ElementTree

import pytest
import yaml
from reference_tables import page, section
from repository import ROOT

import motion_policy

SETUP = (ROOT / 'setup.py').read_text(encoding='utf-8')
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
EXECUTABLES = (
    'policy_node', 'recorder_node', 'replay_node', 'sim_node', 'demonstrator_node',
    'rehearsal_node', 'teleop_node',
)  # fmt: skip


def assigned(name: str) -> object:
    """Return the literal that setup.py assigns to `name`, with *NAME spread out."""
    values: dict[str, object] = {}
    for node in ast.parse(SETUP).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            source = ast.unparse(node.value)
            for known, value in values.items():
                source = source.replace(f'*{known}', repr(value)[1:-1])
            try:
                values[node.targets[0].id] = ast.literal_eval(source)
            except ValueError:
                continue
    return values[name]


def entry_points() -> dict[str, str]:
    executables = assigned('EXECUTABLES')
    assert isinstance(executables, dict)
    return executables


def test_the_version_stands_the_same_everywhere() -> None:
    in_setup = re.search(r"version='([^']+)'", SETUP)
    assert in_setup is not None
    assert motion_policy.__version__ == in_setup[1] == MANIFEST.findtext('version')
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == motion_policy.__version__
    changes = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    assert f'## [{motion_policy.__version__}]' in changes


@pytest.mark.parametrize('kind', ['`sarnn`', '`cae_rnn`', '`frame_predictor`', '`act`'])
def test_the_paper_of_a_policy_is_cited(kind: str) -> None:
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    cited = {reference['doi'] for reference in citation['references'] if 'doi' in reference}
    cited |= {
        other['value'].removeprefix('arXiv:')
        for reference in citation['references']
        for other in reference.get('identifiers', [])
    }
    text = section(page('policies.md'), kind)
    paper = re.search(r'https://(?:doi\.org|arxiv\.org/abs)/([^)]+)', text)
    assert paper is not None and paper[1] in cited


def test_the_licence_is_apache_2() -> None:
    assert MANIFEST.findtext('license') == 'Apache-2.0'
    assert 'Version 2.0, January 2004' in (ROOT / 'LICENSE').read_text(encoding='utf-8')


def test_package_xml_alone_names_the_maintainer() -> None:
    [maintainer] = MANIFEST.iterfind('maintainer')
    email = maintainer.get('email')
    assert email
    told = subprocess.run(
        [sys.executable, 'setup.py', '--maintainer', '--maintainer-email'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.splitlines()[-2:] == [maintainer.text, email]
    files = [ROOT / name for name in ('setup.py', 'CITATION.cff', 'README.md', 'CONTRIBUTING.md')]
    files += [*(ROOT / 'docker').iterdir(), *(ROOT / 'docs').rglob('*.md')]
    assert [path for path in files if path.is_file() and email in path.read_text('utf-8')] == []


def test_the_image_has_every_ros_package_of_the_manifest() -> None:
    names = {node.text for node in MANIFEST.iterfind('exec_depend')}
    dockerfile = (ROOT / 'docker' / 'Dockerfile').read_text(encoding='utf-8')
    listed = re.search(r'packages=\(([\w\s\\]+)\)', dockerfile)
    assert listed is not None
    packages = set(listed[1].replace('\\', '').split())
    assert packages == {name for name in names if name and not name.startswith('python3-')}


def test_the_manifest_builds_as_ament_python() -> None:
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('export/build_type') == 'ament_python'
    assert (ROOT / 'resource' / 'motion_policy').read_bytes() == b''


def test_every_ros_package_we_import_is_declared() -> None:
    declared = {node.text for node in MANIFEST.findall('exec_depend')}
    files = [*(ROOT / 'motion_policy').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]
    used = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                used |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.split('.')[0])
    ros = {name for name in used if name.endswith(('_msgs', '_srvs', '_interfaces'))}
    ros |= used & {'rclpy', 'launch', 'launch_ros', 'ament_index_python', 'cv_bridge'}
    assert ros - declared == set()


def test_every_node_of_the_contract_is_an_executable() -> None:
    assert {'motion-policy', *EXECUTABLES} == set(entry_points())


@pytest.mark.parametrize('name', ['motion-policy', *EXECUTABLES])
def test_every_executable_has_its_function(name: str) -> None:
    module, function = entry_points()[name].split(':')
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize('lock', ['constraints.txt', 'constraints-numpy1.txt'])
def test_every_dependency_is_pinned(lock: str) -> None:
    text = (ROOT / 'requirements' / lock).read_text(encoding='utf-8')
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    assert [line for line in lines if not re.match(r'[a-z0-9-]+==[^ ]+( ; .+)?$', line)] == []
    assert '://' not in text
    pinned = {line.split('==')[0] for line in lines}
    base, extras = assigned('BASE'), assigned('EXTRAS')
    assert isinstance(base, list) and isinstance(extras, dict)
    wanted = {
        re.split('[<>=]', requirement)[0]
        for extra, requirements in [('', base), *extras.items()]
        if not (extra in ('ros', 'rerun') and 'numpy1' in lock)
        for requirement in requirements
    }
    assert wanted - pinned == set()


def test_a_robot_that_only_runs_a_policy_stays_light() -> None:
    base = assigned('BASE')
    assert isinstance(base, list)
    heavy = ('lightning', 'mujoco', 'tensorboard', 'matplotlib', 'torchvision')
    assert [item for item in base if any(word in item for word in heavy)] == []


def test_the_installed_package_is_this_one() -> None:
    try:
        installed = metadata.version('motion_policy')
    except metadata.PackageNotFoundError:
        pytest.fail('motion_policy is not installed: run `make setup` or `pip install -e .`')
    assert installed == motion_policy.__version__
