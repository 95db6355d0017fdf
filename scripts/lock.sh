#!/usr/bin/env bash
# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
# Writes requirements/constraints*.txt anew from setup.py. Needs uv. KEEP=1 keeps the versions that are
# there and adds what is new in setup.py.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    local out=$1 title=$2 pythons=$3
    shift 3
    rm -f "$out.part"
    [ -z "${KEEP:-}" ] || cp "$out" "$out.part"
    "${UV:-.venv/bin/uv}" pip compile --quiet --universal --python-version 3.10 --strip-extras \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@" \
        --output-file "$out.part" setup.py
    {
        printf '# %s\n# Written by scripts/lock.sh from setup.py; %s on Linux.\n' "$title" "$pythons"
        sed -e "s/ and sys_platform == 'linux'//g" -e "s/ ; sys_platform == 'linux'$//" \
            -e "s/ and python_full_version < '3.15'//g" -e "s/ ; python_full_version < '3.15'$//" \
            -e "s/python_full_version < '3.15' and //" "$out.part"
    } >"$out"
    rm "$out.part"
}

compile requirements/constraints.txt 'The versions this package is tested with.' \
    'Python 3.10 to 3.14' --all-extras
compile requirements/constraints-numpy1.txt \
    'The same beside a ROS 2 built for numpy 1 (Humble, Jazzy, Kilted).' 'Python 3.10 to 3.12' \
    --extra train --extra sim --extra guard --extra cockpit --extra export --extra onnx --extra openvino \
    --extra foxglove --extra docs --extra dev \
    --constraint <(echo 'numpy>=1.26,<2')
