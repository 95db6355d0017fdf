# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""ACT, action chunking with transformers (Zhao et al., arXiv:2304.13705).

Images and joints become tokens, a transformer turns them into a chunk of targets. In training a
conditional variational autoencoder tells it in which of many styles the demonstrator moved; when
it acts, that latent variable is zero and the autoencoder is not even needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from motion_policy.declared import Declared
from motion_policy.policies.act.backbone import BackboneName, make_backbone
from motion_policy.policies.act.transformer import (
    DecoderLayer,
    EncoderLayer,
    sine_positions,
    sine_positions_2d,
)
from motion_policy.policies.base import Policy, PolicySpec
from motion_policy.policies.limits import MOST_LAYERS, MOST_STEPS, MOST_UNITS

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


class ACTConfig(Declared):
    """Hyper-parameters; the defaults are those of the paper.

    `decoder_layers` counts the layers that are used: the original implementation has seven and
    reads the first.
    """

    chunk: int = Field(default=100, ge=1, le=MOST_STEPS, description='targets per inference')
    hidden_dim: int = Field(default=512, ge=4, le=MOST_UNITS)
    heads: int = Field(default=8, ge=1, le=MOST_UNITS)
    feedforward_dim: int = Field(default=3200, ge=1, le=MOST_UNITS)
    encoder_layers: int = Field(default=4, ge=1, le=MOST_LAYERS)
    decoder_layers: int = Field(default=1, ge=1, le=MOST_LAYERS)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    latent_dim: int = Field(
        default=32, ge=0, le=MOST_UNITS, description='of the CVAE; 0: without it'
    )
    posterior: bool = Field(
        default=True, description="the CVAE's encoder is there; only training needs it"
    )
    posterior_layers: int = Field(default=4, ge=1, le=MOST_LAYERS)
    backbone: BackboneName = 'resnet18'
    backbone_per_camera: bool = Field(default=False, description='else one sees every camera')
    camera_embedding: bool = Field(default=False, description='image tokens name their camera')
    image_mean: tuple[Triple, ...] = Field(
        default=(IMAGENET_MEAN,), description='RGB of [0, 1]: one for all cameras, or one each'
    )
    image_std: tuple[Triple, ...] = (IMAGENET_STD,)

    @model_validator(mode='after')
    def _divisible(self) -> ACTConfig:
        if self.hidden_dim % self.heads or self.hidden_dim % 4:
            raise ValueError(
                f'hidden_dim {self.hidden_dim}: expected a multiple of 4 and of heads={self.heads}'
            )
        if len(self.image_mean) != len(self.image_std):
            raise ValueError(f'{len(self.image_mean)} image_mean, {len(self.image_std)} image_std')
        if min(min(std) for std in self.image_std) <= 0:
            raise ValueError('image_std: expected more than 0')
        return self

    @property
    def has_posterior(self) -> bool:
        """Whether the network can tell the style of a demonstration."""
        return self.posterior and self.latent_dim > 0


@dataclass(frozen=True)
class Chunk:
    """What the network answers: targets (B, k, A), and in training the posterior's mean and
    log variance, (B, latent) each.
    """

    targets: Tensor
    mean: Tensor | None = None
    log_variance: Tensor | None = None


