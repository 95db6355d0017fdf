# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Image backbones of ACT: ResNets with frozen batch norm, and two small networks for CPUs.

Batch statistics of a ResNet are frozen: batches of robot images are too small and too alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_policy.errors import UserError

BackboneName = Literal['resnet18', 'resnet34', 'resnet50', 'small', 'points']
SMALL_CHANNELS = (32, 64, 96, 128)
GROUPS = 8
COORDINATES = 2
POINT_CHANNELS = (16, 32)
POINTS = 32
POINT_MOMENTUM = 0.01
SCORE_FLOOR = 1e-4
SPREAD_FLOOR = 1e-8  # of a variance; half the image is 1


class ResNetBackbone(nn.Module):
    """torchvision's ResNet up to its last feature map: (N, 3, H, W) -> (N, C, H / 32, W / 32).

    `body` has torchvision's own names. Its weights are random; UserError without torchvision.
    ResNet: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            # Slow to load, and only this kind of policy needs it.
            from torchvision.models import get_model
            from torchvision.ops import FrozenBatchNorm2d
        except ImportError:
            raise UserError(
                f"a policy with the backbone '{name}' needs torchvision: pip install torchvision"
            ) from None
        whole = get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
        parts = [(part, module) for part, module in whole.named_children()]
        self.channels: int = whole.fc.in_features
        self.body = nn.ModuleDict({p: m for p, m in parts if p not in ('avgpool', 'fc')})
        self.body.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        body = self.body
        images = _normalised(body['conv1'], body['bn1'], images)
        # The greatest of what is cut at zero is the greatest, cut at zero: of a quarter as many.
        images = F.relu_(body['maxpool'](images))
        for name in ('layer1', 'layer2', 'layer3', 'layer4'):
            for block in body[name]:
                images = _residual(block, images)
        return images


def _residual(block: Any, images: Tensor) -> Tensor:
    """torchvision's BasicBlock or Bottleneck."""
    shortcut = images
    if block.downsample is not None:
        shortcut = _normalised(block.downsample[0], block.downsample[1], images)
    images = F.relu_(_normalised(block.conv1, block.bn1, images))
    images = _normalised(block.conv2, block.bn2, images)
    if hasattr(block, 'conv3'):
        images = _normalised(block.conv3, block.bn3, F.relu_(images))
    return F.relu_(images.add_(shortcut))


def _normalised(convolution: Any, norm: Any, images: Tensor) -> Tensor:
    """A convolution and its frozen batch normalisation as one: the weights are far fewer than
    the pixels.
    """
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return F.conv2d(
        images,
        convolution.weight * scale[:, None, None, None],
        norm.bias - norm.running_mean * scale,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        convolution.groups,
    )


class SmallBackbone(nn.Module):
    """Four convolutions with group normalisation: (N, 3, H, W) -> (N, 128, H / 16, W / 16).

    The last one is told where it looks (Liu et al., "An intriguing failing of convolutional neural
    networks and the CoordConv solution", arXiv:1807.03247): ACT adds positions to what is compared
    only, and a field of view of 33 pixels cannot tell a place from another.
    """

    channels = SMALL_CHANNELS[-1]

    def __init__(self) -> None:
        super().__init__()
        convolutions, norms = [], []
        before = 3
        for index, channels in enumerate(SMALL_CHANNELS):
            kernel = 5 if index == 0 else 3
            before += COORDINATES if index == len(SMALL_CHANNELS) - 1 else 0
            convolutions.append(nn.Conv2d(before, channels, kernel, 2, kernel // 2))
            norms.append(nn.GroupNorm(GROUPS, channels))
            before = channels
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(norms)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous()  # channels_last has no quick group normalisation
        last = len(self.convolutions) - 1
        for index, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            if index == last:
                images = torch.cat((images, _coordinates(images)), dim=1)
            images = F.relu(norm(convolution(images)))
        return images


class PointBackbone(nn.Module):
    """Where 32 learned features are in the image: (N, 3, H, W) -> (N, 64, 1, 1): every x, every y.

    Three convolutions and a spatial softmax (Levine et al., "End-to-end training of deep
    visuomotor policies", arXiv:1504.00702) over scores that have the same spread in every image. A
    camera becomes one token that tells positions finer than pixels, from few demonstrations.
    """

    channels = COORDINATES * POINTS

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, channels) in enumerate(pairwise((3, *POINT_CHANNELS, POINTS))):
            layers.append(nn.Conv2d(before, channels, 3, 1 if number else 2, 1))
            layers.append(nn.ReLU(inplace=True))
        self.convolutions = nn.Sequential(*layers[:-1])
        self.convolutions.to(memory_format=torch.channels_last)
        self.log_temperature = nn.Parameter(torch.zeros(POINTS, 1))
        self.spread = RunningMeanStd(self.channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.spread(torch.cat(self.find(images), dim=1))[..., None, None]

    def points_in_image(self, images: Tensor) -> Tensor:
        """The points (N, K, 2), x and y from 0 to 1 between the centres of the outer pixels."""
        points = torch.stack(self.find(images), dim=-1)
        places = [2 * ((extent + 1) // 2 - 1) / (extent - 1) for extent in images.shape[:1:-1]]
        return (points + 1) / 2 * points.new_tensor(places)

    def find(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """x and y of the points, (N, K) each, from -1 to 1 across the map of scores."""
        maps = self.convolutions(images)
        height, width = maps.shape[-2:]
        scores = maps.flatten(2).float()  # half precision would round positions to pixels
        deviation, mean = torch.std_mean(scores, dim=-1, correction=0, keepdim=True)
        scores = (scores - mean) / (deviation + SCORE_FLOOR) * self.log_temperature.neg().exp()
        attention = scores.softmax(-1).unflatten(-1, (height, width))
        x = (attention.sum(2) * _axis(width, scores)).sum(-1)
        y = (attention.sum(3) * _axis(height, scores)).sum(-1)
        return x, y


class RunningMeanStd(nn.Module):
    """Values (N, C) in units of their own spread, which is followed while training.

    A small object moves a point by little: only so does what it moves outweigh the rest of the
    network's input, and is learnt within hundreds of steps. Like batch normalisation (Ioffe and
    Szegedy, arXiv:1502.03167), but by the running statistics in training too, and not learned.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(channels))
        self.register_buffer('variance', torch.ones(channels))
        self.register_buffer('seen', torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self._follow(values.detach())
        return (values - self.mean) / (self.variance + SPREAD_FLOOR).sqrt()

    def _follow(self, values: Tensor) -> None:
        self.seen += 1
        share = (1 / self.seen).clamp(min=POINT_MOMENTUM)
        self.mean.lerp_(values.mean(0), share)
        square = (values - self.mean).square().mean(0)
        self.variance.lerp_(square, share)


def _coordinates(maps: Tensor) -> Tensor:
    """x and y of every place of maps (N, C, h, w), from -1 to 1: (N, 2, h, w)."""
    height, width = maps.shape[-2:]
    x = _axis(width, maps).expand(height, width)
    y = _axis(height, maps)[:, None].expand_as(x)
    return torch.stack((x, y)).expand(len(maps), -1, -1, -1)


def _axis(places: int, like: Tensor) -> Tensor:
    return torch.linspace(-1, 1, places, dtype=like.dtype, device=like.device)


def make_backbone(name: BackboneName) -> ResNetBackbone | SmallBackbone | PointBackbone:
    """A backbone with random weights; `channels` says how deep its feature map is."""
    small = {'small': SmallBackbone, 'points': PointBackbone}
    return small[name]() if name in small else ResNetBackbone(name)
