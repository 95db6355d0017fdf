#!/usr/bin/env bash
# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
# Makes .venv ready to run everything; does nothing when it is. PYTHON=... chooses the interpreter.
# An argument names one more extra of setup.py, such as docs.
# A sourced ROS 2 installation is used where its rclpy can be imported, else wheels bring rclpy.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Installs Debian packages when this user may, else names the command that does.
apt_install() {
    local as_root=()
    command -v apt-get >/dev/null || fail "install with your package manager, then try again: $*"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "missing system packages; run: sudo apt-get install -y $*"
        as_root=(sudo -n)
    fi
    say "Installing system packages: $*"
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null ||
        fail "apt-get could not install: $*"
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
# The same for all names of one Python, and for a virtual environment that is made of it.
real() {
    "$1" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'
}

# Prints "system PATH" for the Python of a sourced ROS 2, else "wheels PATH".
choose_python() {
    local name
    if [ -n "${ROS_DISTRO:-}" ]; then
        for name in ${PYTHON:-python3 /usr/bin/python3}; do
            if fits "$name" && "$name" -c 'import rclpy.node' 2>/dev/null; then
                echo "system $(real "$name")"
                return
            fi
        done
        say "ROS 2 $ROS_DISTRO is sourced, but no Python at hand imports its rclpy: using wheels."
    fi
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python3.10}; do
        if command -v "$name" >/dev/null && fits "$name"; then
            echo "wheels $(real "$name")"
            return
        fi
    done
    fail "no Python 3.10 to 3.14 found as ${PYTHON:-python3}; install one or set PYTHON=/path/to/python3"
}

make_venv() {
    local mode=$1 python=$2 flags=()
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    [ "$mode" = wheels ] || flags=(--system-site-packages)
    rm -rf .venv
    "$python" -m venv "${flags[@]}" .venv
}

# uv downloads in parallel; where it cannot be had or does not get through, pip does the same.
# Bytecode is made once here, else every process of the first test run makes the same by itself.
install_package() {
    local extras=$1 constraints=$2
    local pip=(.venv/bin/python -m pip --disable-pip-version-check)
    if ! "${pip[@]}" config list | grep -q '\.index-url=' &&
        "${pip[@]}" install -q -c "$constraints" uv &&
        UV_HTTP_TIMEOUT=300 .venv/bin/uv pip install --python .venv/bin/python \
            --compile-bytecode -c "$constraints" -e ".[$extras]"; then
        return
    fi
    say 'Installing with pip.'
    "${pip[@]}" install -c "$constraints" -e ".[$extras]" || fail "pip could not install .[$extras]"
}

# Only the scene files of gym-aloha are read; what it requires has no wheels for Python 3.13.
install_aloha_scene() {
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' ||
        .venv/bin/python -m pip --disable-pip-version-check install -q --no-deps gym-aloha==0.1.5 ||
        fail 'pip could not install gym-aloha'
}

# Prints the first of egl and osmesa that draws a frame without a screen.
offscreen_gl() {
    local gl
    for gl in egl osmesa; do
        if MUJOCO_GL=$gl scripts/run.sh python -c '
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.Renderer(model, 8, 8).render()' >/dev/null 2>&1; then
            echo "$gl"
            return
        fi
    done
    return 1
}

main() {
    local more=${1:-} mode python constraints=requirements/constraints.txt
    # What of setup.py everything is tried with; Rerun needs numpy 2.
    local stamp gl common=train,sim,guard,cockpit,export,onnx,openvino,foxglove,dev extras
    extras=$common,rerun,ros
    # Both lead a Python to the modules of another one.
    unset _ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONHOME
    read -r mode python <<<"$(choose_python)"
    [ -n "$python" ] || exit 1
    [ "$mode" = system ] || unset PYTHONPATH
    if [ "$mode" = system ]; then
        extras=$common,rerun
        if "$python" -c 'import numpy, sys; sys.exit(int(numpy.__version__.split(".")[0]) > 1)' \
            2>/dev/null; then
            constraints=requirements/constraints-numpy1.txt
            extras=$common
        fi
    elif [ "$(uname -m)" != x86_64 ]; then
        fail "rclpy wheels exist for x86_64 only, this is $(uname -m): source a ROS 2 installation first"
    fi
    stamp="$mode $python $PWD $(cat setup.py setup.cfg "$constraints" "$0" | sha256sum)"
    [ "$(cat ".venv/set-up${more:+-$more}" 2>/dev/null)" != "$stamp" ] || return 0

    if [ "$(head -n 1 .venv/made-by 2>/dev/null)" != "$mode $python $PWD" ]; then
        say "Making .venv with $python ($("$python" -V))"
        make_venv "$mode" "$python"
        echo "$mode $python $PWD" >.venv/made-by
    fi
    say 'Installing the Python packages of requirements/ (once; 3 GB to download) ...'
    install_package "$extras${more:+,$more}" "$constraints"
    install_aloha_scene
    echo "ROS_MODE=$mode" >.venv/settings
    if ! gl=$(offscreen_gl); then
        apt_install libegl1 libgl1 libgl1-mesa-dri libopengl0
        gl=$(offscreen_gl) || { apt_install libosmesa6; gl=$(offscreen_gl); } ||
            fail 'no offscreen OpenGL: neither MUJOCO_GL=egl nor MUJOCO_GL=osmesa draws a frame'
    fi
    echo "OFFSCREEN_GL=$gl" >>.venv/settings
    echo "$stamp" >.venv/set-up
    echo "$stamp" >".venv/set-up${more:+-$more}"
    say "Ready: .venv ($mode ROS 2, offscreen rendering by $gl)"
}

main "$@"