class Posterior(nn.Module):
    """The encoder of the CVAE: joints (B, V) and actions (B, k, A) -> mean, log variance."""

    positions: Tensor

    def __init__(self, vector_dim: int, action_dim: int, config: ACTConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.summary = nn.Parameter(torch.randn(1, 1, width))
        self.state_proj = nn.Linear(vector_dim, width)
        self.action_proj = nn.Linear(action_dim, width)
        self.layers = nn.ModuleList(_encoder_layer(config) for _ in range(config.posterior_layers))
        self.to_distribution = nn.Linear(width, 2 * config.latent_dim)
        table = sine_positions(config.chunk + 2, width)[None]
        self.register_buffer('positions', table, persistent=False)

    def forward(self, vector: Tensor, actions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        batch = len(vector)
        tokens = torch.cat(
            (
                self.summary.expand(batch, -1, -1),
                self.state_proj(vector)[:, None],
                self.action_proj(actions),
            ),
            dim=1,
        )
        allowed = torch.cat((valid.new_ones(batch, 2), valid), dim=1)
        for layer in self.layers[:-1]:
            tokens = layer(tokens, self.positions, allowed)
        tokens = self.layers[-1](tokens, self.positions, allowed, first=1)  # only that is read
        mean, log_variance = self.to_distribution(tokens[:, 0]).chunk(2, dim=-1)
        return mean, log_variance


class ACTNetwork(nn.Module):
    """The networks of ACT for V state values, A actions and some cameras (none is allowed)."""

    def __init__(self, vector_dim: int, action_dim: int, cameras: int, config: ACTConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.config, self.cameras = config, cameras
        self.posterior = None
        if config.has_posterior:
            self.posterior = Posterior(vector_dim, action_dim, config)
        kinds = 0 if not cameras else cameras if config.backbone_per_camera else 1
        self.backbones = nn.ModuleList(make_backbone(config.backbone) for _ in range(kinds))
        if kinds:
            self.image_proj = nn.Conv2d(self.backbones[0].channels, width, 1)
        self.camera_embedding = None
        if config.camera_embedding:
            self.camera_embedding = nn.Parameter(torch.zeros(cameras, width))
        self.state_proj = nn.Linear(vector_dim, width)
        self.latent_proj = nn.Linear(config.latent_dim, width) if config.latent_dim else None
        self.token_positions = nn.Parameter(torch.randn(2 if config.latent_dim else 1, width))
        self.encoder = nn.ModuleList(_encoder_layer(config) for _ in range(config.encoder_layers))
        self.queries = nn.Parameter(torch.randn(config.chunk, width))
        self.decoder = nn.ModuleList(
            DecoderLayer(width, config.heads, config.feedforward_dim, config.dropout)
            for _ in range(config.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.action_head = nn.Linear(width, action_dim)
        for part in (self.encoder, self.decoder):
            for parameter in part.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
        for name, triples in (('image_mean', config.image_mean), ('image_std', config.image_std)):
            table = torch.tensor(triples)[:, None, :, None, None]  # (1 or cameras, 1, 3, 1, 1)
            self.register_buffer(name, table, persistent=False)
        self._maps: dict[tuple[int, int], Tensor] = {}

    def forward(
        self,
        images: Sequence[Tensor],
        vector: Tensor,
        actions: Tensor | None = None,
        valid: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Chunk:
        """One chunk for each observation.

        Args:
            images: per camera (B, 3, H, W) in [0, 1].
            vector: (B, V) normalised joints (efforts, vectors).
            actions: (B, k, A) normalised, in training; the latent is zero without.
            valid: (B, k) bool, false where the episode was over.
            noise: (B, latent) standard normal; drawn if not given.
        """
        mean = log_variance = latent = None
        if self.posterior is not None and actions is not None:
            if valid is None:
                valid = torch.ones(actions.shape[:2], dtype=torch.bool, device=actions.device)
            mean, log_variance = self.posterior(vector, actions, valid)
            noise = torch.randn_like(mean) if noise is None else noise
            latent = mean + (log_variance / 2).exp() * noise
        memory, positions, _ = self.encode(images, vector, latent)
        return Chunk(self.decode(memory, positions), mean, log_variance)

    def encode(
        self, images: Sequence[Tensor], vector: Tensor, latent: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        """What the decoder looks at: memory (B, T, D), the positions (1, T, D) of its tokens, and
        per camera the height and width of its feature map.

        Tokens are: the latent (if there is one), the joints, then the feature maps row by row,
        camera after camera.
        """
        tokens = [self.state_proj(vector)[:, None]]
        if self.latent_proj is not None:
            if latent is None:
                latent = vector.new_zeros(len(vector), self.config.latent_dim)
            tokens.insert(0, self.latent_proj(latent)[:, None])
        places = [self.token_positions]
        shapes = []
        for camera, image in enumerate(images):
            features = self.image_proj(self.extract_features(image, camera))
            place = self.map_positions(features.shape[-2], features.shape[-1])
            if self.camera_embedding is not None:
                place = place + self.camera_embedding[camera]
            tokens.append(features.flatten(2).transpose(1, 2))
            places.append(place)
            shapes.append((features.shape[-2], features.shape[-1]))
        memory, positions = torch.cat(tokens, dim=1), torch.cat(places)[None]
        for layer in self.encoder:
            memory = layer(memory, positions)
        return memory, positions, shapes

    def decode(self, memory: Tensor, positions: Tensor) -> Tensor:
        """The chunk (B, k, A) that the memory leads to."""
        targets = torch.zeros_like(self.queries).expand(len(memory), -1, -1)
        for layer in self.decoder:
            targets = layer(targets, memory, self.queries, positions)
        chunk: Tensor = self.action_head(self.decoder_norm(targets))
        return chunk

    def extract_features(self, image: Tensor, camera: int) -> Tensor:
        """The feature map (B, C, h, w) of images (B, 3, H, W) in [0, 1] of one camera."""
        features: Tensor = self.backbone_for(camera)(self.scaled(image, camera))
        return features

    def points(self, image: Tensor, camera: int) -> Tensor:
        """Where (B, K, 2) the features are that a point backbone finds in such images."""
        found: Tensor = self.backbone_for(camera).points_in_image(self.scaled(image, camera))
        return found

    def backbone_for(self, camera: int) -> nn.Module:
        """The backbone that sees this camera."""
        return self.backbones[camera if len(self.backbones) > 1 else 0]

    def scaled(self, image: Tensor, camera: int) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] in units of the spread of their colours."""
        of = camera if len(self.image_mean) > 1 else 0
        scaled: Tensor = (image - self.image_mean[of]) / self.image_std[of]
        return scaled

    def attention(self, memory: Tensor, positions: Tensor) -> Tensor:
        """How much the chunk as a whole looks at each token of the memory: (B, T), sum 1."""
        layer = self.decoder[0]
        targets = torch.zeros_like(self.queries).expand(len(memory), -1, -1)
        targets = layer.attend_each_other(targets, self.queries)
        weights: Tensor = layer.cross_attn.weights(targets + self.queries, memory + positions)
        return weights.mean(1)

    def map_positions(self, height: int, width: int) -> Tensor:
        """The positions (height * width, D) of a feature map's tokens, on the network's device."""
        device = self.queries.device
        known = self._maps.get((height, width))
        if known is None or known.device != device:
            known = sine_positions_2d(height, width, self.config.hidden_dim).to(device)
            self._maps[height, width] = known
        return known


class ACTPolicy(Policy):
    """ACT as a policy: no state, a chunk of k targets."""

    kind: ClassVar[str] = 'act'
    Config: ClassVar[type[BaseModel]] = ACTConfig
    learns_from = 'chunks'
    config: ACTConfig

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__(spec)
        cameras, tables = len(spec.cameras), len(self.config.image_mean)
        if tables not in (1, cameras):
            raise ValueError(
                f'image_mean: found {tables}, expected 1 or one per camera ({cameras})'
            )
        self.network = ACTNetwork(self.vector_dim, self.action_dim, cameras, self.config)

    @property
    def chunk_rows(self) -> int:
        """Targets per inference."""
        return self.config.chunk

    @property
    def first_due_ns(self) -> int:
        """Row 0 is the action of the observation's own moment, or the joints of the next."""
        return 0 if self.spec.target == 'action' else self.period_ns

    def initial_state(self, batch_size: int) -> None:
        """ACT remembers nothing: None."""

    def infer(
        self, images: dict[str, Tensor], vector: Tensor, state: None, explain: bool
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        """Targets (B, k, A); explained by `attention/CAM` (B, h, w), which add up to at most 1, or
        by `encoder_points/CAM` (B, K, 2) where points are all that it sees.
        """
        frames = [images[camera] for camera in self.cameras]
        memory, positions, shapes = self.network.encode(frames, vector)
        targets = self.network.decode(memory, positions)
        if not explain:
            return targets, None, {}
        if self.sees_points:
            return targets, None, self.points(frames)
        return targets, None, self.attention(memory, positions, shapes)

    @property
    def sees_points(self) -> bool:
        """Whether an image becomes points, and no map to be attended to."""
        return self.config.backbone == 'points' and bool(self.cameras)

    def points(self, frames: Sequence[Tensor]) -> dict[str, Tensor]:
        """`encoder_points/CAM` (B, K, 2) of images (B, 3, H, W), one per camera."""
        return {
            f'encoder_points/{name}': self.network.points(image, camera)
            for camera, (name, image) in enumerate(zip(self.cameras, frames, strict=True))
        }

    def attention(
        self, memory: Tensor, positions: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> dict[str, Tensor]:
        """`attention/CAM` (B, h, w) of each camera, from what `encode` gives."""
        weights = self.network.attention(memory, positions)
        sizes = [height * width for height, width in shapes]
        parts = weights[:, weights.shape[1] - sum(sizes) :].split(sizes, dim=1)
        return {
            f'attention/{camera}': part.unflatten(1, shape)
            for camera, part, shape in zip(self.cameras, parts, shapes, strict=True)
        }


def without_posterior(policy: ACTPolicy) -> ACTPolicy:
    """The same policy without the encoder of its CVAE: it acts alike and cannot be trained on."""
    hyper = {**policy.spec.hyper, 'posterior': False}
    slim = ACTPolicy(policy.spec.model_copy(update={'hyper': hyper}))
    kept = slim.state_dict().keys()
    weights = {key: weight for key, weight in policy.state_dict().items() if key in kept}
    slim.load_state_dict(weights)
    slim.source = policy.source
    return slim.to(policy.device).train(policy.training)


def _encoder_layer(config: ACTConfig) -> EncoderLayer:
    return EncoderLayer(config.hidden_dim, config.heads, config.feedforward_dim, config.dropout)
