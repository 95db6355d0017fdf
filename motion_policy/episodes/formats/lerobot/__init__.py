# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot's data sets, v2.1 and v3.0: parquet, videos and their meta data."""
