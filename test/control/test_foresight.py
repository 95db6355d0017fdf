# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Foresight: a prediction is held against the moment that it was made for, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from frame_predictors import small_predictor
from policy_examples import small_policy, small_robot

from motion_policy.control import ActionBuffer
from motion_policy.control.foresight import OwnForesight, PlanForesight, PredictionError
from motion_policy.control.foresight_errors import (
    FLOOR,
    MOTION_FLOOR,
    FrameErrors,
    foreseen_motion,
    image_channels,
    joint_prediction_errors,
)
from motion_policy.control.lookahead import Plan
from motion_policy.errors import UserError
from motion_policy.policies import CheckpointError
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.video.predictor import FramePredictorModel
from motion_policy.streams import Observation

torch.set_num_threads(1)
PERIOD_NS = 100_000_000
START_NS = 5_000_000_000
HALF = np.full(5, 0.5)


def limits(scales: dict[str, tuple[float, ...]], threshold: float = 1.0) -> ForesightLimits:
    return ForesightLimits(
        floor=FLOOR, scales=scales, threshold=threshold, alpha=0.1, episodes=20, source='test'
    )


def frame(step: int) -> np.ndarray:
    return np.random.default_rng(step).integers(0, 256, (24, 32, 3), np.uint8)


def plan(number: int = 1, rows: int = 10, start_ns: int = START_NS) -> Plan:
    """Row i, due i + 1 periods after the start, says 0.1 i for every joint."""
    buffer = ActionBuffer()
    buffer.add(0.1 * np.arange(rows)[:, None] * np.ones(5), start_ns, PERIOD_NS)
    return Plan(number, buffer)


