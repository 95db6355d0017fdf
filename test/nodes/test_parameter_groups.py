# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A group says what each of its parameters may be; what ROS 2 could not keep is refused."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from motion_policy.control.guard import CLAMPING_STAGES
from motion_policy.declared import Declared
from motion_policy.nodes.parameters.arm import ReactionParameters
from motion_policy.nodes.parameters.fields import LIVE, Change, OneOf, entries


class Inner(Declared):
    itself: bool = Field(default=True, alias='self', description='as it is called elsewhere')
    box: tuple[float, float] = Field(default=(0.0, 1.0), description='two numbers')


class Outer(Declared):
    word: Annotated[str, OneOf(('a', 'b'))] = Field(default='a', description='one of two')
    inner: Inner
    speed: Annotated[float, LIVE] = Field(default=1.0, ge=0.0, le=2.0, description='a share')
    place: Any = Field(description='what the node knows')


def test_names_types_bounds_and_changes_are_those_of_the_fields() -> None:
    word, itself, box, speed, place = entries(Outer)
    assert [entry.name for entry in (itself, box, speed)] == ['inner.self', 'inner.box', 'speed']
    assert word.choices == ('a', 'b') and word.change is Change.UNCONFIGURED
    assert (box.type, box.default, box.length) == ('double array', [0.0, 1.0], 2)
    assert (speed.type, speed.minimum, speed.maximum) == ('double', 0.0, 2.0)
    assert speed.change is Change.LIVE and speed.text == 'a share'
    assert (place.type, place.default) == ('any', None)


class OneBound(Declared):
    speed: float = Field(default=1.0, ge=0.0)


class OpenBound(Declared):
    speed: float = Field(default=1.0, gt=0.0, le=1.0)


@pytest.mark.parametrize('group', [OneBound, OpenBound])
def test_what_ros_2_would_not_keep_is_refused(group: type[Declared]) -> None:
    with pytest.raises(TypeError, match='speed'):
        list(entries(group))


def test_every_stage_that_can_be_violated_has_its_reaction() -> None:
    assert tuple(ReactionParameters.model_fields) == CLAMPING_STAGES
