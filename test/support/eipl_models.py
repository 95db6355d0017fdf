# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The models of EIPL as equations on a state dict with its keys and shapes, random from a seed.

Written from the published architectures, in `torch.nn.functional` only: an image is BGR in [0, 1],
joints are normalised, a state is what the cell hands to the next step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
State = tuple[Tensor, ...]
Activation = Callable[[Tensor], Tensor]

JOINTS, REC, FEAT, POINTS = 4, 12, 10, 3
MAPS = (3, 64, 32, 16, 12, 8)  # of the small networks, from the image inwards
BIG_MAPS = (3, 32, 64, 128)


class Maker:
    """Random weights of the usual size, one layer after the other."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.weights: Weights = {}

    def uniform(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.random)

    def layer(self, key: str, *shape: int, fan_in: int, gain: float = 1.7) -> None:
        bound = gain / math.sqrt(fan_in)
        outputs = shape[1] if key.startswith('up:') else shape[0]
        key = key.removeprefix('up:')
        self.weights[f'{key}.weight'] = bound * self.uniform(*shape)
        self.weights[f'{key}.bias'] = 0.1 * self.uniform(outputs, low=0.0)

    def norm(self, key: str, *shape: int, batch: bool) -> None:
        self.weights[f'{key}.weight'] = self.uniform(*shape, low=0.8, high=1.2)
        self.weights[f'{key}.bias'] = self.uniform(*shape, low=0.0, high=0.3)
        if batch:
            self.weights[f'{key}.running_mean'] = 0.1 * self.uniform(*shape)
            self.weights[f'{key}.running_var'] = self.uniform(*shape, low=0.5, high=1.5)
            self.weights[f'{key}.num_batches_tracked'] = torch.tensor(7)

    def lstm(self, key: str, inputs: int) -> None:
        for name, shape in (('ih', (4 * REC, inputs)), ('hh', (4 * REC, REC))):
            self.weights[f'{key}.weight_{name}'] = 0.5 * self.uniform(*shape)
            self.weights[f'{key}.bias_{name}'] = 0.2 * self.uniform(4 * REC)


def sarnn_weights(height: int, width: int, seed: int = 1) -> Weights:
    make = Maker(seed)
    for stack in ('pos_encoder', 'im_encoder'):
        for place, before, after in ((0, 3, 16), (2, 16, 32), (4, 32, POINTS)):
            make.layer(f'{stack}.{place}', after, before, 3, 3, fan_in=9 * before)
    make.lstm('rec', 2 * POINTS + JOINTS)
    make.layer('decoder_joint.0', JOINTS, REC, fan_in=REC)
    make.layer('decoder_point.0', 2 * POINTS, REC, fan_in=REC)
    for place, before, after in ((0, POINTS, 32), (2, 32, 16), (4, 16, 3)):
        make.layer(f'up:decoder_image.{place}', before, after, 3, 3, fan_in=9 * before)
    x, y = _grid(height - 6, width - 6)
    make.weights['pos_encoder.6.pos_x'] = x.flatten()
    make.weights['pos_encoder.6.pos_y'] = y.flatten()
    make.weights['issm.pos_xy'] = torch.stack([x, y])
    return make.weights


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing='ij')
    return x, y


def small_encoder(make: Maker, name: str, side: int, norm: str) -> None:
    step = 2 if norm == 'none' else 3
    for level, (before, after) in enumerate(itertools.pairwise(MAPS)):
        make.layer(f'{name}.{step * level}', after, before, 3, 3, fan_in=9 * before)
        _norm_weights(make, f'{name}.{step * level + 1}', norm, after, side >> (level + 1))
    flat = 5 * step + 1  # after Flatten
    make.layer(f'{name}.{flat}', 50, 8 * (side // 32) ** 2, fan_in=8 * (side // 32) ** 2)
    _norm_weights(make, f'{name}.{flat + 1}', norm, 50)
    make.layer(f'{name}.{flat + step}', FEAT, 50, fan_in=50)
    _norm_weights(make, f'{name}.{flat + step + 1}', norm, FEAT)


def small_decoder(make: Maker, name: str, side: int, norm: str, linears: tuple[int, ...]) -> None:
    step = 2 if norm == 'none' else 3
    sizes = (*linears, 8 * (side // 32) ** 2)
    for level, (before, after) in enumerate(itertools.pairwise(sizes)):
        make.layer(f'{name}.{step * level}', after, before, fan_in=before)
        _norm_weights(make, f'{name}.{step * level + 1}', norm, after)
    start = step * len(linears) + 1  # after Unflatten
    for level, (before, after) in enumerate(zip(MAPS[:0:-1], MAPS[-2::-1], strict=True)):
        place = start + step * level
        make.layer(f'up:{name}.{place}', before, after, 3, 3, fan_in=2 * before)
        if after != 3:
            _norm_weights(make, f'{name}.{place + 1}', norm, after, side >> (4 - level))


def _norm_weights(make: Maker, key: str, norm: str, channels: int, side: int = 0) -> None:
    if norm == 'batch':
        make.norm(key, channels, batch=True)
    elif norm == 'layer':
        make.norm(key, *((channels, side, side) if side else (channels,)), batch=False)


def cnnrnn_weights(side: int, norm: str, seed: int = 2) -> Weights:
    make = Maker(seed)
    small_encoder(make, 'encoder_image', side, norm)
    make.lstm('rec', FEAT + JOINTS)
    make.layer('decoder_joint.0', JOINTS, REC, fan_in=REC)
    small_decoder(make, 'decoder_image', side, norm, (REC,))
    return make.weights


def cae_weights(side: int, *, big: bool, norm: str, seed: int = 3) -> Weights:
    make = Maker(seed)
    if not big:
        small_encoder(make, 'encoder', side, norm)
        small_decoder(make, 'decoder', side, norm, (FEAT, 50))
        return make.weights
    step = 2 if norm == 'none' else 3
    maps, flat = BIG_MAPS, 128 * (side // 8 - 2) ** 2
    for level, (before, after) in enumerate(itertools.pairwise(maps)):
        make.layer(f'encoder.{step * level}', after, before, 6, 6, fan_in=36 * before)
        _norm_weights(make, f'encoder.{step * level + 1}', norm, after)
    linears = (3 * step + 1, flat, 1000), (4 * step + 1, 1000, FEAT)
    for place, before, after in linears:
        make.layer(f'encoder.{place}', after, before, fan_in=before)
        _norm_weights(make, f'encoder.{place + 1}', norm, after)
    for place, before, after in ((0, FEAT, 1000), (step, 1000, flat)):
        make.layer(f'decoder.{place}', after, before, fan_in=before)
        _norm_weights(make, f'decoder.{place + 1}', norm, after)
    for level, (before, after) in enumerate(((128, 64), (64, 32), (32, 3))):
        place = 2 * step + 1 + step * level
        make.layer(f'up:decoder.{place}', before, after, 6, 6, fan_in=9 * before)
        if after != 3:
            _norm_weights(make, f'decoder.{place + 1}', norm, after)
    return make.weights


def lstm_weights(seed: int = 4) -> Weights:
    make = Maker(seed)
    make.lstm('rnn', FEAT + JOINTS)
    make.layer('rnn_out.0', FEAT + JOINTS, REC, fan_in=REC)
    return make.weights


def mtrnn_weights(fast: int = 14, slow: int = 3, seed: int = 5) -> Weights:
    make = Maker(seed)
    shapes = {
        'i2f': (fast, FEAT + JOINTS),
        'f2f': (fast, fast),
        'f2s': (slow, fast),
        's2s': (slow, slow),
        's2f': (fast, slow),
    }
    for name, shape in shapes.items():
        make.weights[f'mtrnn.{name}.weight'] = make.uniform(*shape) / math.sqrt(shape[1])
    make.layer('rnn_out.0', FEAT + JOINTS, fast, fan_in=fast)
    return make.weights


def sarnn(
    w: Weights,
    image: Tensor,
    joints: Tensor,
    state: State | None,
    *,
    slope: float = 0.3,
    temperature: float = 1e-4,
    heatmap_size: float = 0.1,
) -> tuple[Tensor, Tensor, State, Tensor, Tensor]:
    """-> next image, next joints, state, encoder points (B, 2 K), decoder points."""

    def act(x: Tensor) -> Tensor:
        return F.leaky_relu(x, slope)

    def encode(name: str) -> Tensor:
        x = image
        for place in (0, 2, 4):
            x = act(F.conv2d(x, w[f'{name}.{place}.weight'], w[f'{name}.{place}.bias']))
        return x

    maps = encode('pos_encoder')
    attention = (maps.flatten(2) / temperature).softmax(-1)
    xs, ys = w['pos_encoder.6.pos_x'], w['pos_encoder.6.pos_y']
    points = torch.stack([(attention * xs).sum(-1), (attention * ys).sum(-1)], -1).flatten(1)
    h, c = lstm_cell(w, 'rec', torch.cat([points, joints], -1), state)
    next_joints = act(linear(w, 'decoder_joint.0', h))
    next_points = act(linear(w, 'decoder_point.0', h))
    apart = w['issm.pos_xy'] - next_points.unflatten(1, (-1, 2))[..., None, None]
    x = torch.exp(-apart.square().sum(2) / heatmap_size) * encode('im_encoder')
    for place in (0, 2, 4):
        weight, bias = w[f'decoder_image.{place}.weight'], w[f'decoder_image.{place}.bias']
        x = act(F.conv_transpose2d(x, weight, bias))
    return x, next_joints, (h, c), points, next_points


def cnnrnn(
    w: Weights, image: Tensor, joints: Tensor, state: State | None, norm: str
) -> tuple[Tensor, Tensor, State]:
    """-> next image, next joints, state."""
    feature = encode(w, 'encoder_image', image, norm)
    h, c = lstm_cell(w, 'rec', torch.cat([feature, joints], -1), state)
    act = _activation(norm)
    next_joints = act(linear(w, 'decoder_joint.0', h))
    return decode(w, 'decoder_image', h, norm, linears=1), next_joints, (h, c)


def rnn(
    w: Weights, values: Tensor, state: State | None, fast_tau: float = 2, slow_tau: float = 12
) -> tuple[Tensor, State]:
    """Features, then joints -> those of the next step, state."""
    if 'rnn.weight_ih' in w:
        state = lstm_cell(w, 'rnn', values, state)
        return torch.tanh(linear(w, 'rnn_out.0', state[0])), state

    def into(name: str, x: Tensor) -> Tensor:
        return x @ w[f'mtrnn.{name}.weight'].T

    sizes = (len(w['mtrnn.f2f.weight']), len(w['mtrnn.s2s.weight'])) * 2
    zeros = tuple(values.new_zeros(len(values), size) for size in sizes)
    h_fast, h_slow, u_fast, u_slow = state or zeros
    drive = into('i2f', values) + into('f2f', h_fast) + into('s2f', h_slow)
    slow = into('f2s', h_fast) + into('s2s', h_slow)
    u_fast = (1 - 1 / fast_tau) * u_fast + drive / fast_tau
    u_slow = (1 - 1 / slow_tau) * u_slow + slow / slow_tau
    h_fast, h_slow = u_fast.tanh(), u_slow.tanh()
    return torch.tanh(linear(w, 'rnn_out.0', h_fast)), (h_fast, h_slow, u_fast, u_slow)


def encode(w: Weights, name: str, image: Tensor, norm: str) -> Tensor:
    """Image -> feature, of the small and the big encoders."""
    act, x = _activation(norm, w), image
    for key in _layers(w, name):
        weight, bias = w[f'{key}.weight'], w[f'{key}.bias']
        if weight.ndim == 4:
            x = F.conv2d(x, weight, bias, stride=2, padding=1)
        else:
            x = F.linear(x.flatten(1), weight, bias)
        x = act(_normed(w, key, x, norm))
    return x


def decode(w: Weights, name: str, x: Tensor, norm: str, linears: int) -> Tensor:
    """Feature or hidden state -> image, of the small and the big decoders."""
    act = _activation(norm, w)
    layers = _layers(w, name)
    for key in layers[:linears]:
        x = act(_normed(w, key, linear(w, key, x), norm))
    maps = len(w[f'{layers[linears]}.weight'])
    side = math.isqrt(x.shape[1] // maps)
    x = x.unflatten(1, (maps, side, side))
    for key in layers[linears:]:
        weight, bias = w[f'{key}.weight'], w[f'{key}.bias']
        small = weight.shape[-1] == 3
        padding = 0 if not small and key == layers[-1] else 1
        x = F.conv_transpose2d(
            x, weight, bias, stride=2, padding=padding, output_padding=int(small)
        )
        x = act(x if key == layers[-1] else _normed(w, key, x, norm))
    return x


def linear(w: Weights, key: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f'{key}.weight'], w[f'{key}.bias'])


def lstm_cell(w: Weights, key: str, x: Tensor, state: State | None) -> tuple[Tensor, Tensor]:
    size = w[f'{key}.weight_hh'].shape[1]
    h, c = state or (x.new_zeros(len(x), size), x.new_zeros(len(x), size))
    gates = F.linear(x, w[f'{key}.weight_ih'], w[f'{key}.bias_ih'])
    gates = gates + F.linear(h, w[f'{key}.weight_hh'], w[f'{key}.bias_hh'])
    into, forget, cell, out = gates.chunk(4, dim=-1)
    c = forget.sigmoid() * c + into.sigmoid() * cell.tanh()
    return out.sigmoid() * c.tanh(), c


def _layers(w: Weights, name: str) -> list[str]:
    """The keys of convolutions and linear layers, in order; those of norms left out."""
    places = sorted({int(key.split('.')[1]) for key in w if key.startswith(f'{name}.')})
    normed = set(_norm_places(w, name))
    return [f'{name}.{place}' for place in places if place not in normed]


def _norm_places(w: Weights, name: str) -> Iterator[int]:
    for key in w:
        layer, _, part = key.rpartition('.')
        if key.startswith(f'{name}.') and part == 'weight':
            # A norm follows its layer directly, an activation lies between two layers.
            place = int(layer.split('.')[1])
            if f'{name}.{place - 1}.weight' in w:
                yield place


def _normed(w: Weights, key: str, x: Tensor, norm: str) -> Tensor:
    if norm == 'none':
        return x
    name, _, place = key.rpartition('.')
    after = f'{name}.{int(place) + 1}'
    weight, bias = w[f'{after}.weight'], w[f'{after}.bias']
    if norm == 'layer':
        return F.layer_norm(x, weight.shape, weight, bias)
    return F.batch_norm(x, w[f'{after}.running_mean'], w[f'{after}.running_var'], weight, bias)


def _activation(norm: str, w: Weights | None = None) -> Activation:
    """Tanh in the small networks without a norm, else ReLU."""
    if w is not None and any(value.shape[2:] == (6, 6) for value in w.values()):
        return torch.relu
    return torch.tanh if norm == 'none' else torch.relu
