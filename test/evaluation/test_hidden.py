# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The components of hidden states are those of the formula that made them, and can be seen."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from motion_policy.evaluation.hidden_state_plots import (
    DRAWN_PER_GROUP,
    condition_colours,
    group,
    hidden_figure,
)
from motion_policy.evaluation.hidden_state_video import project, write_hidden_state_video
from motion_policy.evaluation.hidden_states import (
    HiddenStates,
    HiddenTrajectory,
    analyse,
    principal_components,
)
from motion_policy.evaluation.plots import png_bytes

STEPS = 40
# A frame of R^6 at right angles, from a formula.
FRAME = np.linalg.qr(np.sin(np.arange(36.0).reshape(6, 6) ** 1.5))[0]


def states(offset: float = 0.0, steps: int = STEPS) -> np.ndarray:
    """A loop in R^6: widths 4, 2 and 1 along three directions, and where it stands."""
    turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    loop = np.stack([4 * np.cos(turn), 2 * np.sin(turn), np.cos(2 * turn) + offset], axis=1)
    return (loop @ FRAME[:3] + 0.3).astype(np.float32)


def five_positions(trials: int = 2) -> HiddenStates:
    """Loops beside each other, as of trials at A to E, taught at A, C and E."""
    hidden = analyse(
        [
            HiddenTrajectory(name, name in 'ACE', states(0.4 * place + 0.02 * trial))
            for place, name in enumerate('ABCDE')
            for trial in range(trials)
        ]
    )
    assert hidden is not None
    return hidden


def test_the_components_are_the_directions_of_greatest_variance() -> None:
    found = principal_components(states())
    np.testing.assert_allclose(found.explained, np.array([16, 4, 1]) / 21, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.axes @ FRAME[:3].T), np.eye(3), atol=1e-5)
    np.testing.assert_allclose(found.mean, 0.3, atol=1e-5)
    assert found.states == STEPS


def test_projecting_keeps_what_the_components_hold() -> None:
    found = principal_components(states())
    placed = found.project(states())
    assert placed.shape == (STEPS, 3)
    np.testing.assert_allclose(placed @ found.axes + found.mean, states(), atol=1e-5)


def test_the_sign_of_a_component_does_not_depend_on_that_of_the_data() -> None:
    upright, mirrored = principal_components(states()), principal_components(-states())
    np.testing.assert_allclose(upright.axes, mirrored.axes, atol=1e-5)
    assert (upright.axes.max(axis=1) > -upright.axes.min(axis=1)).all()


@pytest.mark.parametrize('shape', [(1, 6), (2, 6), (30, 1), (30, 2)])
def test_fewer_directions_than_three_leave_the_rest_at_zero(shape: tuple[int, int]) -> None:
    values = np.sin(np.arange(shape[0] * shape[1], dtype=float)).reshape(shape)
    found = principal_components(values)
    assert found.axes.shape == (3, shape[1])
    assert found.project(values).shape == (shape[0], 3)
    rank = min(shape[0] - 1, shape[1])
    assert found.explained.sum() == pytest.approx(1.0 if rank else 0.0)
    np.testing.assert_allclose(found.project(values)[:, rank:], 0, atol=1e-9)


def test_one_analysis_is_made_over_all_trajectories() -> None:
    hidden = five_positions()
    assert hidden.components.states == 10 * STEPS
    content = hidden.to_json()
    assert (content['dimensions'], content['states'], content['trajectories']) == (6, 400, 10)
    assert sum(content['explained_variance']) == pytest.approx(1)
    middle = [
        hidden.components.project(one.states).mean(axis=0) for one in hidden.trajectories[::2]
    ]
    gaps = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 0.4, atol=1e-4)


def test_states_that_are_not_finite_are_left_out() -> None:
    broken = states()
    broken[10:] = np.nan
    trials = [HiddenTrajectory('A', True, broken), HiddenTrajectory('B', True, broken[20:])]
    hidden = analyse(trials)
    assert hidden is not None and len(hidden.trajectories) == 1
    assert hidden.components.states == 10
    assert analyse([]) is None


