# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Transports of our nodes in Fast DDS: data out by UDP, images in through shared memory.

A process that is stopped or killed while it takes a message out of shared memory holds a lock
there. Whoever sends to it waits for that lock, up to a second each time, and rclpy holds the
interpreter meanwhile: the control tick would wait with it, whatever the topic. Sockets have no
such lock. Raw images fit only through shared memory; they come in by a participant of their own,
which sends no data.

What the user has set is left as it is. Humble cannot give two participants different transports:
there everything goes through shared memory.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal
from xml.sax.saxutils import escape

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from motion_policy.inference.environment import profile_is_ours, profile_setting
from motion_policy.share import share_dir

ImageDirection = Literal['in', 'out', 'none']

BUILTIN_TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'  # read anew for each participant
RANGE, LOCAL_ONLY, PEERS = (
    'ROS_AUTOMATIC_DISCOVERY_RANGE',
    'ROS_LOCALHOST_ONLY',
    'ROS_STATIC_PEERS',
)
SHARED_MEMORY = Path('/dev/shm')
PORT = re.compile(r'fast(dds|rtps)_port\d+')
UNFILLED_S = 1.0  # a port that lives is filled within milliseconds
PEER = '<locator><udpv4><address>{}</address></udpv4></locator>'


class ImageIntake:
    """The participant by which one node of this process receives images.

    Its subscriptions are served by who serves the node (`serving.MessagesFirst`).
    """

    def __init__(self, args: Sequence[str] | None, variables: Mapping[str, str | None]) -> None:
        self._args = args
        self._variables = variables
        self._context: Context | None = None
        self._node: Node | None = None

    @property
    def subscriptions(self) -> list[Any]:
        """Those of now."""
        return [] if self._node is None else list(self._node.subscriptions)

    def beside(self, node: Node) -> Node:
        """The node here that receives for `node`; `ros2 node list` does not show it."""
        if self._node is None:
            with _environment(self._variables):
                self._context = Context()
                rclpy.init(
                    args=None if self._args is None else list(self._args),
                    context=self._context,
                    signal_handler_options=SignalHandlerOptions.NO,
                )
                self._node = Node(
                    f'_{node.get_name()}_images',
                    namespace=node.get_namespace(),
                    context=self._context,
                    use_global_arguments=False,
                    enable_rosout=False,
                    start_parameter_services=False,
                    parameter_overrides=[Parameter('start_type_description_service', value=False)],
                )
        return self._node

    def close(self) -> None:
        """End the participant."""
        if self._node is not None:
            self._node.destroy_node()
            self._node = None
        if self._context is not None:
            self._context.try_shutdown()
            self._context = None


_intakes: list[ImageIntake] = []  # at most one: of the node that this process runs


@contextmanager
def transports(images: ImageDirection, args: Sequence[str] | None = None) -> Iterator[None]:
    """Choose the transports of the node that is made inside; `images` says which way they go."""
    _remove_unfilled_ports()
    with ExitStack() as stack:
        if _left_to_user():
            yield
        elif images == 'out' or not _apart():
            stack.enter_context(_environment(dict([profile_setting()])))
            yield
        else:
            local = _only_this_host()
            profile = stack.enter_context(_profile_by_udp(local))
            intake = ImageIntake(
                args, {name: os.environ.get(name) for name in (RANGE, LOCAL_ONLY)}
                | {BUILTIN_TRANSPORTS: 'DEFAULT'},
            )  # fmt: skip
            variables: dict[str, str | None] = {
                profile_setting()[0]: profile,
                BUILTIN_TRANSPORTS: 'UDPv4',
            }
            if local:
                variables |= {RANGE: 'SYSTEM_DEFAULT', LOCAL_ONLY: None}
            stack.enter_context(_environment(variables))
            if images == 'in':
                _intakes.append(intake)
                stack.callback(intake.close)
                stack.callback(_intakes.remove, intake)
            yield


def _remove_unfilled_ports(folder: Path = SHARED_MEMORY) -> None:
    """Remove ports of Fast DDS that were never filled: who opens one waits for that for ever.

    A process that was killed between making such a file and filling it, a moment later, left it.
    """
    for path in folder.glob('fast*_port*'):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if PORT.fullmatch(path.name) and not path.stat().st_size:
                time.sleep(
                    min(max(path.stat().st_mtime + UNFILLED_S - time.time(), 0), UNFILLED_S)
                )
                if not path.stat().st_size:
                    path.unlink()


@contextmanager
def _profile_by_udp(local: bool) -> Iterator[str]:
    """Return a profile without shared memory; `local`: on this host, and with named peers, only.

    Builtin transports come on top. Alone they serve a process whose first participant was made
    without the profile, which is read only once.
    """
    path = share_dir() / 'config' / f'fastdds_udp{"_localhost" if local else ""}.xml'
    peers = [peer.strip() for peer in os.environ.get(PEERS, '').split(';') if peer.strip()]
    if not local or not peers:
        yield str(path)
        return
    here = PEER.format('127.0.0.1')
    others = ''.join(PEER.format(escape(peer)) for peer in peers)
    with NamedTemporaryFile('w', suffix='.xml') as file:
        file.write(path.read_text(encoding='utf-8').replace(here, here + others))
        file.flush()
        yield file.name


def receiver_of_images(node: Node) -> Node:
    """The node whose subscriptions of images are heard by whoever serves `node`."""
    return _intakes[-1].beside(node) if _intakes else node


def subscriptions_of_images() -> list[Any]:
    """The subscriptions that a node of this process has elsewhere."""
    return _intakes[-1].subscriptions if _intakes else []


def subscribe_to_images(
    node: Node,
    message_type: Any,
    topic: str,
    callback: Callable[..., None],
    qos: QoSProfile,
    group: CallbackGroup | None = None,
    **options: Any,
) -> tuple[Node, Any]:
    """Subscribe to serialized images for `node`; return the node that has it, too."""
    receiver = receiver_of_images(node)
    if receiver is node:
        return node, node.create_subscription(
            message_type, topic, callback, qos, raw=True, callback_group=group, **options
        )
    if options:  # the parameters that override the QoS are the node's own
        declared = node.create_subscription(
            message_type, topic, callback, qos, raw=True, **options
        )
        qos = declared.qos_profile
        node.destroy_subscription(declared)
    name = node.resolve_topic_name(topic)
    return receiver, receiver.create_subscription(
        message_type, name, callback, qos, raw=True, callback_group=group
    )


def _left_to_user() -> bool:
    fast_dds = 'fastrtps' in rclpy.get_rmw_implementation_identifier()
    return not fast_dds or not profile_is_ours() or bool(os.environ.get(BUILTIN_TRANSPORTS))


def _apart() -> bool:
    """Whether two participants of this process can have transports of their own."""
    return os.environ.get('ROS_DISTRO') != 'humble' and os.environ.get(RANGE) != 'OFF'


def _only_this_host() -> bool:
    return os.environ.get(RANGE) == 'LOCALHOST' or os.environ.get(LOCAL_ONLY) == '1'


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables of this process, None: not at all, and put them back."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
