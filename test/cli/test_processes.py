# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Promise: commands and tests that start nodes never meet on one ROS domain."""

from __future__ import annotations

import pytest

from motion_policy.cli import processes
from motion_policy.cli.processes import claim_domain


def test_no_command_gets_the_domain_of_a_test(
    ros_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, 'DOMAIN_IDS', [ros_domain])
    with pytest.raises(RuntimeError, match='every ROS domain'):
        claim_domain()


def test_a_domain_is_free_again_when_its_lock_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, domain_id = claim_domain()
    monkeypatch.setattr(processes, 'DOMAIN_IDS', [domain_id])
    with pytest.raises(RuntimeError):
        claim_domain()
    lock.close()
    again, same = claim_domain()
    again.close()
    assert same == domain_id
