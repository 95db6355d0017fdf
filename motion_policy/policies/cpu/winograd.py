# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Winograd's F(2x2, 3x3) for 3x3 convolutions, with gradients.

Every 2x2 of the result comes from 16 products per pair of channels in place of 36, from 9 where
each value of the maps stands for 2x2 equal ones. Sums come in another order, no more: float32
stays within 1e-5. Lavin and Gray, arXiv:1509.09308.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST_CHANNELS = 128  # with fewer, reading the tiles costs more than products save
LEAST_TILES = 96  # with fewer, reading the kernels does
TILES = 192  # computed at once: what they become stays in the cache
MIDDLE = 1  # of the points in both directions: it is part of all four results

Lines = Sequence[Tensor]  # one per point of one direction


def convolve(maps: Tensor, kernels: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with padding 1: maps (N, I, H, W), H and W even, and `kernels_of` the weight."""
    convolved: Tensor = _Convolved.apply(maps, kernels, bias, _PLAIN)
    return convolved


def convolve_doubled(maps: Tensor, kernels: Tensor, bias: Tensor | None) -> Tensor:
    """`convolve` of maps in which each value is repeated to 2x2: (N, I, h, w) -> (N, O, 2h, 2w).

    The kernels are `doubling_kernels_of` the weight.
    """
    convolved: Tensor = _Convolved.apply(maps, kernels, bias, _DOUBLING)
    return convolved


def kernels_of(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (16, O, I), one for each point."""
    half = 0.5
    return _transformed(weight, [[1, 0, 0], [half, half, half], [half, -half, half], [0, 0, 1]])


def doubling_kernels_of(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (9, O, I)."""
    return _transformed(weight, [[1, 0, 0], [1, 1, 1], [0, 0, 1]])


def pays(maps: Tensor, weight: Tensor, doubling: bool = False) -> bool:
    """Whether maps (N, I, H, W) and weight (O, I, 3, 3) are such that it is faster."""
    count, _, height, width = maps.shape
    tiles = count * height * width // (1 if doubling else 4)
    return (
        maps.device.type == 'cpu'
        and maps.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled('cpu')
        and weight.shape[2:] == (3, 3)
        and (doubling or height % 2 == width % 2 == 0)
        and min(weight.shape[:2]) >= LEAST_CHANNELS
        and tiles >= LEAST_TILES
    )


class _Form(NamedTuple):
    """Steps along one direction, each with its transposition for gradients.

    Attributes:
        reach: values of the maps for each tile, in each direction.
        split: maps cut into their phases -> what is multiplied, one line per point.
        gather: the transposition of `split`.
        draw: lines of products -> even and odd lines of the result.
        spread: the transposition of `draw`.
    """

    reach: int
    points: int
    split: Callable[[Lines, Lines, int], None]
    gather: Callable[[Lines, Lines, int], None]
    draw: Callable[[Lines, Lines], None]
    spread: Callable[[Lines, Lines], None]


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, kernels: Tensor, bias: Tensor | None, form: _Form
    ) -> Tensor:
        ctx.save_for_backward(maps, kernels)
        ctx.form = form
        rows = maps.permute(0, 2, 3, 1)
        sides = [2 * side // form.reach for side in maps.shape[2:]]
        convolved = _maps_like(maps, kernels.shape[1], *sides)
        for some, out in _parts(form, rows, convolved.permute(0, 2, 3, 1)):
            tiles = _split(form, some)
            products = torch.bmm(tiles.flatten(0, 1).flatten(1, -2), kernels.transpose(1, 2))
            products = products.view(*tiles.shape[:-1], -1)
            if bias is not None:
                products[MIDDLE, MIDDLE] += bias
            _draw(form, products, out)
        return convolved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        maps, kernels = ctx.saved_tensors
        wants_maps, wants_kernels, wants_bias, _ = ctx.needs_input_grad
        form: _Form = ctx.form
        into = _maps_like(maps, *maps.shape[1:])
        into_kernels = torch.empty_like(kernels)
        into_bias = incoming.new_zeros(incoming.shape[1])
        parts = _parts(form, incoming.permute(0, 2, 3, 1), *(
            values.permute(0, 2, 3, 1) for values in (maps, into)
        ))  # fmt: skip
        for index, (some, seen, out) in enumerate(parts):
            spread = _spread(form, some)
            products = spread.flatten(0, 1).flatten(1, -2)
            if wants_bias:
                into_bias += products[MIDDLE * form.points + MIDDLE].sum(0)
            if wants_kernels:
                tiles = _split(form, seen).flatten(0, 1).flatten(1, -2)
                into_kernels.baddbmm_(products.transpose(1, 2), tiles, beta=min(index, 1))
            if wants_maps:
                back = torch.bmm(products, kernels)
                _gather(form, back.view(*spread.shape[:-1], -1), out)
        return (
            into if wants_maps else None,
            into_kernels if wants_kernels else None,
            into_bias if wants_bias else None,
            None,
        )


def _transformed(weight: Tensor, rows: list[list[float]]) -> Tensor:
    once = weight.new_tensor(rows)
    twice = torch.einsum('ai,bj->abij', once, once).reshape(-1, 9)
    # In the order in which weights in channels_last lie: nothing is transposed.
    kernels = twice @ weight.permute(2, 3, 0, 1).reshape(9, -1)
    return kernels.view(-1, *weight.shape[:2])


def _maps_like(maps: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = len(maps), channels, height, width
    return torch.empty(shape, dtype=maps.dtype, memory_format=torch.channels_last)


def _parts(form: _Form, *rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """As many images (n, H, W, C) of each as make TILES."""
    maps = min(values.shape[1] * values.shape[2] for values in rows)
    count = -(-TILES * form.reach**2 // maps)
    return zip(*(values.split(count) for values in rows), strict=True)


def _split(form: _Form, rows: Tensor) -> Tensor:
    """(n, H, W, C) -> (points, points, n, tiles down, tiles across, C)."""
    count, height, width, channels = rows.shape
    reach, points = form.reach, form.points
    down = rows.new_empty(points, count, height // reach, width, channels)
    form.split(_phases(rows, 1, reach), down, 1)
    both = rows.new_empty(points, points, *down.shape[1:3], width // reach, channels)
    form.split(_phases(down, 3, reach), both.transpose(0, 1).unbind(), 3)
    return both


def _gather(form: _Form, tiles: Tensor, rows: Tensor) -> None:
    reach = form.reach
    down = tiles.new_empty(form.points, *tiles.shape[2:4], *rows.shape[2:])
    form.gather(tiles.transpose(0, 1).unbind(), _phases(down, 3, reach), 3)
    form.gather(down, _phases(rows, 1, reach), 1)


def _draw(form: _Form, products: Tensor, rows: Tensor) -> None:
    """(points, points, n, tiles down, tiles across, C) -> (n, H, W, C)."""
    down = products.new_empty(2, *products.shape[1:])
    form.draw(products, down)
    for line, out in zip(down, _phases(rows, 1, 2), strict=True):
        form.draw(line, _phases(out, 2, 2))


def _spread(form: _Form, rows: Tensor) -> Tensor:
    count, height, width, channels = rows.shape
    points = form.points
    down = rows.new_empty(points, count, height // 2, width, channels)
    form.spread(_phases(rows, 1, 2), down)
    both = rows.new_empty(points, points, *down.shape[1:3], width // 2, channels)
    form.spread(_phases(down, 3, 2), both.transpose(0, 1).unbind())
    return both


def _phases(values: Tensor, axis: int, count: int) -> Lines:
    """Every count-th of an axis, from each beginning."""
    return values.unflatten(axis, (-1, count)).unbind(axis + 1)


def _split_plain(phases: Lines, lines: Lines, axis: int) -> None:
    even, odd = phases
    torch.add(even, odd, out=lines[1])
    torch.sub(odd, even, out=lines[2])
    _less_next(odd, lines[0], axis)
    _next_less(even, lines[3], axis)


def _gather_plain(lines: Lines, phases: Lines, axis: int) -> None:
    even, odd = phases
    torch.sub(lines[1], lines[2], out=even)
    torch.add(lines[1], lines[2], out=odd)
    _add_less_next(lines[0], odd, axis)
    _add_next_less(lines[3], even, axis)


def _draw_plain(lines: Lines, results: Lines) -> None:
    torch.add(lines[1], lines[2], out=results[0]).add_(lines[0])
    torch.sub(lines[1], lines[2], out=results[1]).add_(lines[3])


def _spread_plain(results: Lines, lines: Lines) -> None:
    even, odd = results
    lines[0].copy_(even)
    torch.add(even, odd, out=lines[1])
    torch.sub(even, odd, out=lines[2])
    lines[3].copy_(odd)


def _split_doubling(phases: Lines, lines: Lines, axis: int) -> None:
    (values,) = phases
    lines[1].copy_(values)
    _less_next(values, lines[0], axis)
    _next_less(values, lines[2], axis)


def _gather_doubling(lines: Lines, phases: Lines, axis: int) -> None:
    (values,) = phases
    values.copy_(lines[1])
    _add_less_next(lines[0], values, axis)
    _add_next_less(lines[2], values, axis)


def _draw_doubling(lines: Lines, results: Lines) -> None:
    for index, result in enumerate(results):
        torch.add(lines[index], lines[index + 1], out=result)


def _spread_doubling(results: Lines, lines: Lines) -> None:
    lines[0].copy_(results[0])
    torch.add(*results, out=lines[1])
    lines[2].copy_(results[1])


def _less_next(values: Tensor, out: Tensor, axis: int) -> None:
    """The value before, less the one here; zeros beyond the border."""
    last = values.shape[axis] - 1
    torch.neg(values.narrow(axis, 0, 1), out=out.narrow(axis, 0, 1))
    before, here = values.narrow(axis, 0, last), values.narrow(axis, 1, last)
    torch.sub(before, here, out=out.narrow(axis, 1, last))


def _next_less(values: Tensor, out: Tensor, axis: int) -> None:
    """The value behind, less the one here."""
    last = values.shape[axis] - 1
    torch.neg(values.narrow(axis, last, 1), out=out.narrow(axis, last, 1))
    here, behind = values.narrow(axis, 0, last), values.narrow(axis, 1, last)
    torch.sub(behind, here, out=out.narrow(axis, 0, last))


def _add_less_next(line: Tensor, into: Tensor, axis: int) -> None:
    """The transposition of `_less_next`, added."""
    last = line.shape[axis] - 1
    into.sub_(line)
    into.narrow(axis, 0, last).add_(line.narrow(axis, 1, last))


def _add_next_less(line: Tensor, into: Tensor, axis: int) -> None:
    last = line.shape[axis] - 1
    into.sub_(line)
    into.narrow(axis, 1, last).add_(line.narrow(axis, 0, last))


_PLAIN = _Form(2, 4, _split_plain, _gather_plain, _draw_plain, _spread_plain)
_DOUBLING = _Form(
    1, 3, _split_doubling, _gather_doubling, _draw_doubling, _spread_doubling
)  # fmt: skip
