# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes, in groups, and how a node declares and reads them.

Only `declaring.py` needs ROS 2: the groups are data, from which the tables of the reference come.
"""
