# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy cockpit`: a web page from which an arm is watched and driven."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from motion_policy.cli.literal import escape
from motion_policy.errors import UserError
from motion_policy.files import is_there, shown
from motion_policy.robot import load_robot_spec

GREATEST_PORT = 65535


@dataclass(frozen=True)
class Arguments:
    """Serve a web page with cameras, joints, state and STOP of an arm, and buttons and keys for
    its nodes.

    Ends with Ctrl-C. It asks the nodes for what is wanted by their services; without it they go
    on as they are.
    """

    robot: str
    """Robot spec: a YAML file, or the name of a shipped one."""

    node: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Name of a node that drives the arm; may be given again; without: policy_node, teleop_node
    and replay_node."""

    recorder: str = 'recorder_node'
    """Name of the node that records."""

    data: Path | None = None
    """Folder whose episodes are listed."""

    host: str = '127.0.0.1'
    """Address at which the page is served; beyond this machine --token-file is demanded."""

    port: int = 8500
    """Its port; 0: any that is free."""

    token_file: Path | None = None
    """File with the token that the page asks for."""

    certificate: Path | None = None
    """Certificate in PEM, for TLS."""

    key: Path | None = None
    """Its key in PEM, where that is a file of its own."""

    compressed: bool = False
    """Take images from TOPIC/compressed where somebody publishes there."""

    use_sim_time: bool = False
    """Obey /clock, as the nodes of a simulation do."""

    namespace: str = ''
    """Namespace of the node, and so of the robot's relative topics."""


def run(arguments: Arguments) -> int:
    """Serve the page until it is ended."""
    # Without ROS 2 there is help all the same.
    from motion_policy.cockpit.server import ServerSettings
    from motion_policy.nodes.cockpit_node import DRIVERS, serve_cockpit

    if not 0 <= arguments.port <= GREATEST_PORT:
        raise UserError(
            f'cockpit: --port is {arguments.port}, expected a number from 0 to {GREATEST_PORT}'
        )
    if arguments.data is not None and is_there(arguments.data) and not arguments.data.is_dir():
        raise UserError(f'{shown(arguments.data)}: is no folder, expected one of episodes')
    robot = load_robot_spec(arguments.robot)
    settings = ServerSettings(
        arguments.host, arguments.port, arguments.token_file, arguments.certificate,
        arguments.key, arguments.data,
    )  # fmt: skip
    console = Console()

    def tell(address: str) -> None:
        console.print(f'cockpit of {escape(robot.name)}: {escape(address)}', soft_wrap=True)

    return serve_cockpit(
        robot, settings, drivers=arguments.node or DRIVERS, recorder=arguments.recorder,
        namespace=arguments.namespace, compressed=arguments.compressed,
        use_sim_time=arguments.use_sim_time, tell=tell,
    )  # fmt: skip
