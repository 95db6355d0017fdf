# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""colcon and pip both install all the package needs, where ROS 2 and the code look for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = pytest.mark.package

SOURCES = ('motion_policy', 'launch', 'config', 'models', 'benchmarks', 'resource')
FILES = ('setup.py', 'setup.cfg', 'package.xml', 'pyproject.toml', 'LICENSE', 'README.md')
EXECUTABLES = {
    'motion-policy', 'policy_node', 'recorder_node', 'replay_node', 'sim_node',
    'demonstrator_node', 'teleop_node',
}  # fmt: skip
# Asked of the installed copy, so from a folder that holds no motion_policy.
WHERE = (
    'import motion_policy; print(motion_policy.__file__); '
    'from motion_policy.share import share_dir; print(share_dir()); '
    'from motion_policy.robot import load_robot_spec; print(load_robot_spec("tabletop_sim").name)'
)


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """Run a command and return what it printed on stdout; its output is shown on failure."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ('PYTHONPATH', 'AMENT_PREFIX_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, 'PYTHONDONTWRITEBYTECODE': '1', **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is installed, so that a build leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp('workspace') / 'src' / 'motion_policy'
    for folder in SOURCES:
        ignored = shutil.ignore_patterns('__pycache__', '*.part')
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope='module')
def colcon_prefix(sources: Path) -> Path:
    """Return the folder that `colcon build` installed the package to."""
    pytest.importorskip('colcon_core', reason='colcon is not installed')
    workspace = sources.parents[1]
    build = [sys.executable, '-m', 'colcon', 'build', '--event-handlers', 'console_direct+']
    run(build, workspace, COLCON_LOG_PATH=str(workspace / 'log'))
    return workspace / 'install' / 'motion_policy'


def shared(sources: Path) -> set[str]:
    """Return the files that belong in share/motion_policy."""
    folders = (sources / name for name in ('launch', 'config', 'models', 'benchmarks'))
    files = (path for folder in folders for path in folder.rglob('*') if path.is_file())
    return {'package.xml', *(path.relative_to(sources).as_posix() for path in files)}


def site_packages(prefix: Path) -> Path:
    [init] = prefix.rglob('motion_policy/__init__.py')
    return init.parents[1]


def test_colcon_installs_executables_where_ros2_run_looks(colcon_prefix: Path) -> None:
    installed = colcon_prefix / 'lib' / 'motion_policy'
    assert {path.name for path in installed.iterdir()} >= EXECUTABLES


def test_colcon_installs_launch_files_configs_and_models(
    colcon_prefix: Path, sources: Path
) -> None:
    share = colcon_prefix / 'share'
    missing = {name for name in shared(sources) if not (share / 'motion_policy' / name).is_file()}
    assert missing == set()
    assert (share / 'ament_index/resource_index/packages/motion_policy').is_file()


def test_the_colcon_build_finds_its_own_configs(colcon_prefix: Path, tmp_path: Path) -> None:
    code, share, robot = run(
        [sys.executable, '-c', WHERE],
        tmp_path,
        PYTHONPATH=str(site_packages(colcon_prefix)),
        AMENT_PREFIX_PATH=str(colcon_prefix),
    ).split()
    assert Path(code).is_relative_to(colcon_prefix)
    assert Path(share) == colcon_prefix / 'share' / 'motion_policy'
    assert robot == 'tabletop_sim'


def test_the_colcon_executable_answers(colcon_prefix: Path, tmp_path: Path) -> None:
    executable = colcon_prefix / 'lib' / 'motion_policy' / 'motion-policy'
    text = run(
        [executable, '--help'],
        tmp_path,
        PYTHONPATH=str(site_packages(colcon_prefix)),
        AMENT_PREFIX_PATH=str(colcon_prefix),
    )
    assert 'train' in text and 'evaluate' in text


def test_a_wheel_holds_code_scenes_and_share(sources: Path, tmp_path: Path) -> None:
    pip = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation']
    run([*pip, '--wheel-dir', tmp_path, '.'], sources)
    [wheel] = tmp_path.glob('motion_policy-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = f'{wheel.name.split("-py3")[0]}.data/data/share/motion_policy/'
    assert {data + name for name in shared(sources)} <= names
    code = (sources / 'motion_policy').rglob('*')
    kinds = {'.py', '.xml'}
    inside = {p.relative_to(sources).as_posix() for p in code if p.suffix in kinds}
    assert inside <= names
