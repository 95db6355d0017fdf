# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of policies, checkpoints and back ends: keys, defaults, sizes, counts."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import Any

import pytest
import torch
from policy_examples import HIGH, LOW, family, small_policy, small_robot
from recordings import robot_with_leader, with_vectors
from reference_tables import codes, page, section, tables, tells
from torch import Tensor, nn

from motion_policy.errors import UserError
from motion_policy.policies import MODEL_KINDS, PolicySpec
from motion_policy.policies.backends.export import ENDINGS
from motion_policy.policies.backends.graph import OPSET, prepared
from motion_policy.policies.backends.runtimes import PACKAGES
from motion_policy.policies.backends.selection import BACK_ENDS, BOUNDS, ONLY_FLOAT32, PRECISIONS
from motion_policy.policies.base import FORMAT
from motion_policy.policies.checkpoint import SPEC_FILE, WEIGHTS_FILE
from motion_policy.policies.convert.lerobot_processors import NOTHING, TAKEN
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.kinds import model_on_paper
from motion_policy.policies.video.predictor import FrameNetwork, FramePredictorConfig

SECTIONS = (
    '`sarnn`', '`cnnrnn`, `cnnrnnln`', '`cae`', '`cae_rnn`', '`frame_predictor`', '`act`',
)  # fmt: skip
WITHOUT_SECTION = {'rnn'}  # it has the keys of a cae_rnn
JOINTS = 8  # of the counts, as (1) says


def kinds_table() -> dict[str, dict[str, str]]:
    """Return the row of every kind in the first table, by header."""
    kinds = next(table for table in tables(page('policies.md')) if table.header[0] == 'kind')
    return {codes(row[0])[0]: dict(zip(kinds.header, row, strict=True)) for row in kinds.rows}


def on_paper(kind: str, height: int, width: int, joints: int = JOINTS, **hyper: Any) -> nn.Module:
    names = [f'joint{index}' for index in range(joints)]
    scale = {'min': [0.0] * joints, 'max': [1.0] * joints}
    return model_on_paper(
        PolicySpec(
            kind=kind, rate=10, cameras=('top',), image_size=(height, width), hyper=hyper,
            normalisation={'qpos': scale, 'action': scale},
            robot=robot_with_leader('paper', names, ['top'], 640, 480, 50.0),
        )
    )  # fmt: skip


def count(part: nn.Module | None) -> int:
    return 0 if part is None else sum(values.numel() for values in part.parameters())


def numbers(cell: str) -> list[int]:
    """The numbers of a cell that have a comma before each three digits."""
    return [int(text.replace(',', '')) for text in re.findall(r'\d{1,3}(?:,\d{3})+', cell)]


def test_every_kind_has_a_section_and_a_row_that_says_what_it_learns_from() -> None:
    assert {kind for heading in SECTIONS for kind in codes(heading)} | WITHOUT_SECTION == {
        *MODEL_KINDS
    }, 'a kind with keys needs its heading in docs/reference/policies.md and in SECTIONS'
    told = {kind: row['learns from'] for kind, row in kinds_table().items()}
    assert told == {
        name: f'`{model.learns_from}`' if model.learns_from else ''
        for name, model in MODEL_KINDS.items()
    }


@pytest.mark.parametrize('heading', SECTIONS)
def test_a_section_has_every_key_with_its_default(heading: str) -> None:
    table, *others = tables(section(page('policies.md'), heading))
    assert all('key' not in other.header for other in others)
    for kind in codes(heading):
        fields = MODEL_KINDS[kind].Config.model_fields
        defaults = table.by_name('default')
        assert sorted(defaults) == sorted(fields)
        for name, field in fields.items():
            value = None if name == 'cae' else field.default
            assert tells(defaults[name], value, field.description or ''), (kind, name)


