# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`make` finds its Python, says in one line what is missing, and shields what it runs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = pytest.mark.package

FOREIGN = {
    'PYTHONPATH': '/opt/ros/jazzy/lib/python3.12/site-packages',
    'AMENT_PREFIX_PATH': '/opt/ros/jazzy',
    'LD_LIBRARY_PATH': '/opt/ros/jazzy/lib',
    'ROS_DISTRO': 'jazzy',
    'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp',
    '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1',
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout without .venv."""
    for name in ('scripts', 'requirements'):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ('setup.py', 'setup.cfg', 'Makefile'):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(
    checkout: Path, command: list[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return subprocess.run(
        command, cwd=checkout, env={**clean, **environment}, capture_output=True, text=True
    )


def environment_under(checkout: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command that `run.sh` starts under foreign settings."""
    (checkout / '.venv').mkdir()
    lines = [f'{name}={value}\n' for name, value in settings.items()]
    (checkout / '.venv' / 'settings').write_text(''.join(lines))
    done = run(checkout, ['scripts/run.sh', 'env', '-0'], **FOREIGN)
    assert done.returncode == 0, done.stderr
    return dict(entry.split('=', 1) for entry in done.stdout.split('\0') if entry)


def test_wheels_are_shielded_from_another_ros(checkout: Path) -> None:
    seen = environment_under(checkout, {'ROS_MODE': 'wheels', 'OFFSCREEN_GL': 'osmesa'})
    assert seen.keys() & FOREIGN.keys() == set()
    assert seen['MUJOCO_GL'] == os.environ.get('MUJOCO_GL', 'osmesa')
    assert seen['PATH'].startswith(f'{checkout}/.venv/bin:')


def test_a_sourced_ros_is_kept(checkout: Path) -> None:
    seen = environment_under(checkout, {'ROS_MODE': 'system', 'OFFSCREEN_GL': 'egl'})
    assert FOREIGN.keys() - seen.keys() == {'_ROS_WHEELS_BOOTSTRAP_COMPLETE'}


def test_no_python_is_one_line(checkout: Path) -> None:
    done = run(checkout, ['scripts/setup.sh'], PYTHON='/no/such/python3')
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith('error: no Python 3.10 to 3.14') and '/no/such/python3' in line


def test_a_python_that_is_too_old_is_refused(checkout: Path) -> None:
    old = checkout / 'python3'
    old.write_text('#!/bin/sh\nexit 1\n')
    old.chmod(0o755)
    done = run(checkout, ['scripts/setup.sh'], PYTHON=str(old))
    assert done.returncode == 1 and 'error: no Python 3.10 to 3.14' in done.stderr


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='rclpy wheels exist for x86_64 only')
@pytest.mark.parametrize('name', ['itself', 'link', 'activated'])
@pytest.mark.parametrize('more', [(), ('docs',)], ids=['usual', 'docs'])
def test_what_is_set_up_is_left_alone(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, more: tuple[str, ...], name: str
) -> None:
    """The second run compares one line and installs nothing, by whatever name Python is found."""
    python = os.path.realpath(getattr(sys, '_base_executable', sys.executable))
    named = tmp_path_factory.mktemp('pythons') / 'bin' / 'python3'
    if name == 'activated':
        venv.create(named.parent.parent, symlinks=True)
    elif name == 'link':
        named.parent.mkdir()
        named.symlink_to(python)
    (checkout / '.venv').mkdir()
    files = ['setup.py', 'setup.cfg', 'requirements/constraints.txt', 'scripts/setup.sh']
    summed = run(checkout, ['bash', '-c', f'cat {" ".join(files)} | sha256sum']).stdout.strip()
    stamp = f'wheels {python} {checkout.resolve()} {summed}'
    file = '-'.join(('set-up', *more))
    (checkout / '.venv' / file).write_text(stamp + '\n')
    path = python if name == 'itself' else str(named)
    done = run(checkout, ['scripts/setup.sh', *more], PYTHON=path)
    assert (done.returncode, done.stderr) == (0, '')
    assert [entry.name for entry in (checkout / '.venv').iterdir()] == [file]


def test_every_target_is_explained(checkout: Path) -> None:
    done = run(checkout, ['make', 'help'])
    for target in ('demo', 'test', 'setup', 'teach', 'train', 'evaluate', 'lint', 'bench', 'docs'):
        assert f'\n{target} ' in '\n' + done.stdout
