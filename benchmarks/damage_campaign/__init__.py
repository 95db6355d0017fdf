# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of `motion-policy bench damaged`: inputs, ways to damage them, commands that read them."""
