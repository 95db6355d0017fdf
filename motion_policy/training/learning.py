# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Training tasks: from sequences, fixed features, frames, action chunks, or clips.

The trainer asks these for data, terms of the loss and images, and knows no kind of model.
"""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from motion_policy.policies import Model
from motion_policy.policies.act.act import ACTConfig, ACTPolicy
from motion_policy.policies.action_space import ActionSpace
from motion_policy.policies.normalisation import Normalisation
from motion_policy.policies.recurrent.base import RecurrentPolicy
from motion_policy.policies.recurrent.cae import CAEModel, adopt_pretrained
from motion_policy.policies.recurrent.cae_rnn import CAERNNPolicy, with_autoencoders
from motion_policy.policies.recurrent.cnnrnn import CNNRNNPolicy
from motion_policy.policies.video.predictor import FramePredictorConfig, FramePredictorModel
from motion_policy.training.act_loss import act_terms
from motion_policy.training.action_chunk_augmentation import ActionChunkAugmentation
from motion_policy.training.action_chunk_dataset import (
    ActionChunkDataset,
    ActionChunkSampler,
    ChunkBatch,
    evenly_spread,
)
from motion_policy.training.action_chunk_images import chunk_plot
from motion_policy.training.augmentation import (
    EpisodeAugmentation,
    FeatureAugmentation,
    FrameAugmentation,
    SequenceAugmentation,
)
from motion_policy.training.autoencoder_loss import autoencoder_terms
from motion_policy.training.backbone_weights import load_backbone_weights
from motion_policy.training.clip_dataset import ClipDataset, spread_evenly
from motion_policy.training.config import (
    ChunkConfig,
    ClipConfig,
    ConfigError,
    EpisodesConfig,
    FeatureConfig,
    FrameConfig,
    RunConfig,
    SequenceConfig,
    TermsConfig,
    TrainConfig,
    action_space,
)
from motion_policy.training.demonstrations import Demonstration, Demonstrations
from motion_policy.training.features import with_features
from motion_policy.training.frame_dataset import (
    FrameBatch,
    FrameDataset,
    FrameSampler,
    collate_frames,
)
from motion_policy.training.frame_loss import frame_terms, judged_terms
from motion_policy.training.images import RgbImage, reconstructions, storyboard
from motion_policy.training.optimiser import FUSED_EVERYWHERE, adam, lay_out_as_weights
from motion_policy.training.prediction_images import predicted_sequence
from motion_policy.training.recurrent_loss import recurrent_terms
from motion_policy.training.sequence_dataset import (
    Batch,
    SequenceDataset,
    SequenceSampler,
    collate,
)
from motion_policy.training.stored_frames import on_device, worker_count
from motion_policy.training.unrolling import Own

M = TypeVar('M', bound=Model)
B = TypeVar('B')
C = TypeVar('C', bound=RunConfig)
T = TypeVar('T', bound=TermsConfig)
E = TypeVar('E', bound=EpisodesConfig)
Loader = DataLoader[Any]

SCALED_ACTIONS = 500_000  # at most so many say how actions are scaled in their space


class Learning(ABC, Generic[M, B, C]):
    """How a model learns from batches under a configuration.

    Attributes:
        self_made: terms of the loss whose target the model makes itself: it is not judged by them.
        only_told: terms that are no part of the loss.
        image_name: what its images are called in TensorBoard.
    """

    self_made: ClassVar[tuple[str, ...]] = ()
    only_told: ClassVar[tuple[str, ...]] = ()
    image_name: ClassVar[str]

    def __init__(self, config: C) -> None:
        self.config = config

    def optimizer(self, model: M) -> torch.optim.Optimizer:
        """What moves the weights; a group may name a learning rate of its own as `initial_lr`."""
        parameters = [part for part in model.parameters() if part.requires_grad]
        scaled = self.config.precision == '16-mixed'
        return adam(parameters, self.config.learning_rate, scaled=scaled)

    def hyper(self, autoencoders: Sequence[Model]) -> dict[str, Any]:
        """The hyper-parameters of the model, if it begins with these autoencoders."""
        return self.config.hyper

    def check(self, data: Demonstrations) -> None:
        """ConfigError if the demonstrations do not suit the configuration."""

    def normalisation(self, data: Demonstrations) -> Normalisation:
        """How robot units are scaled, from the training episodes alone."""
        return data.range_normalisation()

    def actions(self, data: Demonstrations, space: ActionSpace) -> Tensor:
        """Actions (N, A) of the training episodes, by which they are scaled in their space."""
        raise NotImplementedError  # only asked of those whose configuration names a space

    def begin(self, model: M, autoencoders: Sequence[Model]) -> None:
        """Gives a new model the weights of trained autoencoders; UserError if they do not fit."""

    def prepare(self, model: M, data: Demonstrations, device: torch.device) -> Demonstrations:
        """The demonstrations as this way of learning wants them."""
        return data

    @abstractmethod
    def full_weight(self, term: str) -> float:
        """The weight of a term of the loss when it has risen."""

    def weight(self, term: str, epoch: int) -> float:
        """The weight of a term of the loss in an epoch."""
        return self.full_weight(term)

    def shares(self, epoch: int) -> dict[str, float]:
        """Shares that change from epoch to epoch, as the board shows them."""
        return {}

    @abstractmethod
    def train_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        """Batches to learn from, for one of several processes; its sampler is told the epoch."""

    @abstractmethod
    def validation_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        """Batches to judge by: always the same ones."""

    @abstractmethod
    def terms(
        self, model: M, batch: B, epoch: int, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """The terms of the loss, each a scalar.

        Those to judge by, with nothing varied, without a generator.
        """

    @abstractmethod
    def image(self, model: M, episode: Demonstration) -> RgbImage:
        """What the model makes of an episode at its own rate, (H, W, 3)."""


class ScheduledLearning(Learning[M, B, T]):
    """With a weight for each thing that is predicted, which may rise."""

    def full_weight(self, term: str) -> float:
        weight: float = getattr(self.config.loss, term)
        return weight

    def weight(self, term: str, epoch: int) -> float:
        return self.full_weight(term) * self.config.loss_schedule.share(term, epoch)


class EpisodeLearning(ScheduledLearning[RecurrentPolicy, Batch, E]):
    """From whole episodes at the policy's rate, by back-propagation through time.

    Attributes:
        augmentation: what is varied in an episode.
        image_frames: frames per episode for the image term; None: all, 0: no such term.
    """

    image_name = 'storyboard'
    augmentation: EpisodeAugmentation
    image_frames: int | None

    def shares(self, epoch: int) -> dict[str, float]:
        sampling = self.config.scheduled_sampling
        if not (sampling.joint or sampling.image):
            return {}
        joint, image = sampling.shares(epoch)
        return {'own_share/joint': joint, 'own_share/image': image}

    def train_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        order = SequenceSampler(
            len(data.train), data.stride, self.config.seed, rank=rank, processes=processes
        )
        return self._loader(SequenceDataset(data.train, data.stride), order)

    def validation_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        mine = range(rank, len(data.validation), processes)
        sequences = SequenceDataset(data.validation, data.stride)
        return self._loader(sequences, [(episode, 0) for episode in mine])

    def actions(self, data: Demonstrations, space: ActionSpace) -> Tensor:
        targets = [episode.targets for episode in data.train if episode.targets is not None]
        return torch.cat([target[data.stride :] for target in targets])

    def terms(
        self,
        model: RecurrentPolicy,
        batch: Batch,
        epoch: int,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        config = self.config
        if generator is None:
            return recurrent_terms(model, batch, self.image_frames)
        return recurrent_terms(
            model,
            batch,
            self.image_frames,
            bptt_steps=config.bptt_steps,
            own=Own(*config.scheduled_sampling.shares(epoch)),
            augmentation=self.augmentation,
            generator=generator,
        )

    def image(self, model: RecurrentPolicy, episode: Demonstration) -> RgbImage:
        return storyboard(model, episode)

    def _loader(self, sequences: SequenceDataset, order: Any) -> Loader:
        return DataLoader(
            sequences, batch_size=self.config.batch_size, sampler=order, collate_fn=collate
        )


class SequenceLearning(EpisodeLearning[SequenceConfig]):
    """From episodes as they were seen: what encodes images learns, too, so features move."""

    self_made = ('point', 'feature')

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        self.augmentation = SequenceAugmentation(config.augmentation)
        self.image_frames = config.image_loss_frames if config.loss.image else 0

    def begin(self, model: RecurrentPolicy, autoencoders: Sequence[Model]) -> None:
        if autoencoders:
            adopt_pretrained(cast(CNNRNNPolicy, model), autoencoders)


class FeatureLearning(EpisodeLearning[FeatureConfig]):
    """From episodes of image features, which are found once, before the first epoch."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        self.augmentation = FeatureAugmentation(config.augmentation)
        self.image_frames = 0

    def hyper(self, autoencoders: Sequence[Model]) -> dict[str, Any]:
        return with_autoencoders(self.config.hyper, autoencoders)

    def begin(self, model: RecurrentPolicy, autoencoders: Sequence[Model]) -> None:
        cast(CAERNNPolicy, model).adopt_autoencoders(autoencoders)

    def prepare(
        self, model: RecurrentPolicy, data: Demonstrations, device: torch.device
    ) -> Demonstrations:
        return with_features(cast(CAERNNPolicy, model), data, device)


