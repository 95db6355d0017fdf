# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One training run from configuration to checkpoint folder; called again, it goes on.

The run lives in `output`: best/ and last/ (policies), tensorboard/, config.yaml, resume.ckpt.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from motion_policy.policies import PolicySpec, make_model
from motion_policy.training.autoencoders import Autoencoders, load_autoencoders
from motion_policy.training.board import Pictures
from motion_policy.training.checkpoints import (
    RESUME_FILE,
    PolicyCheckpoints,
    software_versions,
)
from motion_policy.training.config import ConfigError, TrainConfig
from motion_policy.training.demonstrations import (
    Demonstrations,
    Progress,
    load_demonstrations,
)
from motion_policy.training.learning import Learning, learning_of
from motion_policy.training.module import PolicyModule

CONFIG_FILE = 'config.yaml'

# What may change between two calls of the same run.
FREE_KEYS = ('epochs', 'steps', 'output', 'threads', 'device', 'pictures_every', 'resume')


def no_progress(paths: Sequence[Path], _: str) -> Iterable[Path]:
    """Reads the episodes without telling."""
    return paths


def train(
    config: TrainConfig,
    *,
    callbacks: Sequence[Callback] = (),
    progress: Progress = no_progress,
) -> Path:
    """Trains `config.epochs` or `config.steps` and returns the folder of the best policy.

    Args:
        config: what to do.
        callbacks: further callbacks of the trainer, such as a progress bar.
        progress: wraps the list of episode files while they are read.

    Raises:
        UserError: the data, the configuration or an earlier run in `output` do not fit.
    """
    _check_device(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    output = config.output.expanduser()
    learning = learning_of(config)
    autoencoders = load_autoencoders(config.autoencoders)
    demonstrations = load_demonstrations(config, progress)
    learning.check(demonstrations)
    spec = policy_spec(config, demonstrations, learning, autoencoders)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        policy = make_model(spec)
    learning.begin(policy, autoencoders.models)
    resume = _prepare_output(config, output, spec)
    judged = 'validation/loss' if demonstrations.validation else 'train/loss'
    ours: list[Callback] = [PolicyCheckpoints(output, judged), *callbacks]
    if config.pictures_every:
        shown = (*demonstrations.validation, *demonstrations.train)[0]
        steps = shown.rows(slice(None, None, demonstrations.stride))
        ours.append(Pictures(steps, config.pictures_every))
    with _quiet():
        trainer = _trainer(config, output, ours)
        processes = trainer.global_rank, trainer.world_size
        data = learning.prepare(policy, demonstrations, trainer.strategy.root_device)
        try:
            trainer.fit(
                PolicyModule(policy, config, learning),
                learning.train_loader(data, *processes),
                learning.validation_loader(data, *processes) if data.validation else None,
                ckpt_path=resume,
                weights_only=True,
            )
        except SystemExit:  # how the trainer ends after Ctrl-C
            raise KeyboardInterrupt from None
    return output / 'best'


def policy_spec(
    config: TrainConfig,
    demonstrations: Demonstrations,
    learning: Learning[Any, Any],
    autoencoders: Autoencoders,
) -> PolicySpec:
    """The spec of the policy that this configuration trains on these demonstrations."""
    return PolicySpec(
        kind=config.kind,
        rate=config.rate,
        cameras=config.cameras,
        image_size=config.image_size,
        target=config.target,
        effort=config.effort,
        hyper=learning.hyper(autoencoders.models),
        normalisation=learning.normalisation(demonstrations),
        robot=demonstrations.robot,
        data=demonstrations.fingerprint(),
        training={**config.model_dump(mode='json'), 'began_with': list(autoencoders.record)},
        software=software_versions(),
    )


def _trainer(config: TrainConfig, output: Path, callbacks: list[Callback]) -> pl.Trainer:
    device, _, index = config.device.partition(':')
    processes = config.devices * config.nodes
    return pl.Trainer(
        accelerator={'cuda': 'gpu'}.get(device, device),
        devices=[int(index)] if index else config.devices,
        num_nodes=config.nodes,
        strategy=_strategy(config) if processes > 1 else 'auto',
        precision=config.precision,
        max_epochs=config.rounds,
        check_val_every_n_epoch=config.validation_period,
        gradient_clip_val=config.gradient_clip or None,
        logger=TensorBoardLogger(output, name='', version='tensorboard'),
        callbacks=callbacks,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def _strategy(config: TrainConfig) -> str:
    # A decoder that no term of the loss uses has no gradient to wait for.
    return 'ddp' if config.loss.image else 'ddp_find_unused_parameters_true'


def _prepare_output(config: TrainConfig, output: Path, spec: PolicySpec) -> Path | None:
    """Makes the folder of the run; returns the state to resume from, if there is one."""
    resume = output / RESUME_FILE
    told = {key: value for key, value in spec.training.items() if key not in FREE_KEYS}
    told['data_sha256'] = spec.data['sha256']
    record = output / CONFIG_FILE
    if config.resume == 'auto' and resume.is_file() and record.is_file():
        earlier = yaml.safe_load(record.read_text(encoding='utf-8'))
        _check_same_run(earlier, told, record)
        _check_readable(resume)
        return resume
    part = record.with_suffix('.part')
    try:
        resume.unlink(missing_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        part.write_text(yaml.safe_dump(told, sort_keys=False), encoding='utf-8')
        part.replace(record)
    except OSError as error:
        raise ConfigError(f'output: {output}: cannot be written: {error.strerror}') from None
    return None


def _check_same_run(earlier: Any, now: dict[str, Any], record: Path) -> None:
    earlier = earlier if isinstance(earlier, dict) else {}
    for key, value in now.items():
        if earlier.get(key) != value:
            raise ConfigError(
                f'{record}: this run was begun with {key}={earlier.get(key)}, now it is {value}: '
                'choose another output, or resume=never to begin anew'
            )


def _check_readable(resume: Path) -> None:
    try:
        torch.load(resume, map_location='cpu', weights_only=True)
    except Exception as error:  # torch names no common class for what a foreign file raises
        reason = ' '.join(str(error).split())[:100]
        raise ConfigError(
            f'{resume}: cannot be resumed from ({reason}), expected the state of this run; '
            'resume=never begins anew'
        ) from None


def _check_device(config: TrainConfig) -> None:
    here = torch.cuda.device_count()
    if not config.device.startswith('cuda'):
        return
    index = int(config.device.partition(':')[2] or 0)
    if max(index + 1, config.devices) > here:
        raise ConfigError(f'device: {config.device} x {config.devices}, this machine has {here}')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the trainer's hints about loaders and log intervals, which do not apply here."""
    loggers = [logging.getLogger(name) for name in ('pytorch_lightning', 'lightning_fabric')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='pytorch_lightning')
        warnings.filterwarnings('ignore', module='lightning_fabric')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
