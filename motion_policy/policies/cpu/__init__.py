# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How convolutions and linear layers are computed fastest on a CPU: same weights, same numbers."""