class FrameLearning(ScheduledLearning[CAEModel, FrameBatch, FrameConfig]):
    """From single frames, drawn anew for every epoch."""

    image_name = 'reconstruction'

    def __init__(self, config: FrameConfig) -> None:
        super().__init__(config)
        self.augmentation = FrameAugmentation(config.augmentation)

    def train_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        frames = FrameDataset(data.train)
        order = FrameSampler(
            frames.every(1),
            self.config.frames_per_epoch,
            self.config.seed,
            rank=rank,
            processes=processes,
        )
        # A last batch of few frames would shake the means of a batch normalisation.
        return self._loader(frames, order, drop_last=len(order) >= self.config.batch_size)

    def validation_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        frames = FrameDataset(data.validation)
        return self._loader(frames, frames.every(data.stride)[rank::processes], drop_last=False)

    def terms(
        self, model: CAEModel, batch: FrameBatch, epoch: int, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        return autoencoder_terms(model, batch, self.augmentation, generator)

    def image(self, model: CAEModel, episode: Demonstration) -> RgbImage:
        return reconstructions(model, episode)

    def _loader(self, frames: FrameDataset, order: Any, drop_last: bool) -> Loader:
        return DataLoader(
            frames,
            batch_size=self.config.batch_size,
            sampler=order,
            collate_fn=collate_frames,
            drop_last=drop_last,
        )


class ChunkLearning(Learning[ACTPolicy, ChunkBatch, ChunkConfig]):
    """From single rows and the actions that followed, counted in steps."""

    image_name = 'chunks'

    def __init__(self, config: ChunkConfig) -> None:
        super().__init__(config)
        self.augmentation = ActionChunkAugmentation(config.augmentation)

    @property
    def _chunk(self) -> int:
        return ACTConfig.model_validate(self.config.hyper).chunk

    def check(self, data: Demonstrations) -> None:
        longest = max(-(-episode.length // data.stride) for episode in data.train)
        if self._chunk > longest:
            raise ConfigError(
                f'policy.chunk: {self._chunk} steps, but the longest episode has {longest}: '
                'what comes after would never be learnt'
            )

    def normalisation(self, data: Demonstrations) -> Normalisation:
        return data.mean_std_normalisation()

    def actions(self, data: Demonstrations, space: ActionSpace) -> Tensor:
        dataset = ActionChunkDataset(
            data.train, self._chunk, data.stride, self.config.target, space
        )
        return dataset.actions(SCALED_ACTIONS // self._chunk)

    def full_weight(self, term: str) -> float:
        return {'action': self.config.loss.action, 'kl': self.config.loss.kl}[term]

    def optimizer(self, model: ACTPolicy) -> torch.optim.Optimizer:
        """AdamW, with a learning rate of its own for what sees the images."""
        rate = self.config.learning_rate
        seeing = {id(part) for part in model.network.backbones.parameters()}
        groups: list[dict[str, Any]] = []
        rates = {False: rate, True: self.config.learning_rate_backbone or rate}
        for sees, own in rates.items():
            parts = [part for part in model.parameters() if (id(part) in seeing) == sees]
            if parts:
                groups.append({'params': parts, 'lr': own, 'initial_lr': own})
        # The fused form cannot clip gradients that are scaled.
        fused = FUSED_EVERYWHERE and self.config.precision != '16-mixed'
        optimizer = torch.optim.AdamW(
            groups, lr=rate, weight_decay=self.config.weight_decay, fused=fused
        )
        optimizer.register_load_state_dict_post_hook(lay_out_as_weights)
        return optimizer

    def begin(self, model: ACTPolicy, autoencoders: Sequence[Model]) -> None:
        load_backbone_weights(model, self.config.backbone_weights)

    def prepare(
        self, model: ACTPolicy, data: Demonstrations, device: torch.device
    ) -> Demonstrations:
        prepared: Demonstrations = on_device(self.config, data, device)
        return prepared

    def train_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        config = self.config
        dataset = self._dataset(data, data.train)
        order = ActionChunkSampler(
            len(dataset),
            config.batch_size,
            config.round_length,
            config.seed,
            rank=rank,
            processes=processes,
            weights=dataset.weights,
        )
        return self._loader(dataset, order)

    def validation_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        dataset = self._dataset(data, data.validation)
        count, size = self.config.validation_frames, self.config.batch_size
        batches = evenly_spread(len(dataset), count, size, dataset.weights)
        return self._loader(dataset, batches[rank::processes])

    def terms(
        self, model: ACTPolicy, batch: ChunkBatch, epoch: int, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        if generator is not None:  # dropout takes no generator
            torch.manual_seed(generator.initial_seed())
        return act_terms(
            model, batch, self.augmentation, generator, self.config.loss.legacy_padding_mean
        )

    def image(self, model: ACTPolicy, episode: Demonstration) -> RgbImage:
        return chunk_plot(model, episode)

    def _dataset(
        self, data: Demonstrations, episodes: Sequence[Demonstration]
    ) -> ActionChunkDataset:
        space = action_space(self.config, data.robot)
        return ActionChunkDataset(episodes, self._chunk, data.stride, self.config.target, space)

    def _loader(self, dataset: ActionChunkDataset, order: Any) -> Loader:
        images = [image for e in dataset.demonstrations for image in e.images.values()]
        cuda = torch.cuda.is_available() and self.config.device != 'cpu'
        workers = worker_count(self.config, images, cuda)
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            pin_memory=cuda and workers > 0,
            persistent_workers=workers > 0,
            multiprocessing_context=_worker_context() if workers else None,
        )


class ClipLearning(Learning[FramePredictorModel, Batch, ClipConfig]):
    """From short clips with their actions, drawn anew for every epoch."""

    self_made = ('kl',)
    only_told = ('psnr',)
    image_name = 'prediction'

    @property
    def _frames(self) -> int:
        hyper = FramePredictorConfig.model_validate(self.config.hyper)
        return hyper.past + hyper.future

    def check(self, data: Demonstrations) -> None:
        for episodes in (data.train, data.validation):
            ClipDataset(episodes, self._frames, data.stride)

    def normalisation(self, data: Demonstrations) -> Normalisation:
        return data.mean_std_normalisation()

    def full_weight(self, term: str) -> float:
        return self.config.prediction.kl.weight if term == 'kl' else 1.0

    def weight(self, term: str, epoch: int) -> float:
        share = self.config.prediction.kl.share(epoch, self.config.rounds) if term == 'kl' else 1.0
        return self.full_weight(term) * share

    def shares(self, epoch: int) -> dict[str, float]:
        return {'teacher_forcing': self._forced_share(epoch)}

    def train_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        clips = ClipDataset(data.train, self._frames, data.stride)
        count, seed = self.config.prediction.clips_per_epoch, self.config.seed
        order = FrameSampler(clips.starts(), count, seed, rank=rank, processes=processes)
        # A last batch of few clips would shake the means of the batch normalisations.
        return self._loader(clips, order, drop_last=len(order) >= self.config.batch_size)

    def validation_loader(self, data: Demonstrations, rank: int, processes: int) -> Loader:
        clips = ClipDataset(data.validation, self._frames, data.stride)
        starts = spread_evenly(clips.starts(), self.config.prediction.validation_clips)
        return self._loader(clips, starts[rank::processes], drop_last=False)

    def terms(
        self,
        model: FramePredictorModel,
        batch: Batch,
        epoch: int,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        if generator is None:
            return judged_terms(model, batch, self.config.seed)
        return frame_terms(model, batch, self._forced_share(epoch), generator)

    def image(self, model: FramePredictorModel, episode: Demonstration) -> RgbImage:
        return predicted_sequence(model, episode)

    def _forced_share(self, epoch: int) -> float:
        return self.config.prediction.teacher_forcing.share(epoch, self.config.rounds)

    def _loader(self, clips: ClipDataset, order: Any, drop_last: bool) -> Loader:
        size = self.config.batch_size
        return DataLoader(
            clips, batch_size=size, sampler=order, collate_fn=collate, drop_last=drop_last
        )


def _worker_context() -> BaseContext:
    """How workers begin: a copy of this process, with other threads (CUDA, OpenVINO), may crash.

    Those of a process that has only imported the dataset begin at once and share its memory.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([ActionChunkDataset.__module__])
    return context


AnyLearning = Learning[Any, Any, Any]


def learning_of(config: TrainConfig) -> AnyLearning:
    """How the kind of model that is configured learns."""
    match config:
        case SequenceConfig():
            return SequenceLearning(config)
        case FeatureConfig():
            return FeatureLearning(config)
        case FrameConfig():
            return FrameLearning(config)
        case ChunkConfig():
            return ChunkLearning(config)
        case ClipConfig():
            return ClipLearning(config)
