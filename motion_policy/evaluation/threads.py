# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Limits PyTorch to one thread while single steps are evaluated.

More would wait for one another, not help.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread; results then do not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
