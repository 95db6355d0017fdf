# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`dataset_stats.pkl` is read as arrays of numbers, whoever wrote it, or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import act_models as act
import numpy as np
import pytest

from motion_policy.errors import UserError
from motion_policy.policies.convert.act_stats import read_act_stats


@pytest.mark.parametrize('protocol', [3, 4, 5])
@pytest.mark.parametrize('core', [b'numpy.core', b'numpy._core'])
def test_statistics_of_any_numpy_are_read(tmp_path: Path, protocol: int, core: bytes) -> None:
    data = pickle.dumps(act.statistics(), protocol=protocol)
    own = b'numpy._core' if b'numpy._core' in data else b'numpy.core'
    if protocol == 3:  # text is not counted there, so that the name can change
        data = data.replace(own, core)
    path = tmp_path / 'dataset_stats.pkl'
    path.write_bytes(data)
    found = read_act_stats(path)
    np.testing.assert_array_equal(np.float32(found.qpos.mean), act.statistics()['qpos_mean'])
    np.testing.assert_array_equal(np.float32(found.action.std), act.statistics()['action_std'])


def test_what_is_no_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'dataset_stats.pkl'
    for content in (b'', b'no pickle', pickle.dumps(act.statistics())[:-40]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r'is no dataset_stats\.pkl'):
            read_act_stats(path)
    with pytest.raises(UserError, match=r'no such file, expected the dataset_stats\.pkl'):
        read_act_stats(tmp_path / 'nowhere.pkl')


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        (np.array([1.0, np.nan, 2.0]), 'not finite'),
        (np.array([1.0, -0.1, 2.0]), 'std -0.1'),
        (np.array([1.0, 1e300, 2.0]), '1e+300'),
        (np.array([True, False, True]), 'holds bool'),
        (np.array([1j, 2, 3]), 'numpy.dtype(c16)'),
        (np.ones(16), '3 means but 16'),
        (np.empty(0), 'expected an array'),
        (None, 'is NoneType'),
    ],
    ids=str,
)
def test_deviations_that_are_none_are_one_line(tmp_path: Path, value: Any, words: str) -> None:
    path = tmp_path / 'dataset_stats.pkl'
    path.write_bytes(pickle.dumps({**act.statistics(), 'qpos_std': value}))
    with pytest.raises(UserError) as error:
        read_act_stats(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
