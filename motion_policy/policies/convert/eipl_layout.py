# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Mapping of EIPL's models to ours: kind, hyper-parameters and keys of the weights.

Sizes are read from the shapes of the weights; only what no shape tells is taken from the
arguments of the training run, or assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from motion_policy.errors import UserError
from motion_policy.policies.convert.eipl_weights import EiplWeights
from motion_policy.policies.recurrent.cae import BIG_BORDER, BIG_CHANNELS, BIG_STEP
from motion_policy.policies.recurrent.conv_trunk import CHANNELS, STRIDE
from motion_policy.policies.recurrent.sarnn import BORDER

# Defaults of EIPL's trainers, and of its releases before December 2023.
SARNN_SIDE, SARNN_SIDE_2023 = 64, 128
SLOPE, SLOPE_2023 = 0.3, 0.01
TEMPERATURE, HEATMAP_SIZE = 1e-4, 0.1
FAST_TAU, SLOW_TAU = 2.0, 12.0
CAE_SIZE = (128, 128)

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Layout:
    """One model of EIPL in our terms.

    `prefixes` are pairs of its prefix of a key and ours; `enters` and `leaves` are its layers
    that see colours and that draw them. `joints` is 0 where the weights do not tell their number.
    `assumed` are EIPL's defaults that had to stand in, `notes` other lines for the user.
    """

    kind: str
    hyper: dict[str, Any]
    image_size: Size
    joints: int
    prefixes: tuple[tuple[str, str], ...]
    enters: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    assumed: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def layout_of(eipl: EiplWeights, leaky_slope: float | None = None) -> Layout:
    """The layout of a model with image encoders; `leaky_slope` None: EIPL's of today.

    Raises:
        UserError: weights that such a model cannot have.
    """
    if eipl.family == 'SARNN':
        return _sarnn(eipl, leaky_slope)
    if eipl.family in ('CNNRNN', 'CNNRNNLN'):
        return _cnnrnn(eipl)
    return _autoencoder(eipl)


def _sarnn(eipl: EiplWeights, leaky_slope: float | None) -> Layout:
    assumed: dict[str, float] = {}
    size = _sarnn_size(eipl, assumed)
    notes = []
    if leaky_slope is None and SARNN_SIDE_2023 in size:
        notes.append(
            f'{eipl.path}: a SARNN for {size[1]}x{size[0]} px may be of EIPL before December '
            f'2023, whose LeakyReLU had the slope {SLOPE_2023:g}; {SLOPE:g} is assumed: '
            f'--leaky-slope {SLOPE_2023:g} if it predicts badly'
        )
    hyper = {
        'rec_dim': eipl.size('rec.weight_hh', 1),
        'k_dim': eipl.size('decoder_point.0.weight') // 2,
        'temperature': eipl.number('temperature', TEMPERATURE, assumed),
        'heatmap_size': eipl.number('heatmap_size', HEATMAP_SIZE, assumed),
        'leaky_slope': SLOPE if leaky_slope is None else leaky_slope,
        'reference': True,
    }
    camera_layers = ('pos_encoder.', 'im_encoder.', 'decoder_image.')
    return Layout(
        kind='sarnn',
        hyper=hyper,
        image_size=size,
        joints=eipl.size('decoder_joint.0.weight'),
        prefixes=(
            *((name, f'network.eyes.0.{name}') for name in camera_layers),
            *((name, f'network.{name}') for name in ('decoder_joint.', 'decoder_point.')),
            *lstm('rec.', 'network.rec.'),
        ),
        enters=('pos_encoder.0', 'im_encoder.0'),
        leaves=('decoder_image.4',),
        assumed=assumed,
        notes=tuple(notes),
    )


def _sarnn_size(eipl: EiplWeights, assumed: dict[str, float]) -> Size:
    if eipl.grid is not None:
        return eipl.grid[0] + 2 * BORDER, eipl.grid[1] + 2 * BORDER
    size = eipl.arguments.get('im_size')
    if size is None:
        assumed |= {'im_height': SARNN_SIDE, 'im_width': SARNN_SIDE}
        return SARNN_SIDE, SARNN_SIDE
    whole = isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)
    if not whole:
        raise UserError(f'{eipl.arguments_path}: im_size is {size!r}, expected [height, width]')
    return size[0], size[1]


