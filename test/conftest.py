# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests; every ROS test has a domain of its own on this machine only.

What needs rclpy or torch is imported in the fixture: other tests run without them.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from control_robots import formula_arm

if TYPE_CHECKING:
    from fake_arm import FakeArm, MakeNode
    from ros_testing import Bench


def pytest_configure() -> None:
    """Heed SIGINT also where a shell started us in the background, which ignores it.

    The programs that the tests start and interrupt would inherit that.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs ROS 2, and begin with slow files: the last ones are to end together.

    Files that wait, as those of nodes do, come in turn with those that compute.
    """
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    waiting = set()
    for item in items:
        if 'ros_domain' in getattr(item, 'fixturenames', ()):
            item.add_marker('ros')
            waiting.add(item.path)
    files = {item.path: 0.0 for item in items}
    for kind in (waiting, files.keys() - waiting):
        for group in (kind & slow, kind - slow):
            in_order = [path for path in files if path in group]
            files |= {path: (place + 0.5) / len(group) for place, path in enumerate(in_order)}
    items.sort(key=lambda item: (item.path not in slow, files[item.path]))


def pytest_collection_finish() -> None:
    """Look for no garbage among what the imports of all tests have made: they are kept anyway.

    Nor often among what a test makes: one look per 700 new objects took some 9 % of the time.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(10_000)
    atexit.register(gc.unfreeze)


@pytest.fixture(scope='module')
def ros_domain() -> Iterator[int]:
    """Give this test module a ROS domain that no other run and no command beside it uses.

    The variables are set before rclpy starts, and child processes inherit them.
    """
    from motion_policy.cli.processes import claim_domain

    lock, domain_id = claim_domain()
    with lock, pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(domain_id))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        if os.environ.get('ROS_DISTRO') == 'humble':
            patch.setenv('ROS_LOCALHOST_ONLY', '1')
        yield domain_id


@pytest.fixture
def waits_for_switches() -> bool:
    """Whether nodes look as long for an emergency stop before an enable as they do elsewhere."""
    return False


@pytest.fixture
def bench(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch, waits_for_switches: bool
) -> Iterator[Bench]:
    """Give a context with a client node, for this test alone.

    A tick that is late by a tenth of a second stops the arm, as `control/test_stops.py` tests. On
    a machine that does other things too it may be, and must not end what another test is about.
    """
    from ros_testing import ros_bench

    from motion_policy.control import controller, switches

    monkeypatch.setattr(controller, 'LATE_NS', 5_000_000_000)
    if not waits_for_switches:
        monkeypatch.setattr(switches, 'DISCOVERY_NS', 50_000_000)
    with ros_bench() as bench:
        yield bench


@pytest.fixture
def arm(bench: Bench) -> FakeArm:
    """Give the arm by formula, on real topics."""
    from fake_arm import FakeArm

    return FakeArm(bench, formula_arm())


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a random policy for the arm by formula."""
    import torch
    from fake_arm import save_random_policy

    torch.set_num_threads(1)
    return save_random_policy(tmp_path_factory.mktemp('models') / 'random', formula_arm())


@pytest.fixture
def usual_parameters() -> dict[str, Any]:
    """Give what every policy node of a test module is told, beside its checkpoint."""
    return {}


@pytest.fixture
def make_node(
    bench: Bench, checkpoint: Path, usual_parameters: dict[str, Any]
) -> Iterator[MakeNode]:
    """Give what starts a policy node beside the test's client, active unless told otherwise."""
    from fake_arm import LOSSLESS
    from rclpy.parameter import Parameter

    from motion_policy.nodes.policy_node import PolicyNode

    nodes = []

    def make(autostart: bool = True, **parameters: Any) -> PolicyNode:
        values = {
            'checkpoint': str(checkpoint), 'autostart': autostart, 'diagnostics_period': 0.1,
            **usual_parameters, **LOSSLESS, **parameters,
        }  # fmt: skip
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = PolicyNode(context=bench.context, parameter_overrides=overrides)
        nodes.append(node)
        bench.add(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture(scope='session')
def lerobot_episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of raw episodes with two tasks."""
    from lerobot_sets import write_episodes

    folder = tmp_path_factory.mktemp('episodes')
    write_episodes(folder)
    return folder


@pytest.fixture(scope='session')
def _lerobot_set(tmp_path_factory: pytest.TempPathFactory, lerobot_episodes: Path) -> Path:
    from lerobot_sets import write_set

    return write_set(lerobot_episodes, tmp_path_factory.mktemp('sets') / 'set')


@pytest.fixture
def lerobot_set(_lerobot_set: Path, tmp_path: Path) -> Path:
    """Give them as a data set of LeRobot that a test may spoil."""
    return Path(shutil.copytree(_lerobot_set, tmp_path / 'set'))
