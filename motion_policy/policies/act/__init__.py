# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT, action chunking with transformers (Zhao et al., arXiv:2304.13705)."""
