# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Grippers in a robot spec: their two positions, and the action or service that moves one.

Rule: a gripper with an action or a service is sent a goal per decision, and no command topic
carries its joint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from motion_policy.declared import Declared
from motion_policy.robot.values import Finite, Seconds, Topic

SET_BOOL = 'std_srvs/srv/SetBool'
PATH = re.compile(r'[a-z]\w*(\.[a-z]\w*)*')  # of a field in a goal

Supersede: TypeAlias = Literal['replace', 'cancel']


@dataclass(frozen=True)
class KnownAction:
    """What is known of an action: the field of the position, how its servers take a new goal
    while one is under way, and fields without which it does not move.
    """

    position: str
    supersede: Supersede
    required: tuple[str, ...] = field(default=())


KNOWN_ACTIONS: Mapping[str, KnownAction] = {
    'control_msgs/action/GripperCommand': KnownAction('command.position', 'replace'),
    'control_msgs/action/ParallelGripperCommand': KnownAction('command.position', 'replace'),
    'franka_msgs/action/Move': KnownAction('width', 'cancel', ('speed',)),
    'franka_msgs/action/Grasp': KnownAction('width', 'cancel', ('speed', 'force')),
}


class GripperGoal(Declared):
    """The goal of an action: `scale * position + offset` in the field `position`.

    `goal` has the values of other fields, by their paths, the same in every goal.
    """

    name: Topic
    type: str
    position: str
    scale: Finite = 1.0
    offset: Finite = 0.0
    goal: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode='before')
    @classmethod
    def _fill_position(cls, data: Any) -> Any:
        known = _known(data)
        return {'position': known.position, **data} if known else data

    @field_validator('type')
    @classmethod
    def _type(cls, value: str) -> str:
        if not re.fullmatch(r'[a-z]\w*/action/[A-Z]\w*', value):
            raise ValueError(
                f"'{value}', expected an action type such as control_msgs/action/GripperCommand"
            )
        return value

    @field_validator('goal')
    @classmethod
    def _goal(cls, value: dict[str, Any]) -> dict[str, Any]:
        for path, given in value.items():
            values = given if isinstance(given, (list, tuple)) else [given]
            for each in values:
                known = isinstance(each, (bool, int, float, str))
                if not known or (isinstance(each, float) and not math.isfinite(each)):
                    raise ValueError(
                        f"'{path}' is {each}, expected a finite number, true or false, a text, or "
                        'a list of these'
                    )
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @model_validator(mode='after')
    def _fields(self) -> GripperGoal:
        for path in (self.position, *self.goal):
            if not PATH.fullmatch(path):
                raise ValueError(f"field '{path}', expected a path such as command.position")
        if self.position in self.goal:
            raise ValueError(f"goal has '{self.position}', which is the field of the position")
        if not self.scale:
            raise ValueError('scale is 0: open and closed would be the same')
        known = KNOWN_ACTIONS.get(self.type)
        missing = [path for path in known.required if path not in self.goal] if known else []
        if missing:
            raise ValueError(
                f"goal lacks '{missing[0]}' of {self.type}, expected its value: left out it is 0"
            )
        return self

    def value(self, position: float) -> float:
        """What is sent for a position of the joint [rad or m]."""
        return self.scale * position + self.offset


class GripperAction(GripperGoal):
    """The action that moves a gripper; where there is `closing`, that one closes it.

    A new goal replaces one under way, or is sent when that one was cancelled (`supersede`).
    """

    closing: GripperGoal | None = None
    supersede: Supersede
    on_hold: Literal['keep', 'cancel', 'open'] = 'keep'
    on_failure: Literal['hold', 'warn'] = 'hold'
    timeout: Seconds = 5.0

    @model_validator(mode='before')
    @classmethod
    def _fill_supersede(cls, data: Any) -> Any:
        known = _known(data)
        supersede = known.supersede if known else 'cancel'
        return {'supersede': supersede, **data} if isinstance(data, dict) else data

    @model_validator(mode='after')
    def _one_after_the_other(self) -> GripperAction:
        if self.closing is not None and self.supersede == 'replace':
            raise ValueError(
                "supersede is 'replace' with closing, expected 'cancel': neither of two actions "
                'knows of a goal of the other'
            )
        closing = self.closing or self
        if closing.name == self.name and closing.type != self.type:
            raise ValueError(
                f"'{self.name}' is {self.type} to open and {closing.type} to close, expected one "
                'type of an action'
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of all actions that move it."""
        return (self.name,) if self.closing is None else (self.name, self.closing.name)

    def goal_of(self, opens: bool) -> GripperGoal:
        """The one that opens it, or closes it."""
        return self if opens or self.closing is None else self.closing


class GripperService(Declared):
    """The service that switches a gripper, such as a vacuum, by true and false."""

    name: Topic
    type: Literal['std_srvs/srv/SetBool'] = 'std_srvs/srv/SetBool'
    true_is: Literal['closed', 'open'] = 'closed'
    on_hold: Literal['keep', 'open'] = 'keep'
    on_failure: Literal['hold', 'warn'] = 'hold'
    timeout: Seconds = 5.0

    @property
    def names(self) -> tuple[str, ...]:
        """Of what moves it."""
        return (self.name,)


class GripperSpec(Declared):
    """A joint that is only ever sent one of two positions [rad or m].

    It opens when its target reaches `open_at` and closes when it reaches `close_at`; between
    the two it stays as it is. With `action` or `service` it is moved by that.
    """

    open: Finite
    closed: Finite
    open_at: Finite
    close_at: Finite
    action: GripperAction | None = None
    service: GripperService | None = None

    @property
    def interface(self) -> GripperAction | GripperService | None:
        """What moves it; None: a command topic."""
        return self.action or self.service

    @model_validator(mode='after')
    def _in_order(self) -> GripperSpec:
        order = [self.closed, self.close_at, self.open_at, self.open]
        if self.open < self.closed:
            order.reverse()
        first, second, third, fourth = order
        if not first <= second < third <= fourth:
            raise ValueError(
                f'closed, close_at, open_at, open are {self.closed:g}, {self.close_at:g}, '
                f'{self.open_at:g}, {self.open:g}, expected them in this order or its reverse, '
                'close_at and open_at apart'
            )
        if self.action is not None and self.service is not None:
            raise ValueError('has action and service, expected one of them')
        return self


def check_grippers(
    grippers: Mapping[str, GripperSpec],
    names: Sequence[str],
    limits: Sequence[tuple[float, float]],
) -> None:
    """ValueError for one that is no joint of `names` (J,), or whose positions are outside of the
    limits (J,); and for two that one action or service moves.
    """
    movers: dict[str, str] = {}
    for name, gripper in grippers.items():
        if name not in names:
            raise ValueError(f"grippers has '{name}', expected only joints of names")
        low, high = limits[names.index(name)]
        for key in ('open', 'closed'):
            value = getattr(gripper, key)
            if not low <= value <= high:
                raise ValueError(
                    f'grippers.{name}.{key} is {value:g}, expected it within the limits '
                    f'[{low:g}, {high:g}]'
                )
        for mover in gripper.interface.names if gripper.interface else ():
            if (other := movers.setdefault(mover, name)) != name:
                raise ValueError(
                    f"grippers.{name} is moved by '{mover}', as grippers.{other} is, expected one "
                    'joint for it'
                )


def _known(data: Any) -> KnownAction | None:
    return KNOWN_ACTIONS.get(str(data.get('type'))) if isinstance(data, dict) else None
