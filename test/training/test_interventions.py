# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Corrections count more than demonstrations, and what the policy did wrong counts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_examples import small_robot, write_demonstrations
from recordings import write_episode
from training_runs import ACT_RUN, SARNN_RUN, run_to_the_end, small_run, weights

from motion_policy.documents import read_yaml
from motion_policy.errors import UserError
from motion_policy.policies import make_model, read_policy_spec
from motion_policy.training import train_config
from motion_policy.training.action_chunk_dataset import ActionChunkDataset, ActionChunkSampler
from motion_policy.training.autoencoders import load_autoencoders
from motion_policy.training.config_sections import InterventionsConfig
from motion_policy.training.demonstrations import (
    Demonstration,
    Demonstrations,
    load_demonstrations,
)
from motion_policy.training.interventions import row_weights, spread_by_weight
from motion_policy.training.learning import learning_of
from motion_policy.training.recurrent_loss import masked_mean
from motion_policy.training.sequence_dataset import SequenceDataset, collate
from motion_policy.training.train import no_progress, policy_spec, train

torch.set_num_threads(1)

DRIVEN = (12, 20)  # rows of the first episode that a person drove


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rollouts, of which one was corrected, and three demonstrations."""
    data = tmp_path_factory.mktemp('rollouts')
    write_demonstrations(data / 'demonstrations', (27, 40, 33))
    (data / 'a').mkdir()
    for number, (length, driven) in enumerate(((40, [DRIVEN]), (34, []))):
        rollout(data / 'a' / f'episode_{number:06d}.hdf5', length, driven)
    return data


def rollout(path: Path, length: int, driven: Sequence[tuple[int, int]]) -> Path:
    return write_episode(path, length, robot=small_robot(), compress=False, driven=driven)


def parts(folder: Path) -> list[str]:
    return [str(folder / name) for name in ('a', 'demonstrations') if (folder / name).is_dir()]


def content(folder: Path, output: Path | str = 'unused', **changes: Any) -> dict[str, Any]:
    """Return a run of ACT that knows corrections."""
    counts = changes.pop('interventions', {'weight': 4, 'before': 0.1})
    data = {'train': parts(folder), 'validation': 0.0}
    data |= {} if counts is None else {'interventions': counts}
    return small_run(folder, Path(output), **{**ACT_RUN, **changes}, data=data)


def load(folder: Path, **changes: Any) -> Demonstrations:
    return load_demonstrations(train_config(content(folder, **changes)), no_progress)


def demonstration(length: int, counted: list[float] | None = None) -> Demonstration:
    """Row t has the action t."""
    action = torch.arange(length, dtype=torch.float32)[:, None]
    weights = None if counted is None else torch.tensor(counted)
    return Demonstration(Path('a'), {}, action - 0.5, action, weights=weights)


def test_each_row_counts_by_who_drove() -> None:
    driven = torch.zeros(12, dtype=torch.bool)
    driven[[4, 5, 10]] = True
    config = InterventionsConfig(weight=3, before=0.1)
    assert row_weights(driven, 12, 20, config).tolist() == [1, 1, 0, 0, 3, 3, 1, 1, 0, 0, 3, 1]
    only = InterventionsConfig(weight=3, only=True)
    assert row_weights(driven, 12, 20, only).tolist() == [0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 3, 0]
    assert row_weights(None, 3, 20, only).tolist() == [1, 1, 1]
    nobody = torch.zeros(3, dtype=torch.bool)
    assert row_weights(nobody, 3, 20, config).tolist() == [1, 1, 1]
    assert row_weights(nobody, 3, 20, only).tolist() == [0, 0, 0]
    seen = torch.tensor([True, False, True])
    assert row_weights(nobody, 3, 20, config, seen).tolist() == [1, 0, 1]
    # Taken over from the first row on, and again at once after long before.
    assert row_weights(~nobody, 3, 20, config).tolist() == [3, 3, 3]


def test_a_pass_draws_each_row_as_often_as_it_counts() -> None:
    counted = torch.tensor([1.0, 0.0, 2.5, 1.0, 0.0, 0.5, 0.0])
    seen = torch.zeros(7)
    for run in range(400):
        order = ActionChunkSampler(7, 5, 1, seed=2, weights=counted)
        order.set_epoch(run)
        [rows] = list(order)
        times = torch.bincount(torch.tensor(rows), minlength=7)
        assert times[[1, 4, 6]].sum() == 0
        assert times[0] == times[3] == 1
        assert 2 <= times[2] <= 3
        seen += times
    assert torch.allclose(seen / 400, counted, atol=0.1)
    assert spread_by_weight(counted, 5).tolist() == [0, 2, 2, 3, 5]
    alike = ActionChunkSampler(7, 7, 3, seed=2, weights=torch.ones(7))
    assert all(sorted(rows) == list(range(7)) for rows in alike)


def test_what_a_step_shows_depends_on_its_number_only() -> None:
    counted = torch.tensor([0.3, 4.0, 0.0, 1.0, 2.2])

    def rounds(length: int, numbers: range) -> list[int]:
        order = ActionChunkSampler(5, 3, length, seed=1, weights=counted)
        rows = []
        for number in numbers:
            order.set_epoch(number)
            rows += [row for step in order for row in step]
        return rows

    assert rounds(4, range(6)) == rounds(8, range(3)) == rounds(24, range(1))
    assert rounds(4, range(3, 6)) == rounds(24, range(1))[36:]


def test_a_chunk_ends_where_the_policy_did_what_is_not_to_be_imitated() -> None:
    episodes = [demonstration(6, [1, 1, 0, 5, 5, 0]), demonstration(3, [1, 1, 1])]
    rows = ActionChunkDataset(episodes, chunk=4)
    batch = rows[[0, 1, 3, 4, 6, 8]]
    assert batch.valid.sum(1).tolist() == [2, 1, 2, 1, 3, 1]
    # What is left is in one piece, from the row on.
    assert batch.valid[0].tolist() == [True, True, False, False]
    slow = ActionChunkDataset(episodes, chunk=3, stride=3)
    assert slow[[0]].valid.tolist() == [[True, False, False]]
    plain = ActionChunkDataset([demonstration(6), demonstration(3)], chunk=4)
    assert plain.weights is None
    assert plain[[0, 4]].valid.sum(1).tolist() == [4, 2]


def test_the_share_of_corrections_in_batches_is_the_one_that_is_told(folder: Path) -> None:
    config = train_config(content(folder, steps=400, validate_every=400))
    data = load_demonstrations(config, no_progress)
    assert data.corrections is not None
    assert data.corrections.to_json() == {
        'episodes': 5, 'rollouts': 2, 'corrected': 1, 'interventions': 1, 'rows': 8,
        'policy_rows': 66, 'policy_rows_learnt': 59,
        'share': pytest.approx(32 / (32 + 59 + 100), abs=1e-6),
    }  # fmt: skip
    loader = learning_of(config).train_loader(data, 0, 1)
    drawn = torch.tensor([row for step in loader.sampler for row in step])
    driven = (drawn >= DRIVEN[0]) & (drawn < DRIVEN[1])
    assert float(driven.float().mean()) == pytest.approx(data.corrections.share, abs=0.01)


def test_with_only_the_rows_of_the_policy_are_never_drawn(folder: Path) -> None:
    config = train_config(content(folder, interventions={'only': True}))
    data = load_demonstrations(config, no_progress)
    loader = learning_of(config).train_loader(data, 0, 1)
    drawn = {row for step in loader.sampler for row in step}
    assert not drawn & {*range(DRIVEN[0]), *range(DRIVEN[1], 74)}
    assert drawn & {*range(*DRIVEN)}
    batch = loader.dataset[[DRIVEN[1] - 3]]  # stride 2, chunk 6
    assert batch.valid.tolist() == [[True, True, False, False, False, False]]


def test_without_the_key_rollouts_are_read_as_demonstrations_and_a_line_says_so(
    folder: Path, tmp_path: Path
) -> None:
    plain = load(folder, interventions=None)
    assert all(episode.weights is None for episode in plain.train)
    assert 'corrections' not in plain.fingerprint()
    assert plain.fingerprint()['sha256'] != load(folder).fingerprint()['sha256']
    said: list[str] = []
    train(train_config(content(folder, tmp_path, interventions=None, steps=4)), say=said.append)
    [line] = said
    assert line.startswith('data.interventions is not set: 2 of 5 episodes are rollouts')
    assert 'interventions' not in read_yaml(tmp_path / 'config.yaml')['data']


def test_a_recurrent_policy_sees_whole_episodes_and_weighs_the_error_of_joints(
    folder: Path,
) -> None:
    data = {'train': parts(folder), 'validation': 0.0, 'interventions': {'weight': 4}}
    config = train_config(small_run(folder, Path('unused'), **{**SARNN_RUN, 'data': data}))
    loaded = load_demonstrations(config, no_progress)
    every = torch.cat([e.weights for e in loaded.train if e.weights is not None])
    assert float(every.mean()) == pytest.approx(1)
    learning = learning_of(config)
    model: Any = make_model(policy_spec(config, loaded, learning, load_autoencoders(())))

    def terms(episodes: Sequence[Demonstration]) -> dict[str, torch.Tensor]:
        rows = SequenceDataset(episodes, loaded.stride)
        batch = collate([rows[(0, 0)], rows[(2, 1)]])
        assert (batch.weights is None) == (episodes is plain)
        assert batch.mask.shape == (2, 8)  # nothing was left out
        return learning.terms(model, batch, 0, None)

    plain = [replace(episode, weights=None) for episode in loaded.train]
    with torch.no_grad():
        weighed, alike = terms(loaded.train), terms(plain)
    assert {name for name in weighed if weighed[name] != alike[name]} == {'joint'}


def test_a_weighted_mean_is_that_of_rows_drawn_by_weight() -> None:
    torch.manual_seed(0)
    values, mask = torch.rand(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
    counted = torch.tensor([[0.0, 1.0, 2.0, 1.0], [0.0, 0.0, 3.0, 1.0]])
    drawn = torch.cat([row.expand(int(n), 3) for row, n in zip(
        values.flatten(0, 1), counted.flatten(), strict=True)])  # fmt: skip
    assert torch.allclose(masked_mean(values, mask, counted), drawn.mean())
    assert torch.equal(masked_mean(values, mask, torch.ones(2, 4)), masked_mean(values, mask))


def test_a_resumed_run_equals_one_that_was_never_stopped(folder: Path, tmp_path: Path) -> None:
    still = {'learning_rate_shape': 'constant', 'pictures_every': 0}
    whole = run_to_the_end(content(folder, tmp_path / 'whole', **still))
    run_to_the_end(content(folder, tmp_path / 'parts', **still, steps=8))
    resumed = run_to_the_end(content(folder, tmp_path / 'parts', **still))
    assert weights(resumed / 'last') == weights(whole / 'last')
    assert read_policy_spec(whole / 'last').data['corrections']['rows'] == 8
    for counts, key in (({'weight': 2}, 'data'), (None, 'data_sha256')):
        with pytest.raises(UserError, match=f'begun with {key}='):
            train(train_config(content(folder, whole, **still, interventions=counts)))


def test_rows_before_a_correction_of_other_episodes_count(folder: Path) -> None:
    counted = load(folder).train[0].weights
    assert counted is not None
    expected = np.ones(40)
    expected[0], expected[7:12], expected[12:20] = 0, 0, 4  # in the first row nobody drove
    assert counted.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        ({'interventions': {'weight': 0}}, 'data.interventions.weight'),
        ({'interventions': {'weight': float('nan')}}, 'data.interventions.weight'),
        ({'interventions': {'before': -1}}, 'data.interventions.before'),
        ({'interventions': {'only': 'perhaps'}}, 'data.interventions.only'),
        ({'interventions': {'share': 0.5}}, 'data.interventions.share'),
        ({'interventions': 5}, 'data.interventions'),
        ({'policy': {'kind': 'cae'}, 'interventions': {}}, "a 'cae' has no use for it"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    folder: Path, changes: dict[str, Any], line: str
) -> None:
    given = content(folder, **changes)
    if 'policy' in changes:
        given |= {'epochs': 1}
        for key in ('steps', 'warmup_steps', 'weight_decay', 'validation_frames'):
            del given[key]
    with pytest.raises(UserError) as raised:
        train_config(given, 'run.yaml')
    assert line in str(raised.value)
    assert '\n' not in str(raised.value)


def test_rollouts_of_which_nothing_counts_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    rollout(tmp_path / 'a' / 'episode_000000.hdf5', 30, [])
    with pytest.raises(UserError, match='none of the rows of 1 rollouts count'):
        load(tmp_path, interventions={'only': True})
    assert load(tmp_path).corrections is not None
