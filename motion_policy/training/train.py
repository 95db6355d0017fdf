# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""One training run from configuration to checkpoint; called again, it resumes.

The run lives in `output`: best/ and last/ (policies), tensorboard/, config.yaml, resume.ckpt.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.distributed import DistNetworkError, DistStoreError

from motion_policy.documents import read_yaml
from motion_policy.files import (
    FileError,
    check_output_folder,
    make_folder,
    naming_errors,
    write_text,
)
from motion_policy.policies import CheckpointError, PolicySpec, make_model, read_policy_spec
from motion_policy.policies.base import said_fits
from motion_policy.policies.checkpoint import SPEC_FILE
from motion_policy.policies.cpu.processor import has_bf16
from motion_policy.policies.kinds import model_on_paper
from motion_policy.policies.normalisation import is_same_scale
from motion_policy.policies.robot_fit import check_same_meaning
from motion_policy.training.autoencoders import Autoencoders, load_autoencoders
from motion_policy.training.checkpoints import (
    RESUME_FILE,
    PolicyCheckpoints,
    TrainingError,
    software_versions,
)
from motion_policy.training.config import (
    ActionSpaceKey,
    ConfigError,
    TermsConfig,
    TrainConfig,
    action_space,
    predicted_target,
    seen_depth,
    seen_vectors,
    sees_effort,
    weighed_interventions,
)
from motion_policy.training.config_sections import InterventionsKey
from motion_policy.training.demonstrations import (
    Demonstrations,
    Progress,
    load_demonstrations,
)
from motion_policy.training.image_logging import ImageLogger
from motion_policy.training.learning import AnyLearning, learning_of
from motion_policy.training.module import PolicyModule

CONFIG_FILE = 'config.yaml'

# Of every weight while it is learnt: itself, its gradient and the two moments of Adam.
COPIES = 4

# How long processes wait for one another, at the start and in every round.
PEERS_PATIENCE = timedelta(minutes=15)
# One of these tells a process of several machines which of them it is on.
CLUSTERS = (
    'MASTER_ADDR', 'TORCHELASTIC_RUN_ID', 'SLURM_NTASKS', 'LSB_JOBID', 'OMPI_COMM_WORLD_SIZE',
)  # fmt: skip

# What may change between two calls of the same run.
FREE_KEYS = ('epochs', 'steps', 'output', 'threads', 'device', 'pictures_every', 'resume')
# Whose own keys are hyper-parameters or names: one that is gone is a change, too.
COMPARED_WHOLE = ('policy', 'fit', 'depth', 'image_size', 'seen', 'means')


def no_progress(paths: Sequence[Path], _: str) -> Iterable[Path]:
    """Reads the episodes without telling."""
    return paths


