# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Services `~/enable`, `~/home` and `~/reset` of a node that moves an arm.

One rule: each answer says in one line what happened, or why not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from motion_policy.errors import UserError


class ArmServices:
    """Serves them: each call returns what happened, UserError says why not."""

    def __init__(
        self,
        node: Node,
        enable: Callable[[], str],
        disable: Callable[[], str],
        reset: Callable[[], str],
        home: Callable[[], str],
    ) -> None:
        self._node = node
        self._enable, self._disable, self._reset = enable, disable, reset
        self._home = home
        node.create_service(SetBool, '~/enable', self._serve_enable)
        node.create_service(Trigger, '~/reset', self._serve_reset)
        node.create_service(Trigger, '~/home', self._serve_home)

    def _serve_enable(self, request: Any, response: Any) -> Any:
        return self.answer(response, self._enable if request.data else self._disable)

    def _serve_reset(self, _request: Any, response: Any) -> Any:
        return self.answer(response, self._reset)

    def _serve_home(self, _request: Any, response: Any) -> Any:
        return self.answer(response, self._home)

    def answer(self, response: Any, action: Callable[[], str]) -> Any:
        """Fill and log the response of a service by what an action did, or why it did not."""
        try:
            response.success, response.message = True, action()
            self._node.get_logger().info(response.message)
        except UserError as error:
            response.success, response.message = False, str(error)
            self._node.get_logger().error(response.message)
        return response
