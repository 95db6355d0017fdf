# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Fast convolutions and linear layers on a CPU: same weights, same numbers."""
