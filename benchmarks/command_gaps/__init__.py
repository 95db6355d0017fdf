# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How long an arm waits for a command while a chunk is computed."""
