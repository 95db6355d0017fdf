#!/usr/bin/env bash
# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
# Runs a command in .venv, shielded from the settings of another Python or ROS 2.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=/dev/null
. "$root/.venv/settings"

unset _ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONHOME PYTHONDONTWRITEBYTECODE
if [ "$ROS_MODE" = wheels ]; then
    # The wheels hold one RMW and find their libraries themselves.
    [ -z "${ROS_DISTRO:-}" ] || unset LD_LIBRARY_PATH
    unset AMENT_PREFIX_PATH PYTHONPATH RMW_IMPLEMENTATION ROS_DISTRO
fi
export MUJOCO_GL=${MUJOCO_GL:-${OFFSCREEN_GL:-egl}}
export VIRTUAL_ENV=$root/.venv PATH=$root/.venv/bin:$PATH
exec "$@"
