# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes as files of the viewers that people use: Foxglove and Rerun."""
