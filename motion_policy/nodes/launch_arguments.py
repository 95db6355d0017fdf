# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by the launch files: launch arguments, node actions, middleware settings.

An argument that is left empty says nothing: then the parameter file decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from motion_policy.inference.environment import middleware_profile
from motion_policy.share import share_dir

LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
TRUTH = {'true': True, 'false': False}  # of arguments, in large or small letters
RESPAWN_DELAY_S = 2.0

Default = str | bool | type[bool]


class OurNode:
    """A node of this package in a launch file: its arguments become its parameters.

    `arguments` maps a parameter's name to its default and description; a default of '' leaves
    the parameter to the file, and so does `bool`, for one that is true or false. A `clock_source`
    publishes /clock when the others use it.
    """

    def __init__(
        self,
        executable: str,
        arguments: Mapping[str, tuple[Default, str]] | None = None,
        environment: Mapping[str, str] | None = None,
        clock_source: bool = False,
    ) -> None:
        self.executable = executable
        self.arguments = dict(arguments or {})
        self.environment = dict(environment or {})
        self.clock_parameter = 'publish_clock' if clock_source else 'use_sim_time'

    def action(self, context: LaunchContext) -> Action:
        """Return the launch action with the values that the arguments have now."""
        given = {name: context.launch_configurations[name] for name in self.arguments}
        values: dict[str, bool | ParameterValue] = {
            name: typed(text, self.arguments[name][0]) for name, text in given.items() if text
        }
        values[self.clock_parameter] = truth(context.launch_configurations['use_sim_time'])
        level = context.launch_configurations['log_level']
        return Node(
            package='motion_policy',
            executable=self.executable,
            name=self.executable,
            namespace=LaunchConfiguration('namespace'),
            parameters=[LaunchConfiguration('params_file'), values],
            additional_env=self.environment,
            arguments=['--ros-args', '--log-level', level],
            respawn=truth(context.launch_configurations['use_respawn']),
            respawn_delay=RESPAWN_DELAY_S,
            output='screen',
        )


def truth(text: str) -> bool:
    """Return what a launch argument that is true or false says."""
    try:
        return TRUTH[text.lower()]
    except KeyError:
        raise RuntimeError(f"an argument is '{text}'; expected true or false") from None


def typed(text: str, default: Default) -> bool | ParameterValue:
    """Return the text of a launch argument as a parameter of the type of its default."""
    # Without its type a task called 5 would become a number.
    if default is bool or isinstance(default, bool):
        return truth(text)
    return ParameterValue(text, value_type=str)


def launch_nodes(*nodes: OurNode) -> LaunchDescription:
    """Return the description of these nodes with the usual arguments."""
    usual = [
        DeclareLaunchArgument('namespace', default_value='', description='Of all nodes here'),
        DeclareLaunchArgument(
            'params_file',
            default_value=str(share_dir() / 'config' / 'nodes.yaml'),
            description='Parameters of the nodes; arguments that are not empty win over it',
        ),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', description='Obey /clock: true or false'
        ),
        DeclareLaunchArgument(
            'use_respawn',
            default_value='false',
            description='Start a node that ended again; an arm then waits for ~/enable',
        ),
        DeclareLaunchArgument(
            'log_level', default_value='info', choices=list(LOG_LEVELS), description='What to tell'
        ),
    ]
    own = {name: argument for node in nodes for name, argument in node.arguments.items()}
    declared = [_declared(name, *argument) for name, argument in own.items()]
    start = OpaqueFunction(function=lambda context: [node.action(context) for node in nodes])
    return LaunchDescription([*usual, *declared, *middleware_settings(), start])


def middleware_settings() -> list[Action]:
    """Return the action that makes Fast DDS carry raw images; none if the user has a profile."""
    return [SetEnvironmentVariable(name, value) for name, value in middleware_profile().items()]


def _declared(name: str, default: Default, description: str) -> Action:
    if isinstance(default, bool):
        return DeclareLaunchArgument(
            name,
            default_value=str(default).lower(),
            description=description,
        )
    if default is bool:
        return DeclareLaunchArgument(
            name, default_value='', choices=['', *TRUTH], description=description
        )
    return DeclareLaunchArgument(name, default_value=default, description=description)
