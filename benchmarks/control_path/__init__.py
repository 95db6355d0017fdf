# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of `motion-policy bench control`: cameras, arm and node, each in its own process."""
