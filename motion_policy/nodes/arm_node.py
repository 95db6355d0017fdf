# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle of a node that drives an arm: configure, activate, brake and hold on every way out.

The node itself says what is made when it is configured and what is left to end.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from motion_policy.errors import UserError
from motion_policy.nodes.action_source import ActionSource
from motion_policy.nodes.arm_driver import ArmDriver, declare_arm_parameters
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import read_group
from motion_policy.nodes.realtime import prepare_thread_beside_tick, realtime_settings

INSPECTION_PERIOD_S, TELL_PERIOD_S = 1.0, 0.1


class ArmNode(LifecycleNode, ActionSource):
    """configure: make a driver; activate: tick; `~/enable`: move."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        declare_arm_parameters(self)
        self._driver: ArmDriver | None = None

    def _configure(self) -> None:
        """Make the driver; UserError says why not."""
        raise NotImplementedError

    def _release(self) -> None:
        """End what else was made, after the driver."""

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Make all that is needed, subscribe the robot's streams."""
        return self._transition('configure', self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start ticking; no command before `~/enable`."""
        if self._driver is not None:
            self._driver.activate()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake and hold; that command is the last on the wire."""
        if self._driver is not None:
            self._driver.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Forget all that was configured."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, hold, forget everything."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """After a defect: brake, hold, and be ready to be configured again."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def prepare_thread(self) -> None:
        """Be quick in the calling thread: the one of the callbacks calls this before they come."""
        prepare_thread_beside_tick(realtime_settings(read_group(self, ControlParameters).realtime))

    def close(self) -> None:
        """Brake and hold if the arm moves; end all that was made."""
        if self._driver is not None:
            self._driver.destroy()
            self._driver = None
        self._release()

    def _transition(self, name: str, work: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            work()
            return TransitionCallbackReturn.SUCCESS
        except UserError as error:
            self.get_logger().error(f'cannot {name}: {error}')
            self.close()
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(f'cannot {name}: {traceback.format_exc()}')
            raise

    def _start_by_itself(self) -> None:
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