def test_the_counts_of_parameters_are_those_of_the_networks() -> None:
    counts = {
        kind: [count(on_paper(kind, 128, 128))]
        for kind in ('sarnn', 'cnnrnn', 'cnnrnnln', 'rnn', 'cae')
    }
    counts['frame_predictor'] = [count(on_paper('frame_predictor', 64, 64))]
    counts['cae_rnn'] = counts['rnn']  # and the autoencoder
    counts['act'] = [
        count(on_paper('act', 480, 640, joints=14, posterior=posterior))
        for posterior in (True, False)
    ]
    told = {kind: numbers(row['parameters (1)']) for kind, row in kinds_table().items()}
    assert told == counts, 'each kind needs its row in docs/reference/policies.md and in counts'
    big = count(on_paper('cae', 128, 128, size='big'))
    assert f'{big / 1e6:.0f} million' in kinds_table()['cae']['parameters (1)']


@pytest.mark.parametrize('kind', sorted(MODEL_KINDS))
def test_a_kind_takes_the_image_sizes_that_are_told_and_refuses_others(kind: str) -> None:
    told = kinds_table()[kind]['image size']
    sizes = {(int(high), int(wide)) for high, wide in re.findall(r'(\d+)x(\d+)', told)}
    if step := re.fullmatch(r'multiples of (\d+)', told):
        sizes, refused = {(int(step[1]), 2 * int(step[1]))}, (int(step[1]), int(step[1]) // 2 * 3)
    elif least := re.fullmatch(r'any from (\d+)x\1', told):
        refused = (int(least[1]) - 1, int(least[1]))
    elif re.fullmatch(r'(\d+)x\1 or (\d+)x\2', told):
        refused = (96, 96)
    else:
        words = {'act': 'any', 'rnn': '', 'cae': 'see below', 'cae_rnn': 'that of the autoencoder'}
        assert told == words[kind]
        return
    for size in sizes:
        on_paper(kind, *size)
    with pytest.raises(UserError, match='image_size'):
        on_paper(kind, *refused)


def test_the_counts_of_the_frame_predictors_parts_are_those_of_its_networks() -> None:
    table = tables(section(page('policies.md'), '`frame_predictor`'))[1]
    parts = ('encoder', 'decoder', 'frame predictor', 'posterior', 'prior, if learned')
    assert table.header == ('', *parts, 'all, fixed prior')
    assert len(table.rows) == 3
    for names, *cells in table.rows:
        coder, *others = re.findall('`([^`]+)`', names)
        hyper = {key: int(value) for key, value in (text.split(': ') for text in others)}
        with torch.device('meta'):
            network = FrameNetwork(
                64, 7, FramePredictorConfig(coder=coder, prior='learned', **hyper)
            )
        counts = [
            count(getattr(network, name))
            for name in ('encoder', 'decoder', 'predictor', 'posterior', 'prior')
        ]
        expected = [*counts, sum(counts[:-1])]
        assert [numbers(cell) for cell in cells] == [[value] for value in expected]


def test_a_checkpoint_has_the_files_and_keys_that_are_told() -> None:
    text = page('checkpoint.md')
    [files] = tables(section(text, ''))
    assert [codes(row[0]) for row in files.rows] == [[SPEC_FILE], [WEIGHTS_FILE]]
    [keys] = tables(section(text, '`policy.yaml`'))
    assert [codes(row[0]) for row in keys.rows] == [[name] for name in PolicySpec.model_fields]
    assert keys.by_name('meaning')['format'] == f'`{FORMAT}`'
    [limits] = tables(section(text, 'Limits of prediction errors'))
    assert sorted(limits.by_name('meaning')) == sorted(ForesightLimits.model_fields)


def test_every_step_of_lerobots_processors_is_told() -> None:
    *_, steps = tables(section(page('checkpoint.md'), 'From and to other projects'))
    assert steps.header == ('step', 'here')
    patterns = [name for row in steps.rows for name in codes(row[0])]
    known = {*NOTHING, *(name for taken in TAKEN.values() for name in taken)}
    assert {name for name in known if not any(fnmatch(name, told) for told in patterns)} == set()
    assert [told for told in patterns if not any(fnmatch(name, told) for name in known)] == []
    assert [row[0] for row in steps.rows if not codes(row[0])] == ["any other, one's own, too"]


def test_the_back_ends_are_those_of_the_code_with_their_packages_and_precisions() -> None:
    table, bounds, *_ = tables(page('back_ends.md'))
    assert sorted(table.by_name('needs')) == sorted(BACK_ENDS)
    for name, cell in table.by_name('needs').items():
        extra = f"`pip install 'motion_policy[{name}]'`" if name in PACKAGES else ''
        assert cell == extra
    for name, cell in table.by_name('precision').items():
        told = ['float32'] if name in ONLY_FLOAT32 else [*PRECISIONS]
        assert codes(cell) == ([] if name == 'auto' else told), name
        assert bool(cell) == (name != 'auto')
    policies = table.by_name('policies')
    assert [name for name in policies if policies[name] == 'all'] == ['eager', 'onnx', 'openvino']
    assert 'ACT' in policies['torch'] and policies['auto'] == ''
    assert {name: float(cell) for name, cell in bounds.by_name('allowed').items()} == BOUNDS
    for name, cell in bounds.by_name('measured, full-size ACT').items():
        assert float(cell) < BOUNDS[name]


def test_every_format_of_the_export_is_told_with_its_ending() -> None:
    formats, _ = tables(section(page('back_ends.md'), 'Export'))
    assert {
        name: re.sub('^NAME', '', codes(cell)[0]) for name, cell in formats.by_name('file').items()
    } == ENDINGS
    assert formats.by_name('file')['onnx'].endswith(f'opset {OPSET}')
    assert all(cell for cell in formats.column('runs in'))


def test_every_input_and_output_of_an_exported_step_is_told_with_its_shape() -> None:
    _, table = tables(section(page('back_ends.md'), 'Export'))
    assert table.header == ('input', '', 'output', '')
    told = {cell: text for row in table.rows for cell, text in (row[:2], row[2:]) if cell}
    found: dict[str, tuple[Tensor, str]] = {}
    hyper = {'hidden_dim': 8, 'heads': 2, 'feedforward_dim': 8, 'chunk': 3, 'backbone': 'small'}
    effort = {'min': LOW, 'max': HIGH}
    normalisation: dict[str, Any] = {name: effort for name in ('qpos', 'action', 'effort')}
    normalisation['inputs'] = {'min': [0.0] * 3, 'max': [1.0] * 3}
    felt = {'robot': with_vectors(small_robot()), 'inputs': ('wrench',)}
    for policy in (
        family('cnnrnn', effort=True, normalisation=normalisation, **felt),
        small_policy(kind='act', hyper=hyper, image_size=(32, 40)),
    ):
        step, example = prepared(policy)
        for name, tensor in zip(step.names.inputs, example, strict=True):
            found[name] = tensor, f'{policy.kind}, in'
        for name, tensor in zip(step.names.outputs, step(*example), strict=True):
            found[name] = tensor, f'{policy.kind}, out'
    names = {re.sub(r'/top$', '/CAM', re.sub(r'/\d+$', '/N', name)): name for name in found}
    assert sorted(told) == sorted(f'`{name}`' for name in names)
    inputs = {row[0] for row in table.rows}
    for general, name in names.items():
        tensor, where = found[name]
        assert (f'`{general}`' in inputs) == where.endswith('in')
        text = told[f'`{general}`']
        if shape := re.match(r"\((1(?:, [\w']+)*)\)", text):
            assert len(shape[1].split(', ')) == tensor.ndim, general
        kind = re.search('float32|uint8', text)
        assert general == 'next/N' or shape or kind, general
        if kind:
            assert str(tensor.dtype) == f'torch.{kind[0]}'
    assert told['`next/N`'] == 'the state after the step, each'
    assert told['`attention/CAM`'].endswith('ACT')
