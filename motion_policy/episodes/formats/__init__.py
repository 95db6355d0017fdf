# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""File formats of other projects: import into episodes and export from episodes."""

# A stretch between two gaps of a recording that is shorter shows no motion worth learning.
SHORTEST_STRETCH_S = 1.0
