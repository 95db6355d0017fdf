# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The prediction-error monitoring that the parameters ask for.

Without them nobody does.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import Float64

from motion_policy.control import Controller
from motion_policy.control.foresight import OwnForesight
from motion_policy.control.lookahead import Plan
from motion_policy.errors import UserError
from motion_policy.inference.foresight_setup import ForesightSetup
from motion_policy.inference.foresight_sources import ForesightSource, OwnSource, PlanSource
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.nodes.foresight_watch import ForesightWatch
from motion_policy.nodes.parameters.arm import RealtimeParameters
from motion_policy.nodes.parameters.policy import OWN, ForesightReaction, PolicyParameters
from motion_policy.nodes.realtime import prepare_thread_beside_tick, realtime_settings
from motion_policy.policies import PolicySpec
from motion_policy.policies.checkpoint import read_checkpoint


def make_foresight(
    node: Node,
    parameters: PolicyParameters,
    realtime: RealtimeParameters,
    policy: PolicySetup,
    controller: Controller,
    current_plan: Callable[[], Plan | None],
    publish: Callable[[Float64], None],
) -> ForesightSource | None:
    """Begin the watch that the parameters ask for; UserError says why it cannot be.

    Args:
        node: who tells of it.
        parameters: who watches, and what an error over its limit leads to.
        realtime: what the threads beside the tick get.
        policy: what is watched.
        controller: what follows it.
        current_plan: says what the controller follows now; called in the tick thread.
        publish: takes the score of every prediction error.
    """
    asked = parameters.foresight
    checkpoint = asked.checkpoint
    if not checkpoint:
        return None
    watched = policy.checkpoint.spec
    try:
        if checkpoint == OWN:
            watch = _make_watch(
                node, watched, controller, publish, f"'{policy.checkpoint.name}' itself",
                asked.reaction,
            )  # fmt: skip
            return OwnSource(OwnForesight(watched, watched.foresight), watch)
        predictor = read_checkpoint(checkpoint)
        setup = ForesightSetup(predictor, policy.robot, policy.device, asked.threads)
        _check_camera(setup, watched)
        watch = _make_watch(
            node, setup.spec, controller, publish, f"'{checkpoint}'", asked.reaction
        )
        source = PlanSource(setup, watch, current_plan, parameters.inference.start_timeout)
        settings = realtime_settings(realtime)
        source.start(node.get_logger().info, lambda: prepare_thread_beside_tick(settings))
        return source
    except UserError as error:
        raise UserError(f'foresight: {error}') from None


def _make_watch(
    node: Node,
    spec: PolicySpec,
    controller: Controller,
    publish: Callable[[Float64], None],
    source: str,
    reaction: ForesightReaction,
) -> ForesightWatch:
    if spec.foresight is None:
        lacks = f'{source} has no limits, which `motion-policy calibrate` finds'
        if reaction == 'hold':
            raise UserError(f'{lacks}: without them the arm cannot hold at a prediction error')
        node.get_logger().warning(f'foresight: {lacks}: nothing is an alarm, errors are told')
    return ForesightWatch(node.get_logger(), controller, publish, source, reaction)


def _check_camera(setup: ForesightSetup, watched: PolicySpec) -> None:
    for camera in setup.cameras:
        if camera not in watched.cameras:
            known = ', '.join(watched.cameras) or 'none'
            raise UserError(
                f"{setup.checkpoint.name}: looks through camera '{camera}', the policy through "
                f'{known}; expected one of these'
            )
