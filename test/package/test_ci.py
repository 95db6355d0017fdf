# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`.ci/run` ends as the tests ended, and says last how many of them were skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

pytestmark = pytest.mark.package

MAKEFILE = f'clean:\ntest:\n\t@"{sys.executable}" -m pytest -q -rs test_small.py $(ARGS)\n'
SKIPPED = """
import pytest

def test_runs():
    assert {holds}

@pytest.mark.skip(reason='no arm at hand')
@pytest.mark.parametrize('joint', range(3))
def test_does_not(joint):
    raise AssertionError
"""


@pytest.mark.parametrize('holds', [True, False])
def test_the_number_of_skipped_tests_comes_last(tmp_path: Path, holds: bool) -> None:
    (tmp_path / '.ci').mkdir()
    shutil.copy(ROOT / '.ci' / 'run', tmp_path / '.ci' / 'run')
    (tmp_path / 'Makefile').write_text(MAKEFILE)
    (tmp_path / 'test_small.py').write_text(SKIPPED.format(holds=holds))
    clean = {name: value for name, value in os.environ.items() if name != 'ARGS'}
    done = subprocess.run(
        [tmp_path / '.ci' / 'run'], env=clean, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is holds, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith('Skipped: 3 of 4 tests')
