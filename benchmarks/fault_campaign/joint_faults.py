# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of joint state messages, of the arm itself and of other commanders."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from fault_campaign.corrupted_messages import (
    JUMP_NS,
    few_bytes,
    in_two_parts,
    joints_stamped,
    no_joints,
    not_a_number,
    random_bytes,
    reordered,
    stalled,
    with_a_joint_twice,
    with_joints,
    without_a_joint,
    without_names,
)
from fault_campaign.fault import Evidence, Fault, Inject, disables, lasting_ns
from fault_campaign.harness import Harness
from fault_campaign.scene import JointFault

BRIEF_S = 0.08  # less than the joint state's max_age
SUNK_RAD = 0.8  # of joint 2, beyond what its tracking error may be
EDGE = 0.009  # of a joint's range
TRACKING_PATIENCE_S = 4.0
AT_LEAST_AWAY = 0.45  # rad: the default tracking error of this arm's joints
LAG_NS = 320_000_000  # of the commands that an arm may be on its way to
HEARD_NS = 60_000_000
LOOK_NS = 200_000_000  # a timer of 0.1 s, looked at every 50 ms, and what DDS takes to tell
STREAM_S = 0.4
STALE_STATE = r"(stream 'state'|(brake|disabled): .*state:).*(stale|missing)"
AHEAD_STATE = r"(stream 'state'|(brake|disabled): .*state:).*clocks disagree by"
BAD_STATE = r'state (unusable messages|dropped)='
TRACKING = r"(brake|disabled): tracking error: joint '\w+' stands at"
OTHER = 'other_driver'
FOREIGN = rf'disabled: commands on \S+ come from .*{OTHER}'
NO_LISTENER = r'(brake|disabled): .*nobody listens on'


def joints(make: Callable[[np.random.Generator], JointFault], *, at_once: bool = False) -> Inject:
    """Joint states that are corrupted; `at_once`: to be known from the first bad message."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        scene, good_ns = harness.scene, harness.scene.last_stamps_ns['state']
        begin_ns = time.time_ns()
        scene.joint_fault = make(rng)
        known_ns = good_ns + round(scene.robot.joints.state[0].max_age * 1e9)
        if at_once:
            scene.publish_joints()
            known_ns = time.time_ns()
        harness.spin_to(known_ns + lasting_ns(rng))
        return Evidence(begin_ns, known_ns, _mend(harness))

    return inject


def _briefly(
    make: Callable[[np.random.Generator], JointFault], lasts_s: float | None = BRIEF_S
) -> Inject:
    """Joint states that are corrupted for less than they may be old."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        harness.scene.joint_fault = make(rng)
        harness.spin_to(begin_ns + (lasting_ns(rng) if lasts_s is None else round(lasts_s * 1e9)))
        return Evidence(begin_ns, begin_ns, _mend(harness))

    return inject


def _mend(harness: Harness) -> int:
    harness.scene.joint_fault = None
    over_ns = time.time_ns()
    harness.scene.publish_joints()
    return over_ns


def _ahead(seconds: float) -> Fault:
    shifted = joints(joints_stamped(round(seconds * 1e9)), at_once=True)
    return disables(f'joint state: stamps {seconds:g} s ahead', 'arm', AHEAD_STATE, shifted)


