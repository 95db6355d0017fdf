# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""config/, models/ and launch/ are found in a checkout, a colcon installation and a pip one."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import ROOT

import motion_policy.share
from motion_policy.errors import UserError
from motion_policy.share import share_dir


def pretend_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> Path:
    """Move the package away from its checkout, into `prefix`/lib/python/site-packages."""
    package = tmp_path / prefix / 'lib' / 'python3' / 'site-packages' / 'motion_policy'
    package.mkdir(parents=True)
    monkeypatch.setattr(motion_policy.share, '__file__', str(package / 'share.py'))
    monkeypatch.setattr('sys.prefix', str(tmp_path / 'nowhere'))
    monkeypatch.setenv('HOME', str(tmp_path / 'nobody'))
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    return package


def make_share(prefix: Path) -> Path:
    share = prefix / 'share' / 'motion_policy'
    (share / 'config' / 'robots').mkdir(parents=True)
    return share


def test_a_checkout_uses_its_own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_share(tmp_path / 'old_install')
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path / 'old_install'))
    assert share_dir() == ROOT


def test_colcon_puts_them_into_the_ament_prefix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend_installed(tmp_path, monkeypatch, 'install')
    share = make_share(tmp_path / 'install' / 'motion_policy')
    prefixes = f'{tmp_path / "underlay"}:{tmp_path / "install" / "motion_policy"}'
    monkeypatch.setenv('AMENT_PREFIX_PATH', prefixes)
    assert share_dir() == share


def test_pip_puts_them_beside_lib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(tmp_path, monkeypatch, 'venv')
    share = make_share(tmp_path / 'venv')
    assert share_dir() == share


def test_nowhere_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(tmp_path, monkeypatch, 'venv')
    with pytest.raises(UserError, match=r'config/robots.*AMENT_PREFIX_PATH'):
        share_dir()
