# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Finds config/, models/ and launch/: beside the code, or in an installed share/motion_policy.

A checkout wins, so that code and its data always come from the same place.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from motion_policy.errors import UserError


def share_dir() -> Path:
    """Return the folder that holds config/, models/ and launch/.

    Looked for in this order: the source tree, every prefix of AMENT_PREFIX_PATH (colcon),
    the Python installation (pip).

    Raises:
        UserError: no such folder anywhere.
    """
    source_tree = Path(__file__).resolve().parents[1]
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # pip puts data files beside the lib/ folder that holds site-packages.
    prefixes += [parent.parent for parent in source_tree.parents if parent.name == 'lib'][:1]
    prefixes += [Path(sys.prefix), Path(sys.prefix, 'local'), Path.home() / '.local']
    candidates = [source_tree] + [prefix / 'share' / 'motion_policy' for prefix in prefixes]
    for candidate in candidates:
        if (candidate / 'config' / 'robots').is_dir():
            return candidate
    raise UserError(
        f'share directory: no config/robots beside {source_tree} nor in share/motion_policy of '
        'AMENT_PREFIX_PATH or the Python installation, expected one of them'
    )
