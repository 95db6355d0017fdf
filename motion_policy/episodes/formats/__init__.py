# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Other people's recordings: read, turned into episodes, and written from episodes."""
