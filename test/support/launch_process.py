# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs one launch file as `ros2 launch` does, until SIGINT; launch/test_launch_files.py starts it.

Arguments: path of the launch file, then name:=value pairs.
"""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource


def main() -> int:
    """Run the file and return the launch service's exit code."""
    path, *pairs = sys.argv[1:]
    arguments = [tuple(pair.split(':=', 1)) for pair in pairs]
    service = LaunchService(argv=pairs)
    source = AnyLaunchDescriptionSource(path)
    include = IncludeLaunchDescription(source, launch_arguments=arguments)
    service.include_launch_description(LaunchDescription([include]))
    return int(service.run())


if __name__ == '__main__':
    raise SystemExit(main())
