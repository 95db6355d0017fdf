# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The stand-in of a driver, which at its end writes what the arm has felt: SPEC FILE GUIDE."""

from __future__ import annotations

import sys
from pathlib import Path

from motion_policy.files import write_json
from motion_policy.nodes.rehearsal_node import rehearse


def main(spec: str, file: str, guide: str) -> int:
    """Stand in until it is ended."""
    settings = {
        'robot': spec, 'guide': guide == 'guide', 'seconds': 0.0, 'faults': [''], 'urdf': '',
    }  # fmt: skip
    code, report = rehearse(settings, print, None)
    if report is not None:
        write_json(Path(file), report.as_json())
    return code


if __name__ == '__main__':
    raise SystemExit(main(*sys.argv[1:]))