def train(
    config: TrainConfig,
    *,
    callbacks: Sequence[Callback] = (),
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Trains `config.epochs` or `config.steps` and returns the folder of the best policy.

    Args:
        config: what to do.
        callbacks: further callbacks of the trainer, such as a progress bar.
        progress: wraps the list of episode files while they are read.
        say: gets a line about what is done otherwise than asked for, and about corrections.

    Raises:
        UserError: the data, the configuration or an earlier run in `output` do not fit.
    """
    _check_device(config)
    _check_machines(config, say)
    config = _with_precision_there_is(config, say)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    output = config.output.expanduser()
    try:
        check_output_folder(output)
    except FileError as error:
        raise ConfigError(f'output: {error}') from None
    learning = learning_of(config)
    autoencoders = load_autoencoders(config.autoencoders)
    demonstrations = load_demonstrations(config, progress)
    tell_corrections(config, demonstrations, say)
    learning.check(demonstrations)
    spec = policy_spec(config, demonstrations, learning, autoencoders)
    _check_memory(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        policy = make_model(spec)
    learning.begin(policy, autoencoders.models)
    resume = prepare_output(config, output, spec)
    judged = 'validation/loss' if demonstrations.validation else 'train/loss'
    ours: list[Callback] = [PolicyCheckpoints(output, judged), *callbacks]
    if config.pictures_every:
        shown = (*demonstrations.validation, *demonstrations.train)[0]
        steps = shown.rows(slice(None, None, demonstrations.stride))
        ours.append(ImageLogger(steps, config.pictures_every))
    with _quiet(), _absent_machines_named(config):
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


def tell_corrections(
    config: TrainConfig, data: Demonstrations, say: Callable[[str], None]
) -> None:
    """Says what corrections count, or that rollouts are learnt from as if demonstrated."""
    counts = weighed_interventions(config)
    if counts is not None and data.corrections is not None:
        say(data.corrections.line(counts))
    elif data.rollouts and isinstance(config.data, InterventionsKey):
        say(
            f'data.interventions is not set: {data.rollouts} of {len(data.train)} episodes are '
            'rollouts of a policy, whose own rows are learnt from like demonstrations'
        )


def policy_spec(
    config: TrainConfig,
    demonstrations: Demonstrations,
    learning: AnyLearning,
    autoencoders: Autoencoders,
) -> PolicySpec:
    """The spec of the policy that this configuration trains on these demonstrations."""
    space = action_space(config, demonstrations.robot)
    normalisation = learning.normalisation(demonstrations)
    if space.name != 'joints':
        actions = learning.actions(demonstrations, space)
        scaled = demonstrations.target_statistics(actions, space, normalisation.action)
        normalisation = normalisation.model_copy(update={'target': scaled})
    views = [config.view(camera, demonstrations.robot) for camera in config.images]
    return PolicySpec(
        kind=config.kind,
        rate=config.rate,
        cameras=config.images,
        image_size=views[0].size if views else config.image_size,
        fit=said_fits(views),
        depth=seen_depth(config),
        target=predicted_target(config),
        effort=sees_effort(config),
        inputs=seen_vectors(config),
        hyper=learning.hyper(autoencoders.models),
        action_space=space.name,
        absolute_joints=space.absolute,
        normalisation=normalisation,
        robot=demonstrations.robot,
        data=demonstrations.fingerprint(),
        training={**_recorded(config), 'began_with': list(autoencoders.record)},
        software=software_versions(),
    )


def _recorded(config: TrainConfig) -> dict[str, Any]:
    """What a checkpoint says of its training; a space of actions, and what corrections count, only
    where that is named.
    """
    keys = set(ActionSpaceKey.model_fields)
    plain = isinstance(config, ActionSpaceKey) and config.action_space == 'joints'
    recorded = config.model_dump(mode='json', exclude=keys if plain else set())
    if weighed_interventions(config) is None:
        recorded['data'].pop('interventions', None)
    return recorded


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


def _strategy(config: TrainConfig) -> DDPStrategy:
    # A decoder that no term of the loss uses has no gradient to wait for.
    unused = isinstance(config, TermsConfig) and not config.loss.image
    return DDPStrategy(find_unused_parameters=unused, timeout=PEERS_PATIENCE)


def _check_machines(config: TrainConfig, say: Callable[[str], None]) -> None:
    """ConfigError if several machines are asked for and nothing says where the first one is."""
    if config.nodes == 1:
        return
    if not any(name in os.environ for name in CLUSTERS):
        raise ConfigError(
            f'nodes: found {config.nodes}, but MASTER_ADDR, MASTER_PORT and NODE_RANK are not '
            'set: expected them on every machine, or a start by torchrun or Slurm'
        )
    say(f'waiting up to {PEERS_PATIENCE} for {config.nodes - 1} other machine(s)')


@contextlib.contextmanager
def _absent_machines_named(config: TrainConfig) -> Iterator[None]:
    try:
        yield
    except (DistStoreError, DistNetworkError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise TrainingError(
            f'nodes: {config.nodes} machines were expected within {PEERS_PATIENCE}: {reason}'
        ) from None


def prepare_output(config: TrainConfig, output: Path, spec: PolicySpec) -> Path | None:
    """Makes the folder of the run; returns the state to resume from, if there is one.

    ConfigError: it cannot be made, or another run was begun there.
    """
    resume = output / RESUME_FILE
    told = {key: value for key, value in spec.training.items() if key not in FREE_KEYS}
    told['data_sha256'] = spec.data['sha256']
    # Part of it is said by the robot spec in the episodes, which has no say in their digest.
    told['seen'] = {camera: fit.model_dump(mode='json') for camera, fit in spec.fit.items()}
    told['means'] = {'absolute_joints': list(spec.absolute_joints)} if spec.absolute_joints else {}
    record = output / CONFIG_FILE
    if config.resume == 'auto' and resume.is_file() and record.is_file():
        _check_same_run(read_yaml(record), told, record)
        _check_same_robot(output / 'last', spec)
        _check_readable(resume)
        return resume
    try:
        make_folder(output)
        with naming_errors(resume):
            resume.unlink(missing_ok=True)
        write_text(record, yaml.safe_dump(told, sort_keys=False))
    except FileError as error:
        raise ConfigError(f'output: {error}') from None
    return None


def _check_same_run(earlier: dict[str, Any], now: dict[str, Any], record: Path) -> None:
    # A run in joints says nothing of its space.
    unsaid = {'action_space': 'joints'} if 'action_space' in earlier else {}
    for key, value in {**unsaid, **now}.items():
        if _changed(key, earlier.get(key), value):
            raise ConfigError(
                f'{record}: this run was begun with {key}={earlier.get(key)}, now it is {value}: '
                'choose another output, or resume=never to begin anew'
            )


def _check_same_robot(last: Path, now: PolicySpec) -> None:
    """ConfigError where a run would go on with numbers that mean something else.

    Part of what they mean is said by the robot spec in the episodes, not by their digest.
    """
    if not (last / SPEC_FILE).is_file():  # taken away; what was learnt is in the state
        return
    earlier, anew = read_policy_spec(last), 'choose another output, or resume=never to begin anew'
    try:
        check_same_meaning(earlier, str(last), now.robot)
    except CheckpointError as error:
        raise ConfigError(f'{error}: {anew}') from None
    if earlier.robot.rate != now.robot.rate:
        raise ConfigError(
            f'{last}: this run was begun with rate {earlier.robot.rate:g} in the robot spec, now '
            f'it is {now.robot.rate:g}: {anew}'
        )
    if is_same_scale(earlier.normalisation, now.normalisation):
        return
    limits = (one.robot.joints.limits.position for one in (earlier, now))
    for joint, then, here in zip(now.robot.joints.names, *limits, strict=True):
        if then != here:
            raise ConfigError(
                f"{last}: this run was begun with joints.limits.position of '{joint}' "
                f'{list(then)}, now it is {list(here)}, which scales what hardly moves: {anew}'
            )
    raise ConfigError(f'{last}: normalisation is not that with which this run was begun: {anew}')


def _changed(key: str, earlier: Any, now: Any) -> bool:
    """Whether a key says something else. Runs of before recorded keys that they did not have."""
    if earlier is None and not now:  # what came later, and says nothing
        return False
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return bool(earlier != now)
    if key == 'depth' and list(earlier) != list(now):  # whose networks have this order
        return True
    if key in COMPARED_WHOLE:
        return bool(earlier != now)
    return any(_changed(name, earlier.get(name), value) for name, value in now.items())


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


def _check_memory(spec: PolicySpec) -> None:
    """ConfigError for a policy that this machine cannot hold together with what training needs."""
    count = sum(weights.numel() for weights in model_on_paper(spec).parameters())
    needed = COPIES * count * torch.float32.itemsize
    there = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if needed > there:
        raise ConfigError(
            f'policy: has {count} parameters, {needed / 1e9:.1f} GB with gradients and moments; '
            f'this machine has {there / 1e9:.1f} GB of memory'
        )


def _with_precision_there_is(config: TrainConfig, say: Callable[[str], None]) -> TrainConfig:
    """The configuration, in float32 where the processor does not have what it asks for."""
    asked = config.precision
    # Lightning takes a GPU by itself where there is one.
    found = 'cuda' if torch.cuda.is_available() else 'cpu'
    device = torch.device(found if config.device == 'auto' else config.device)
    taken = asked
    if asked == '16-mixed' and device.type == 'cpu':
        taken = 'bf16-mixed'  # float16 is for GPUs
    if taken == 'bf16-mixed' and not has_bf16(device):
        taken = '32-true'
    if taken == asked:
        return config
    say(f'precision: {taken} instead of {asked}, which this processor does not have')
    return config.model_copy(update={'precision': taken})


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