def test_each_condition_has_its_colour_and_the_untaught_are_dashed() -> None:
    groups = group(five_positions(DRAWN_PER_GROUP + 3))
    assert [one.label for one in groups] == [
        'A, taught', 'B, not taught', 'C, taught', 'D, not taught', 'E, taught',
    ]  # fmt: skip
    assert [one.dashed for one in groups] == [False, True, False, True, False]
    assert len({one.colour for one in groups}) == 5
    assert {len(one.paths) for one in groups} == {DRAWN_PER_GROUP}


def test_one_condition_is_coloured_by_whether_it_was_taught() -> None:
    trials = [HiddenTrajectory('all', flag, states(flag)) for flag in (False, True, False)]
    hidden = analyse(trials)
    assert hidden is not None
    taught, untaught = group(hidden, ('trained on', 'held out'))
    assert (taught.label, untaught.label) == ('trained on', 'held out')
    assert taught.colour != untaught.colour
    assert (taught.dashed, untaught.dashed) == (False, True)


def test_what_is_not_known_is_neither_taught_nor_untaught() -> None:
    hidden = analyse([HiddenTrajectory(name, None, states()) for name in ('push', 'grasp')])
    assert hidden is not None
    assert [(one.label, one.dashed) for one in group(hidden)] == [
        ('push', False),
        ('grasp', False),
    ]


@pytest.mark.parametrize('count', [1, 2, 3, 5, 6, 30])
def test_colours_differ_and_can_be_read_on_white(count: int) -> None:
    colours = condition_colours(count)
    assert len(set(colours)) == count
    for colour in colours:
        red, green, blue = to_rgb(colour)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.75


def test_the_plot_shows_every_condition_and_is_the_same_each_time() -> None:
    hidden = five_positions()
    groups = group(hidden)
    figure = hidden_figure(hidden, groups, 'title')
    front, top = figure.axes
    share = 100 * hidden.components.explained
    assert front.get_xlabel() == top.get_xlabel() == f'PC 1 ({share[0]:.0f} %)'
    assert (front.get_ylabel(), top.get_ylabel()) == (
        f'PC 2 ({share[1]:.0f} %)', f'PC 3 ({share[2]:.0f} %)',
    )  # fmt: skip
    drawn = {line.get_color() for line in front.lines if line.get_linestyle() != 'None'}
    assert drawn == {one.colour for one in groups}
    png = png_bytes(figure)
    assert png == png_bytes(hidden_figure(five_positions(), groups, 'title'))


def test_many_conditions_have_room() -> None:
    hidden = analyse([HiddenTrajectory(f'place {n}', True, states(n)) for n in range(30)])
    assert hidden is not None
    [legend] = hidden_figure(hidden, group(hidden), 'title').legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert 'and 17 more' in texts and len(texts) < 20


def test_the_video_turns_once_and_repeats_at_once(tmp_path: Path) -> None:
    hidden = five_positions(1)
    path = tmp_path / 'turn.gif'
    write_hidden_state_video(path, hidden, group(hidden), 'title', frames=8)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
        stamps = container.streams.video[0].duration
    assert len(frames) == 8
    assert stamps == 8 * 8  # hundredths of a second; no rest at the end
    changes = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)]
    assert min(changes) > 0.5
    blue = np.array([round(255 * part) for part in to_rgb(group(hidden)[0].colour)])
    assert all((np.abs(frame.astype(int) - blue).max(axis=2) < 40).any() for frame in frames)


def test_the_projection_turns_about_the_vertical_and_shows_the_near_larger() -> None:
    near, far = np.array([[0.5, -1.0, 0.0]]), np.array([[0.5, 1.0, 0.0]])
    assert project(near, 0.0)[0, 0] > project(far, 0.0)[0, 0] > 0
    np.testing.assert_allclose(project(near, 0.0), project(-near, np.pi), atol=1e-12)
    top = np.array([[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(project(top, 0.0), project(top, 1.0), atol=1e-12)
    assert project(top, 0.0)[1, 0] > 0


def test_a_policy_that_never_changes_its_mind_is_drawn(tmp_path: Path) -> None:
    hidden = analyse([HiddenTrajectory('A', True, np.ones((3, 4), np.float32))])
    assert hidden is not None
    assert hidden.components.explained.tolist() == [0, 0, 0]
    assert png_bytes(hidden_figure(hidden, group(hidden), 'still'))
    write_hidden_state_video(tmp_path / 'still.gif', hidden, group(hidden), 'still', frames=2)
