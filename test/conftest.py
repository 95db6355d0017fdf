# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests; every ROS test has a domain of its own on this machine only."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

# Higher ids use ports that Linux may give to any program.
DOMAIN_IDS = range(1, 102)


def pytest_configure() -> None:
    """Heed SIGINT also where a shell started us in the background, which ignores it.

    The programs that the tests start and interrupt would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='module')
def ros_domain() -> Iterator[int]:
    """Give this test module a ROS domain that no other run on this machine uses.

    The variables are set before rclpy starts, and child processes inherit them.
    """
    lock, domain_id = _claim_domain()
    with lock, pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(domain_id))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        if os.environ.get('ROS_DISTRO') == 'humble':
            patch.setenv('ROS_LOCALHOST_ONLY', '1')
        yield domain_id


def _claim_domain() -> tuple[IO[str], int]:
    for domain_id in random.sample(DOMAIN_IDS, len(DOMAIN_IDS)):
        path = Path(tempfile.gettempdir(), f'motion_policy_test_domain_{domain_id}.lock')
        lock = path.open('w')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, domain_id
        except OSError:
            lock.close()
    raise RuntimeError('every ROS domain of this machine is used by another test run')
