# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings, mcap and sqlite3, without ROS."""
