# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What ours is measured against: ACT in plain PyTorch, as its authors' code computes it."""
