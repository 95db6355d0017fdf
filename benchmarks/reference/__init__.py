# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reference of the benchmarks: ACT in plain PyTorch, as its authors' code computes it."""
