# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Worker process of a policy that fails on request; all else of the process is real.

What is asked for stands in a file until it is done.
"""

from __future__ import annotations

import sys

from fault_campaign.policy_with_faults import fault_file, wrap_runner
from motion_policy.inference import worker


def asked() -> str:
    """What this step has to do; '' is its usual work."""
    path = fault_file()
    try:
        kind = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return ''
    path.unlink()
    return kind


if __name__ == '__main__':
    wrap_runner(asked, lambda *_step: None)
    worker.main(*map(int, sys.argv[1:]))