def driver_restarts(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The driver is gone, the arm sinks meanwhile, and it comes back."""
    scene, good_ns = harness.scene, harness.scene.last_stamps_ns['state']
    begin_ns = time.time_ns()
    scene.fall_silent()
    scene.turn_deaf()
    known_ns = good_ns + round(scene.robot.joints.state[0].max_age * 1e9)
    harness.spin_to(known_ns + 2 * lasting_ns(rng))
    sunk = scene.sim.qpos
    sunk[1] += SUNK_RAD if sunk[1] < 0 else -SUNK_RAD
    scene.put(sunk)
    scene.speak()
    scene.listen()
    return Evidence(begin_ns, known_ns, time.time_ns())


def _off_course(begin: Callable[[Harness], None], end: Callable[[Harness], None]) -> Inject:
    """An arm that is not where it is told to be.

    To be known when it is measured further from its last commands than it may be.
    """

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        begin(harness)
        log = harness.scene.log
        known_ns: int | None = None

        def away() -> bool:
            if harness.journal.state in ('brake', 'disabled'):
                return True
            now_ns = time.time_ns()
            if now_ns - log.last_ns > HEARD_NS:  # later commands are still on their way to us
                return False
            recent = np.array(log.positions[-max(2, log.since(now_ns - LAG_NS)) :])
            seen = (
                harness.scene.sim.qpos if harness.scene.encoder is None else harness.scene.encoder
            )
            low, high = recent.min(axis=0), recent.max(axis=0)
            error = np.maximum(np.maximum(low - seen, seen - high), 0.0)
            return bool((error[:4] > AT_LEAST_AWAY).any())

        if harness.spin_until(away, TRACKING_PATIENCE_S):
            known_ns = time.time_ns()
        harness.spin(0.3)
        end(harness)
        return Evidence(begin_ns, known_ns, time.time_ns())

    return inject


def _block(harness: Harness) -> None:
    harness.scene.blocked = True
    _lead_away(harness)


def _unblock(harness: Harness) -> None:
    harness.scene.blocked = False
    harness.ask_policy('', 0)


def _freeze_encoder(harness: Harness) -> None:
    harness.scene.encoder = harness.scene.sim.qpos
    _lead_away(harness)


def _mend_encoder(harness: Harness) -> None:
    harness.scene.encoder = None
    harness.ask_policy('', 0)


def _lead_away(harness: Harness) -> None:
    """The policy wants the arm far away, so that one which stays is seen to."""
    harness.ask_policy('far', 200)


def _sink(harness: Harness) -> None:
    # The camera lets the arm hold; then it sinks.
    harness.scene.image_fault = lambda message: []
    harness.spin(0.35)
    harness.scene.sinks_by[1] = SUNK_RAD if harness.scene.sim.qpos[1] < 0 else -SUNK_RAD


def _lift(harness: Harness) -> None:
    harness.scene.image_fault = None
    harness.scene.sinks_by[1] = 0.0


def at_the_edge(harness: Harness, rng: np.random.Generator) -> Evidence:
    """A joint stands a little outside its limits when the arm is enabled."""
    harness.disable()
    begin_ns = time.time_ns()
    limits = harness.scene.robot.joints.limits.position_array()
    position = harness.scene.sim.qpos
    joint, side = 0, int(rng.integers(2))
    span = limits[joint, 1] - limits[joint, 0]
    position[joint] = limits[joint, side] + EDGE * span * (1 if side else -1)
    harness.scene.put(position)
    harness.spin(0.2)
    problem = '' if harness.enable() else 'not enabled at the edge'
    return Evidence(begin_ns, None, time.time_ns(), problem)


def _commands_of_another(harness: Harness, node: Node, count: int, period_s: float = 0.02) -> int:
    """Send marked copies of the last command; return when the first was sent."""
    publisher = node.create_publisher(
        Float64MultiArray, harness.scene.robot.joints.command[0].topic, 10
    )
    harness.spin(0.3)  # until the endpoints know each other
    last = np.array(harness.scene.log.positions[-1])
    first_ns = 0
    for number in range(count):
        marked = last + 1e-6 * (number + 1)
        harness.scene.foreign.add(marked.tobytes())
        first_ns = first_ns or time.time_ns()
        publisher.publish(Float64MultiArray(data=marked.tolist()))
        harness.spin(period_s)
    return first_ns


def another_commands(count: int) -> Inject:
    """Another node commands the arm, too."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns, node = time.time_ns(), harness.new_node(OTHER)
        known_ns = _commands_of_another(harness, node, count)
        over_ns = time.time_ns()
        harness.remove_node(node)
        return Evidence(begin_ns, known_ns, over_ns)

    return inject


def enabled_beside_another(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The arm is to be enabled while another node commands it."""
    harness.disable()
    begin_ns, node = time.time_ns(), harness.new_node(OTHER)
    _commands_of_another(harness, node, round(STREAM_S / 0.02))
    problem = harness.granted()
    over_ns = time.time_ns()
    harness.remove_node(node)
    return Evidence(begin_ns, begin_ns, over_ns, problem)


def nobody_listens(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The arm's subscription goes, and comes back."""
    begin_ns = time.time_ns()
    harness.scene.turn_deaf()
    known_ns = begin_ns + LOOK_NS
    harness.spin_to(known_ns + lasting_ns(rng))
    harness.scene.listen()
    return Evidence(begin_ns, known_ns, time.time_ns())


def _bad(name: str, make: Callable[..., JointFault]) -> Fault:
    return Fault(f'joint state: {name}', 'arm', 'go on', BAD_STATE, _briefly(make))


JOINT_FAULTS = (
    disables('joint state: stalls', 'arm', STALE_STATE, joints(stalled)),
    Fault('joint state: out of order', 'arm', 'go on', '', _briefly(reordered, None)),
    Fault('joint state: in two parts', 'arm', 'go on', '', _briefly(in_two_parts, None)),
    disables('joint state: loses a joint', 'arm', STALE_STATE, joints(without_a_joint)),
    disables(
        'joint state: NaN or infinity', 'arm', r"joint '\w+'.*(nan|inf)", joints(not_a_number)
    ),
    disables(
        'joint state: stamps 10 s behind', 'arm', STALE_STATE, joints(joints_stamped(-JUMP_NS))
    ),
    *(_ahead(seconds) for seconds in (0.1, 0.5, 3.0)),
    Fault('joint state: NaN for a moment', 'arm', 'go on', '', _briefly(not_a_number)),
    Fault('joint state: no names for a moment', 'arm', 'go on', '', _briefly(without_names)),
    Fault('joint state: a joint twice', 'arm', 'go on', '', _briefly(with_a_joint_twice)),
    _bad('messages of 6 bytes', with_joints(few_bytes)),
    _bad('random bytes', with_joints(random_bytes)),
    disables('joint state: bytes only', 'arm', STALE_STATE, joints(no_joints(random_bytes))),
    disables('arm: its driver restarts, and it has sunk', 'arm', STALE_STATE, driver_restarts),
    disables('arm: sinks while it holds', 'arm', TRACKING, _off_course(_sink, _lift)),
    Fault('arm: 0.9 % outside at enable', 'arm', 'limits', '', at_the_edge, 'either', every=2),
    disables('arm: nobody listens', 'arm', NO_LISTENER, nobody_listens),
    disables('commands: one of another node', 'arm', FOREIGN, another_commands(1)),
    disables('commands: many of another node', 'arm', FOREIGN, another_commands(15)),
    Fault(
        'commands: enabled beside another node', 'arm', 'silence',
        r'not enabled: .*other_driver', enabled_beside_another, 'operator', every=2,
    ),
    disables('arm: blocked', 'policy', TRACKING, _off_course(_block, _unblock)),
    disables(
        'arm: encoder frozen', 'policy', TRACKING, _off_course(_freeze_encoder, _mend_encoder)
    ),
)  # fmt: skip
