# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to every stream of a robot, which store the newest message and do no more.

Callbacks never decode: a message goes undecoded into the sampler, with both of its times. Where
few images are used, that of a camera stays as it came until somebody looks at it. One that is
damaged is dropped and counted.
"""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from motion_policy.episodes.message_recorder import BagMessage
from motion_policy.errors import UserError
from motion_policy.nodes.bad_messages import BadMessages
from motion_policy.nodes.endpoints import Origin, full_name, publishers, with_origin
from motion_policy.nodes.executor import LeftAlone
from motion_policy.nodes.joint_publishers import JointPublishers
from motion_policy.nodes.reception import MessageNumbers, Reception, Waiting, take_waiting
from motion_policy.nodes.shell import SOURCES
from motion_policy.nodes.transform_publishers import TransformPublishers
from motion_policy.nodes.transports import subscribe_to_images
from motion_policy.robot import JointTopic, RobotSpec, VectorSpec
from motion_policy.robot.spec import COMPRESSED_IMAGE, IMAGE, StreamSpec
from motion_policy.robot.vector import TRANSFORMS
from motion_policy.streams import Row, Sample, StreamCounters
from motion_policy.streams.message_fields import FieldType, field_type
from motion_policy.streams.messages import stamp_ns
from motion_policy.streams.samples import Unreadable
from motion_policy.streams.transforms import TransformMessage
from motion_policy.streams.wire import image_on_wire, stamp_on_wire

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

IMAGES = ('camera', 'depth')  # roles of images
ROLES = (*IMAGES, 'state', 'leader', 'vector')
QUEUE_DEPTH = 5  # of each subscription: who wants the newest has no use for many
STATIC_DEPTH = 100  # each of many publishers may say one transform at once
VECTORS_FASTER = 20  # than joint states: forces come at 1 kHz

_RELIABILITY, _DURABILITY = QoSReliabilityPolicy, QoSDurabilityPolicy
# A publisher is heard by each of these that asks for no more than it offers. What one of them
# loses another brings.
OFFERS = (
    (_RELIABILITY.RELIABLE, _DURABILITY.TRANSIENT_LOCAL),
    (_RELIABILITY.RELIABLE, _DURABILITY.VOLATILE),
    (_RELIABILITY.BEST_EFFORT, _DURABILITY.VOLATILE),
)
ONLY_NEW = OFFERS[1:]  # without what a latching publisher said before; most fit both


class SerializedMessage:
    """A message as it came over the wire, which begins with a header.

    Its fields are there as in any other message; the pixels of a raw image stay where they lie.
    UserError where it is damaged.
    """

    __slots__ = ('_message', 'stamp_ns')

    def __init__(self, data: bytes, message_type: Any) -> None:
        # All of it is looked at here: whoever reads its fields later has no use for an error.
        found = image_on_wire(data) if message_type is Image else None
        self._message: Any = found or deserialized(data, message_type)
        self.stamp_ns = stamp_on_wire(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


def deserialized(data: bytes, message_type: Any) -> Any:
    """The message in these bytes. UserError where there is none."""
    try:
        return deserialize_message(data, message_type)
    except Exception as error:  # each middleware has its own
        raise UserError(
            f'message of {len(data)} bytes, which are no {message_type.__name__}: {error}'
        ) from error


class SamplePort(Protocol):
    """Where the samples go: a `Sampler` or a `GridSampler`."""

    def push(self, name: str, sample: Sample) -> Any:
        """Take one sample of the stream `name`."""


def message_class(type_name: str) -> Any:
    """The class of `sensor_msgs/msg/Image`; UserError when there is none."""
    try:
        package, kind, name = type_name.split('/')
        found = importlib.import_module(f'{package}.{kind}')
    except ValueError:
        raise UserError(
            f"message type '{type_name}' is none; expected e.g. sensor_msgs/msg/Image"
        ) from None
    except ImportError as error:
        raise UserError(
            f"message type '{type_name}' is not known here: package '{package}' is not installed, "
            'or its workspace is not sourced'
        ) from error
    if not hasattr(found, name):
        raise UserError(
            f"message type '{type_name}' is not known here: package '{package}' has no such one"
        )
    return getattr(found, name)


def fields_of(type_name: str) -> dict[str, FieldType]:
    """The fields of a message type; UserError where it is not known here."""
    fields = message_class(type_name).get_fields_and_field_types()
    return {name: field_type(text) for name, text in fields.items()}


def sensor_qos(depth: int = QUEUE_DEPTH, reliable: bool = False) -> QoSProfile:
    """Keep-last, volatile; best effort unless asked, so that it matches every publisher."""
    policies = QoSReliabilityPolicy
    return QoSProfile(
        depth=depth, reliability=policies.RELIABLE if reliable else policies.BEST_EFFORT
    )


def subscribe_to_all(
    node: Node,
    message_type: Any,
    topic: str,
    callback: Callable[..., None],
    depth: int,
    offers: Iterable[tuple[QoSReliabilityPolicy, QoSDurabilityPolicy]] = OFFERS,
    *,
    raw: bool = False,
) -> list[Any]:
    """Hear every publisher of a topic as surely as it offers; a message may come three times.

    With `raw` the callback gets its bytes.
    """
    # Some fit not every publisher, which is nothing to be warned of.
    return [
        node.create_subscription(
            message_type,
            topic,
            callback,
            QoSProfile(depth=depth, reliability=reliability, durability=durability),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=raw,
        )
        for reliability, durability in offers
    ]


class StreamSubscriptions:
    """Subscribes the streams of `robot` and pushes each raw message into `sampler`.

    `lock` is held during a push; hold it also while reading the sampler in another thread.
    `roles` (`camera`, `state`, `leader`, `vector`, `depth`) leaves out the streams that are not
    needed. Joint states wait in a queue of `depth` messages, vectors of `VECTORS_FASTER` times as
    many, images of `image_depth`.
    With `serialized_images` those of cameras and depth are `SerializedMessage`;
    `on_image(name, message)` sees each of them before it is in the sampler.
    With `left_waiting` no executor takes them: `take_waiting` does, and they count as received
    when the middleware had them, not when they were taken. Where it does not say when that was,
    they are taken at once all the same, images while there is room.
    `on_message` is given every message as it came, damaged ones too.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        sampler: SamplePort,
        *,
        roles: Iterable[str] = ROLES,
        reliable: bool = False,
        depth: int = QUEUE_DEPTH,
        image_depth: int = QUEUE_DEPTH,
        lock: threading.Lock | None = None,
        serialized_images: bool = False,
        on_image: Callable[[str, Any], None] | None = None,
        left_waiting: bool = False,
        on_message: Callable[[BagMessage], None] | None = None,
    ) -> None:
        self._node = node
        self._left_waiting = left_waiting
        self._has_room: Callable[[int], bool] = lambda _until_ns: True
        self._waiting: dict[str, Waiting] = {}
        self._sampler = sampler
        self._on_image = on_image
        self._on_message = on_message
        self._serialized_images = serialized_images
        self.bad_messages = BadMessages.of(node)
        self.lock = lock or threading.Lock()
        wanted = set(roles)
        self.streams = {s.name: s for s in robot.streams() if s.role in wanted}
        self.received = dict.fromkeys(self.streams, 0)
        self.own = dict.fromkeys(self.streams, 0)  # without those of other arms' joints only
        self._joint_names = {
            name: frozenset(stream.source.message_names)
            for name, stream in self.streams.items()
            if isinstance(stream.source, JointTopic)
        }
        self._joint_depth, self._image_depth = depth, image_depth
        self._told: set[tuple[str, str]] = set()
        self._publishing: dict[str, frozenset[str]] = {}  # nodes that publish a vector
        self._senders: dict[str, JointPublishers | TransformPublishers] = {
            name: JointPublishers(node, stream.source)
            for name, stream in self.streams.items()
            if isinstance(stream.source, JointTopic)
        }
        # Streams of one topic take the same messages: each is received once, as in a bag.
        self._on_topic: dict[tuple[str, str], list[str]] = {}
        for name, stream in self.streams.items():
            self._on_topic.setdefault((stream.topic, stream.type), []).append(name)
        for (topic, kind), names in self._on_topic.items():
            if kind == TRANSFORMS:
                self._senders[names[0]] = TransformPublishers(node, topic)
        self._subscriptions = {
            names[0]: self._subscribe(
                self.streams[names[0]],
                sensor_qos(self._depth(names[0]), reliable),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for names in self._on_topic.values()
        }
        self._static_subscriptions = [
            subscription
            for topic, names in self._on_static_topic().items()
            for subscription in self._subscribe_static(topic, names)
        ]
        # By those of the robot spec; a topic that is none was refused above.
        topics = {stream.topic for stream in self.streams.values()} | {*self._on_static_topic()}
        self.full_topics = {topic: node.resolve_topic_name(topic) for topic in topics}

    def _on_static_topic(self) -> dict[str, list[str]]:
        """The streams for which each topic of transforms that do not move is heard."""
        on_topic: dict[str, list[str]] = {}
        for name, stream in self.streams.items():
            if isinstance(stream.source, VectorSpec) and stream.source.static_topic is not None:
                on_topic.setdefault(stream.source.static_topic, []).append(name)
        return on_topic

    def _subscribe_static(self, topic: str, names: list[str]) -> list[Any]:
        """Hear what was said once before this node began, and by whoever says it only once."""
        clock = self._node.get_clock()

        def store(data: bytes) -> None:
            receive_ns = clock.now().nanoseconds
            sample = Sample(0, receive_ns, TransformMessage(data, is_static=True))
            with self.lock:
                for name in names:
                    self._sampler.push(name, sample)
                    self.received[name] += 1
            if self._on_message is not None:
                full_topic = self.full_topics[topic]
                self._on_message(BagMessage(full_topic, receive_ns, receive_ns, data))

        return subscribe_to_all(
            self._node, message_class(TRANSFORMS), topic, store, STATIC_DEPTH, raw=True
        )

    def _subscribe(self, stream: StreamSpec, qos: QoSProfile, **options: Any) -> tuple[Node, Any]:
        """The subscription, and the node that has it."""
        is_image = stream.role in IMAGES
        subscribe = subscribe_to_images if is_image else _subscribe_here
        reception, group = None, None
        if self._left_waiting:
            reception = Reception(self._node.get_clock())
            group = LeftAlone(partial(self._is_left, stream.name, reception))
        message_type, store = message_class(stream.type), self._store_in(stream, reception)
        try:
            receiver, subscription = subscribe(
                self._node, message_type, stream.topic, store, qos, group, **options
            )
        except (NameValidationException, RuntimeError) as error:  # of rclpy, and of rcl
            reason = SOURCES.sub('', ' '.join(str(error).split())).removesuffix(' ^')
            raise UserError(
                f"stream '{stream.name}' on topic {stream.topic} ({stream.type}): cannot be "
                f'subscribed to: {reason}'
            ) from error
        if reception is not None:
            self._waiting[stream.name] = Waiting(
                subscription, reception, self.bad_messages, is_image=is_image
            )
        return receiver, subscription

    def _is_left(self, name: str, reception: Reception) -> bool:
        """Whether to let messages wait: not where they count as received when they are taken."""
        waiting = self._waiting[name]
        return reception.is_told or (waiting.is_image and not self._has_room(waiting.until_ns))

    def take_waiting(self, has_room: Callable[[int], bool]) -> int:
        """Take what waits, images while `has_room(until_ns)`, in the thread that serves the node.

        Returns the time [ns] before which nothing is left that was received; what is under way
        within the middleware comes a moment later.
        """
        self._has_room = has_room
        now_ns = self._node.get_clock().now().nanoseconds
        return take_waiting(self._waiting.values(), now_ns, has_room)

    def _depth(self, name: str) -> int:
        """How many messages wait while this process has to: of the same time, whatever rate."""
        role = self.streams[name].role
        if role in IMAGES:
            return self._image_depth
        return self._joint_depth * (VECTORS_FASTER if role == 'vector' else 1)

    def _store_in(self, stream: StreamSpec, reception: Reception | None) -> Callable[..., None]:
        clock = self._node.get_clock()
        names, type_of_it = self._on_topic[stream.topic, stream.type], message_class(stream.type)
        as_it_came = self._serialized_images and stream.role in IMAGES
        senders = [self._senders[name] for name in names if name in self._senders]
        numbers = MessageNumbers()

        def store(
            data: bytes, publisher: bytes | None, receive_ns: int, missing: int | None
        ) -> None:
            message: Any
            if stream.type == TRANSFORMS:
                message, header_ns = TransformMessage(data), 0
            elif as_it_came:
                message = SerializedMessage(data, type_of_it)
                header_ns = message.stamp_ns
                if self._on_image is not None:
                    for name in names:
                        self._on_image(name, message)
            else:
                message = deserialized(data, type_of_it)
                header_ns = stamp_ns(message)
            if publisher is not None:
                for each in senders:
                    each.heard(publisher, message)
            sample = Sample(header_ns, receive_ns, message, missing=missing)
            with self.lock:
                for name in names:
                    self._sampler.push(name, sample)
                    self.received[name] += 1
                    self.own[name] += not self._is_foreign(name, message)

        def store_if_usable(data: bytes, origin: Origin) -> None:
            now_ns = clock.now().nanoseconds
            receive_ns = now_ns if reception is None else reception.of(origin, now_ns)
            missing = numbers.missing_before(origin)
            try:
                store(data, origin.publisher, receive_ns, missing)
            except Exception as error:
                unreadable = Sample(0, receive_ns, Unreadable(str(error)), missing=missing)
                for name in names:
                    self.bad_messages.add(name, error, f"stream '{name}' on topic {stream.topic}")
                    with self.lock:
                        self._sampler.push(name, unreadable)
            if self._on_message is not None:
                topic = self.full_topics[stream.topic]
                publish_ns = origin.stamp_ns or receive_ns
                self._on_message(BagMessage(topic, receive_ns, publish_ns, data))

        return with_origin(store_if_usable)

    def _is_foreign(self, name: str, message: Any) -> bool:
        """Whether it names joints, and none of the stream's."""
        wanted = self._joint_names.get(name)
        if wanted is None:
            return False
        found = getattr(message, 'name', ()) or getattr(message, 'joint_names', ())
        return bool(found) and wanted.isdisjoint(found)

    def describe(self, name: str, *, arrives: bool = False) -> str:
        """One line on the stream's topic: its full name, its type and who publishes there.

        With `arrives` messages come, though the graph may know of no publisher yet.
        """
        stream = self.streams[name]
        topic = self._node.resolve_topic_name(stream.topic)
        infos = self._node.get_publishers_info_by_topic(topic)
        others = sorted({info.topic_type for info in infos} - {stream.type})
        if others:
            state = f'published there as {", ".join(others)}'
        elif not infos and not arrives:
            compressed = self._compressed_there(stream, topic)
            state = f'no publisher there{compressed or self._in_another_namespace(stream)}'
        else:
            publishers = f'{len(infos)} publisher(s), ' if infos else ''
            state = f'{publishers}{self.received[name]} messages received'
        if self.bad_messages.count(name):
            state += f', {self.bad_messages.count(name)} dropped as unusable'
        return f"stream '{name}' on topic {topic} ({stream.type}): {state}"

    def _compressed_there(self, stream: StreamSpec, topic: str) -> str:
        kinds = ('compressedDepth', 'compressed') if stream.role == 'depth' else ('compressed',)
        for there in (f'{topic}/{kind}' for kind in kinds if stream.type == IMAGE):
            if self._node.count_publishers(there):
                return (
                    f', but on {there}: expected that in the robot spec, with type '
                    f'{COMPRESSED_IMAGE}'
                )
        return ''

    def _in_another_namespace(self, stream: StreamSpec) -> str:
        ours = {self._node.resolve_topic_name(other.topic) for other in self.streams.values()}
        name = f'/{stream.topic.strip("/")}'
        for there, types in sorted(self._node.get_topic_names_and_types()):
            if there in ours or stream.type not in types or not there.endswith(name):
                continue
            if self._node.count_publishers(there):
                return (
                    f', but on {there}: expected this node in that namespace, or that topic in '
                    'the robot spec'
                )
        return ''

    def check(self, row: Row | None) -> None:
        """Match what publishers offer, and log once what cannot be taken; to be called often."""
        for name, stream in self.streams.items():
            self._match_offers(name, stream)
            if stream.role == 'vector' and stream.type != TRANSFORMS:  # of which many publish some
                self._tell_several(name, stream)
        for name, senders in self._senders.items():
            for line in senders.look():
                topic = self._node.resolve_topic_name(self.streams[name].topic)
                self._node.get_logger().warning(f"stream '{name}' on topic {topic}: {line}")
        self._tell_left_out({} if row is None else row.counters)

    def _match_offers(self, name: str, stream: StreamSpec) -> None:
        """Subscribe as best effort where a publisher offers no more: it is not heard otherwise."""
        receiver, subscription = self._subscriptions.get(name, (self._node, None))
        if subscription is None or _is_best_effort(subscription):
            return
        topic = self._node.resolve_topic_name(stream.topic)
        if any(map(_is_best_effort, self._node.get_publishers_info_by_topic(topic))):
            qos = copy.copy(subscription.qos_profile)
            qos.reliability = QoSReliabilityPolicy.BEST_EFFORT
            receiver.destroy_subscription(subscription)
            self._subscriptions[name] = self._subscribe(stream, qos)
            self._node.get_logger().info(
                f"stream '{name}' on topic {topic}: a publisher offers best effort only: "
                'subscribed as that, not reliable'
            )

    def _tell_several(self, name: str, stream: StreamSpec) -> None:
        """Warn once of several nodes that publish a vector, at two looks: one may have ended."""
        topic = self._node.resolve_topic_name(stream.topic)
        infos = publishers(self._node, topic, stream.type)
        nodes = frozenset(filter(None, map(full_name, infos)))
        lasting = len(nodes) > 1 and nodes == self._publishing.get(name)
        self._publishing[name] = nodes
        if lasting and (name, 'several') not in self._told:
            self._told.add((name, 'several'))
            self._node.get_logger().warning(
                f"stream '{name}' on topic {topic}: comes from several publishers, "
                f'{" and ".join(sorted(nodes))}: the newest counts; expected one'
            )

    def _tell_left_out(self, counted: Mapping[str, StreamCounters]) -> None:
        for name, counters in counted.items():
            for line in filter(None, counters.left_out.split('; ')):
                field = name, line.partition(' ')[0]
                if field not in self._told:
                    self._told.add(field)
                    topic = self.streams[name].topic
                    self._node.get_logger().warning(f"stream '{name}' on topic {topic}: {line}")

    def silent(self) -> list[str]:
        """`describe` of every stream that has not spoken yet."""
        return [self.describe(name) for name, count in self.received.items() if not count]

    def destroy(self) -> None:
        """Remove the subscriptions from the node."""
        for receiver, subscription in self._subscriptions.values():
            receiver.destroy_subscription(subscription)
        for subscription in self._static_subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions, self._static_subscriptions = {}, []


def _subscribe_here(
    node: Node,
    message_type: Any,
    topic: str,
    callback: Any,
    qos: QoSProfile,
    group: CallbackGroup | None = None,
    **options: Any,
) -> tuple[Node, Any]:
    # Serialized, so that a damaged one is ours to count.
    return node, node.create_subscription(
        message_type, topic, callback, qos, raw=True, callback_group=group, **options
    )


def _is_best_effort(endpoint: Any) -> bool:
    return bool(endpoint.qos_profile.reliability == QoSReliabilityPolicy.BEST_EFFORT)