class Predicting:
    """Notes what a model is asked, and answers frames that say which step they are of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: FramePredictorModel) -> None:
        self.asked: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._model = model
        monkeypatch.setattr(model, 'predict', self._predict)

    def _predict(
        self, frames: torch.Tensor, actions: torch.Tensor, positions: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        self.asked.append((frames[0], actions[0], positions[0]))
        past = frames.shape[1]
        steps = actions.shape[1] - self._model.rows_to(past)
        grey = (torch.arange(steps) + 1) / 10
        return grey.view(1, 1, -1, 1, 1, 1).expand(1, 1, -1, 3, 64, 64)


def looks(
    foresight: PlanForesight, plans: list[Plan | None], *, first: int = 0, grey: int = 0
) -> list[PredictionError | None]:
    """One look per plan, one period after the other, at grey images."""
    return [
        foresight.look(
            START_NS + step * PERIOD_NS,
            np.full((24, 32, 3), grey, np.uint8),
            0.01 * step * np.ones(5),
            step * np.ones(5),
            followed,
        )
        for step, followed in enumerate(plans, first)
    ]


def test_errors_of_a_frame_are_what_they_say() -> None:
    seen, predicted, before = (torch.zeros(3, 64, 64) for _ in range(3))
    predicted[:, :4, :4] = 0.5  # one of 256 patches, that was to become grey
    predicted[0, :4, 4:8] = before[0, :4, 4:8] = 0.3  # a red one, that was to stay
    before[:, 8:16, :8] = predicted[:, 8:16, :8] = 0.1
    errors = FrameErrors('top', 0.001).of(predicted, seen, before, 0.0)
    image, ratio, patch, colour, sudden = (errors[name] for name in image_channels('top'))
    wrong = (0.25 + 0.03 + 4 * 0.01) / 256
    assert image == pytest.approx(wrong)
    assert ratio == pytest.approx(wrong / ((0.03 + 4 * 0.01) / 256 + 0.001))
    # Where a change was foreseen an error counts for less than where none was.
    assert patch == pytest.approx(0.03 / 0.001)
    assert colour == pytest.approx((0.2**2 + 2 * 0.1**2) / 3)
    assert sudden == 0  # nothing was seen before


def test_an_error_is_sudden_when_it_comes_and_goes_and_the_less_the_more_moves() -> None:
    errors = FrameErrors('top', FLOOR)
    right, wrong = torch.full((3, 64, 64), 0.5), torch.full((3, 64, 64), 0.5)
    wrong[0, 8:12, 8:12] += 0.3  # one of 256 patches, redder than it is drawn
    red = (0.2**2 + 2 * 0.1**2) / 3

    def sudden(seen: torch.Tensor, motion: float) -> float:
        return errors.of(right, seen, right, motion)['sudden/top']

    assert sudden(right, 0.0) == 0
    assert sudden(wrong, 0.0) == pytest.approx(red / MOTION_FLOOR, rel=1e-4)
    assert sudden(wrong, 0.0) == pytest.approx(0, abs=1e-9)  # it is drawn so all the time
    assert sudden(right, 0.2) == pytest.approx(red / (0.2 + MOTION_FLOOR), rel=1e-4)
    errors.reset()
    assert sudden(wrong, 0.0) == 0


def test_the_score_is_the_greatest_share_of_a_limit_and_names_its_channel() -> None:
    policy = small_policy()
    channel = 'joint joint4'
    foresight = OwnForesight(policy.spec, limits({channel: (2.0,), 'image/top': (1e6,)}, 0.5))
    observation = Observation(HALF, HALF, None, {'top': frame(0)}, None)
    extras = {'image/top': np.zeros((16, 20, 3), np.uint8)}
    assert foresight.look(START_NS, observation, HALF[None], extras) is None
    found = foresight.look(START_NS + PERIOD_NS, observation, HALF[None], extras)
    assert found is not None and found.score == pytest.approx(found.errors['image/top'] / 5e5)
    assert found.worst == 'image/top' and not found.alarming
    span = np.array(policy.spec.normalisation.qpos.scale)
    pushed = Observation(HALF + 3 * span[3] * np.eye(5)[3], HALF, None, {'top': frame(0)}, None)
    found = foresight.look(START_NS + 2 * PERIOD_NS, pushed, HALF[None], extras)
    assert found is not None and found.errors[channel] == pytest.approx(3)
    assert found.errors['joint joint3'] == 0
    assert (found.score, found.worst) == (pytest.approx(3.0), channel) and found.alarming


def test_a_recurrent_policy_that_foresees_rightly_has_no_error() -> None:
    foresight = OwnForesight(small_policy().spec)
    image = np.full((16, 20, 3), 77, np.uint8)
    for step in range(3):
        # It is foreseen half a period behind: half of the way at first, then on its way.
        position = max(0.0, step - 0.5) * HALF
        observation = Observation(
            position, HALF, None, {'top': np.full((24, 32, 3), 77, np.uint8)}, None
        )
        chunk = (step + 1) * HALF[None]
        found = foresight.look(
            START_NS + step * PERIOD_NS, observation, chunk, {'image/top': image}
        )
        if step:
            assert found is not None and (found.step, found.score) == (1, None)
            assert set(found.errors.values()) == {0.0}


def test_what_came_suddenly_is_told_of_an_arm_that_hardly_moves() -> None:
    foresight = OwnForesight(small_policy().spec)
    extras = {'image/top': np.full((16, 20, 3), 77, np.uint8)}
    found = []
    for step, (red, to) in enumerate([(77, 0.0), (77, 0.0), (177, 0.0), (177, 0.2), (77, 0.2)]):
        image = np.full((24, 32, 3), 77, np.uint8)
        image[..., 0] = red
        observation = Observation(0 * HALF, HALF, None, {'top': image}, None)
        time_ns = START_NS + step * PERIOD_NS
        found.append(foresight.look(time_ns, observation, to * HALF[None], extras))
    still, came, stayed, moved = (f.errors['sudden/top'] for f in found[1:] if f is not None)
    assert still == stayed == 0 and 0 < moved < came / 2
    observation = Observation(HALF, HALF, None, {'top': frame(0)}, None)
    for periods in (7, 8):  # after a gap there was no look just before
        again = foresight.look(START_NS + periods * PERIOD_NS, observation, HALF[None], extras)
    assert again is not None and again.errors['sudden/top'] == 0


@pytest.mark.parametrize('gap_ns', [0, PERIOD_NS // 3, 2 * PERIOD_NS, -PERIOD_NS])
def test_a_prediction_of_another_moment_is_held_against_nothing(gap_ns: int) -> None:
    foresight = OwnForesight(small_policy().spec)
    observation = Observation(HALF, HALF, None, {'top': frame(0)}, None)
    extras = {'image/top': np.zeros((16, 20, 3), np.uint8)}
    foresight.look(START_NS, observation, HALF[None], extras)
    assert foresight.look(START_NS + gap_ns, observation, HALF[None], extras) is None
    after_ns = START_NS + gap_ns + PERIOD_NS
    assert foresight.look(after_ns, observation, HALF[None], extras) is not None
    foresight.reset()
    assert foresight.look(after_ns + PERIOD_NS, observation, HALF[None], extras) is None


def test_what_is_not_finite_foretells_nothing() -> None:
    foresight = OwnForesight(small_policy().spec)
    observation = Observation(HALF, HALF, None, {'top': frame(0)}, None)
    extras = {'image/top': np.zeros((16, 20, 3), np.uint8)}
    foresight.look(START_NS, observation, HALF[None] * np.nan, extras)
    assert foresight.look(START_NS + PERIOD_NS, observation, HALF[None], extras) is None


def test_a_policy_that_predicts_no_image_has_no_foresight_of_its_own() -> None:
    with pytest.raises(UserError, match="kind 'frame_predictor' predicts no next image"):
        OwnForesight(small_predictor().spec)
    with pytest.raises(UserError, match=r"a limit of 'image/side', expected some of colour/t"):
        OwnForesight(small_policy().spec, limits({'image/side': (1.0,)}))
    with pytest.raises(UserError, match="a limit of 'joint 7', expected some of"):
        PlanForesight(small_predictor(), small_robot(), limits({'joint 7': (1.0,)}))


@pytest.mark.parametrize('of', ['before', 'target'])
def test_frames_are_predicted_from_what_was_sent_and_is_planned(
    monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    model = small_predictor(hyper={'condition_of': of, 'future': 3})
    predicting = Predicting(monkeypatch, model)
    foresight = PlanForesight(model, small_robot())
    found = looks(foresight, [plan()] * 2, grey=255)
    assert found == [None, None]
    ((frames, actions, positions),) = predicting.asked
    assert frames.shape == (2, 64, 64, 3) and (frames == 255).all()
    # Sent with the frames: 0 and 1. From period 2 on the plan's rows: row i at i + 1 periods.
    ahead = [0.1, 0.2] if of == 'before' else [0.1, 0.2, 0.3]
    torch.testing.assert_close(actions[:, 0], torch.tensor([0.0, 1.0, *ahead]))
    # Measured with the frames; then each target is reached when the next is sent.
    torch.testing.assert_close(positions[:, 0], torch.tensor([0.0, 0.01, 1.0, *ahead[:-1]]))


def test_every_frame_is_held_against_the_newest_prediction_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_predictor()  # sees 2 frames, predicts 3
    predicting = Predicting(monkeypatch, model)
    foresight = PlanForesight(model, small_robot())
    old, new = plan(1), plan(2)
    found = looks(foresight, [old, old, old, new, new, new, new])
    # Predicted at looks 1, 3 (another plan) and 6 (over).
    assert [None if f is None else f.step for f in found] == [None, None, 1, 2, 1, 2, 3]
    assert len(predicting.asked) == 3
    for error in found[2:]:
        assert error is not None and error.time_ns % PERIOD_NS == 0
        grey = error.step / 10  # of the prediction; the images are black
        assert error.errors['image/top'] == pytest.approx(grey**2)
        assert error.errors['image ratio/top'] == pytest.approx(grey**2 / FLOOR, rel=1e-5)


def test_joints_are_foreseen_half_a_period_behind_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_predictor()
    Predicting(monkeypatch, model)
    foresight = PlanForesight(model, small_robot())
    *_, one, two, three = looks(foresight, [plan()] * 5)
    # Predicted at look 1; the plan says 0, 0.1, 0.2 and 0.3 at looks 1 to 4.
    scale = np.array(model.spec.normalisation.qpos.scale)
    for found, off in zip((one, two, three), (0.05 - 0.02, 0.15 - 0.03, 0.25 - 0.04), strict=True):
        assert found is not None
        assert found.errors['joint joint2'] == pytest.approx(off / scale[1], rel=1e-5)


def test_nothing_is_foreseen_beyond_the_plan_nor_while_the_arm_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_predictor()
    predicting = Predicting(monkeypatch, model)
    foresight = PlanForesight(model, small_robot())
    short = plan(rows=3)  # over at look 3
    found = looks(foresight, [short] * 6)
    assert [None if f is None else f.step for f in found] == [None, None, 1, 2, None, None]
    assert len(predicting.asked) == 1
    assert looks(foresight, [plan(2, start_ns=2 * START_NS), None, None], first=6) == [None] * 3
    assert len(predicting.asked) == 2
    to_first_target = Plan(3, ActionBuffer('hold'))
    to_first_target.buffer.add(HALF[None], 0, 1, join_position=HALF)
    assert looks(foresight, [to_first_target] * 3, first=9) == [None] * 3
    assert len(predicting.asked) == 2


def test_after_a_gap_and_a_reset_all_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_predictor()
    Predicting(monkeypatch, model)
    foresight = PlanForesight(model, small_robot())
    assert looks(foresight, [plan()] * 3)[-1] is not None
    assert looks(foresight, [plan()] * 3, first=4)[:2] == [None, None]
    foresight.reset()
    assert looks(foresight, [plan()] * 3, first=7)[:2] == [None, None]
    assert looks(foresight, [plan()], first=0) == [None]  # the clock went back


def test_a_real_predictor_gives_the_same_errors_after_a_reset_and_a_warm_up() -> None:
    foresight = PlanForesight(small_predictor(hyper={'condition': 'action'}), small_robot())

    def errors() -> list[dict[str, float]]:
        found = [
            foresight.look(START_NS + step * PERIOD_NS, frame(step), HALF, HALF, plan())
            for step in range(6)
        ]
        return [dict(error.errors) for error in found if error is not None]

    first = errors()
    assert len(first) == 4 and all(found['patch/top'] > 0 for found in first)
    foresight.reset()
    assert errors() == first
    foresight.warm_up()
    assert errors() == first


def test_a_prediction_that_is_not_finite_is_no_error_but_a_failure() -> None:
    model = small_predictor()
    with torch.no_grad():
        for weight in model.network.decoder.parameters():
            weight.fill_(torch.nan)
    foresight = PlanForesight(model, small_robot())
    with pytest.raises(RuntimeError, match='not finite'):
        looks(foresight, [plan()] * 2)


def test_a_predictor_for_another_robot_is_refused() -> None:
    with pytest.raises(CheckpointError, match='another shape of image'):
        PlanForesight(small_predictor(), small_robot(height=48))


def test_motion_and_joint_errors_are_distances_in_units_of_the_normalisation() -> None:
    spec = small_policy().spec
    scale = np.array(spec.normalisation.qpos.scale)
    before, way = HALF + 0.1 * scale, scale * np.array([0.2, -0.7, 0.0, 0.3, 0.1])
    assert foreseen_motion(spec, before + way, before) == pytest.approx(0.7)
    found = joint_prediction_errors(spec, before + way, before)
    assert list(found.values()) == pytest.approx([0.2, 0.7, 0.0, 0.3, 0.1])