def _cnnrnn(eipl: EiplWeights) -> Layout:
    norm = 'layer' if eipl.family == 'CNNRNNLN' else 'none'
    latent, flat, last = (19, 16, 16) if norm == 'layer' else (13, 11, 11)
    if norm == 'layer':
        size = (
            2 * eipl.size('encoder_image.1.weight', 1),
            2 * eipl.size('encoder_image.1.weight', 2),
        )
    else:
        size = _basic_size(eipl, f'encoder_image.{flat}.weight')
    return Layout(
        kind=eipl.family.lower(),
        hyper={
            'rec_dim': eipl.size('rec.weight_hh', 1),
            'feat_dim': eipl.size(f'encoder_image.{latent}.weight'),
            'reference': True,
        },
        image_size=size,
        joints=eipl.size('decoder_joint.0.weight'),
        prefixes=(
            ('encoder_image.', 'network.eyes.0.encoder.'),
            ('decoder_image.', 'network.eyes.0.decoder.'),
            ('decoder_joint.', 'network.decoder_joint.'),
            *lstm('rec.', 'network.rec.'),
        ),
        enters=('encoder_image.0',),
        leaves=(f'decoder_image.{last}',),
    )


# Of an autoencoder: its linear layers from the image maps and to the feature, the last of all.
_CAE_LAYERS = {
    'BasicCAE': (11, 13, 13),
    'CAE': (7, 9, 9),
    'BasicCAEBN': (16, 19, 19),
    'CAEBN': (10, 13, 13),
}


def _autoencoder(eipl: EiplWeights) -> Layout:
    flat, latent, last = _CAE_LAYERS[eipl.family]
    basic = eipl.family.startswith('Basic')
    measure = _basic_size if basic else _big_size
    return Layout(
        kind='cae',
        hyper={
            'size': 'basic' if basic else 'big',
            'norm': 'batch' if eipl.family.endswith('BN') else 'none',
            'feat_dim': eipl.size(f'encoder.{latent}.weight'),
            'reference': True,
        },
        image_size=measure(eipl, f'encoder.{flat}.weight'),
        joints=0,
        prefixes=(('encoder.', 'eyes.0.encoder.'), ('decoder.', 'eyes.0.decoder.')),
        enters=('encoder.0',),
        leaves=(f'decoder.{last}',),
    )


def layout_of_rnn(
    eipl: EiplWeights,
    joints: int,
    cae: Layout | None = None,
    *,
    fast_tau: float | None = None,
    slow_tau: float | None = None,
) -> Layout:
    """The layout of a sequence model, alone ('rnn') or with its autoencoder ('cae_rnn').

    Raises:
        UserError: weights that such a model cannot have, or of another autoencoder.
    """
    assumed: dict[str, float] = {}
    ours = 'sequence.' if cae is None else 'network.sequence.'
    hyper: dict[str, Any] = {'activation': 'tanh', 'reference': True}
    if eipl.family == 'BasicLSTM':
        values, prefixes = eipl.size('rnn.weight_ih', 1), lstm('rnn.', f'{ours}rec.')
        hyper |= {'rnn': 'lstm', 'rec_dim': eipl.size('rnn.weight_hh', 1)}
    else:
        values, prefixes = eipl.size('mtrnn.i2f.weight', 1), (('mtrnn.', f'{ours}rec.'),)
        hyper |= {
            'rnn': 'mtrnn',
            'fast_dim': eipl.size('mtrnn.f2f.weight'),
            'slow_dim': eipl.size('mtrnn.s2s.weight'),
            'fast_tau': fast_tau or eipl.number('fast_tau', FAST_TAU, assumed),
            'slow_tau': slow_tau or eipl.number('slow_tau', SLOW_TAU, assumed),
        }
    features = values - joints
    expected = features if cae is None else cae.hyper['feat_dim']
    if features < 1 or features != expected:
        seen = 'at least one feature' if cae is None else f'{expected} features of the autoencoder'
        raise UserError(f'{eipl.path}: takes {values} values, expected {seen} and {joints} joints')
    hyper['cae'] = {'feat_dim': features} if cae is None else cae.hyper
    return Layout(
        kind='rnn' if cae is None else 'cae_rnn',
        hyper=hyper,
        image_size=CAE_SIZE if cae is None else cae.image_size,
        joints=joints,
        prefixes=(*prefixes, ('rnn_out.', f'{ours}out.')),
        assumed=assumed,
    )


def lstm(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """The prefixes of an LSTM cell, which is a layer over sequences here."""
    names = ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
    return tuple((f'{theirs}{name}', f'{ours}{name}_l0') for name in names)


def _basic_size(eipl: EiplWeights, key: str) -> Size:
    side = _square(eipl, key, CHANNELS[-1])
    return side * STRIDE, side * STRIDE


def _big_size(eipl: EiplWeights, key: str) -> Size:
    side = _square(eipl, key, BIG_CHANNELS[-1]) + BIG_BORDER
    return side * BIG_STEP, side * BIG_STEP


def _square(eipl: EiplWeights, key: str, channels: int) -> int:
    """The side of the smallest map, which a linear layer sees flattened; EIPL's are square."""
    flat = eipl.size(key, 1)
    side = math.isqrt(flat // channels)
    if channels * side * side != flat:
        raise UserError(
            f"{eipl.path}: '{key}' sees {flat} values, expected {channels} maps of a square image"
        )
    return side
