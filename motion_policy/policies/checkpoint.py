# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders: `policy.yaml` and `weights.safetensors`.

Nothing in one can run code, and it appears under its name only when it is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from motion_policy.documents import dump_yaml, parse_yaml, read_yaml
from motion_policy.errors import UserError
from motion_policy.files import FileError, new_folder, write_text
from motion_policy.policies.base import FORMAT, Model, Policy, PolicySpec
from motion_policy.policies.cpu.processor import forbid_tf32
from motion_policy.policies.kinds import make_model, model_on_paper
from motion_policy.policies.weights_file import (
    check_shapes,
    each_tensor,
    read_shapes,
    usable_weight,
)
from motion_policy.robot.load import first_error_line, robot_spec_from
from motion_policy.share import share_dir

SPEC_FILE = 'policy.yaml'
WEIGHTS_FILE = 'weights.safetensors'


class CheckpointError(UserError):
    """The folder is not a checkpoint, is damaged, or is one for another robot."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose `policy.yaml` has been read, once for whoever gets this.

    Attributes:
        name: what the user named it, for messages.
        path: the folder.
        spec: what its `policy.yaml` says.
    """

    name: str
    path: Path
    spec: PolicySpec


def read_checkpoint(folder: str | Path) -> Checkpoint:
    """Read what `policy.yaml` says, without the weights. Raises CheckpointError.

    A bare name that is no folder here means `models/NAME` of the package.
    """
    path = find_checkpoint(folder)
    return Checkpoint(str(folder), path, read_policy_spec(path))


def load_policy(checkpoint: str | Path | Checkpoint, device: str | torch.device = 'cpu') -> Policy:
    """The policy in a checkpoint folder, in eval mode, ready to act.

    A bare name that is no folder here means `models/NAME` of the package. Raises CheckpointError.
    """
    model = load_model(checkpoint, device)
    if not isinstance(model, Policy):
        raise CheckpointError(f"{model.source}: holds a '{model.kind}', which can move no robot")
    return model


def load_model(checkpoint: str | Path | Checkpoint, device: str | torch.device = 'cpu') -> Model:
    """The model in a checkpoint folder, policy or not, in eval mode. Raises CheckpointError.

    On a GPU the process computes in float32 from then on, without TF32.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_checkpoint(checkpoint)
    paper = _on_paper(checkpoint.path, checkpoint.spec)
    weights = {key: weight for key, weight, _ in checked_weights(checkpoint.path, paper)}
    model = make_model(paper.spec)
    model.load_state_dict(weights)
    model.source = checkpoint.name
    if model.space.of_tool:
        model.space.solver()  # now, not when the arm waits for it
    forbid_tf32(torch.device(device))
    return model.to(device).eval()


def model_on_paper_in(path: Path) -> Model:
    """Names and shapes of the model that `policy.yaml` in a folder describes, which take no
    memory whatever the file says. Raises CheckpointError.
    """
    return _on_paper(path, read_policy_spec(path))


def _on_paper(path: Path, spec: PolicySpec) -> Model:
    try:
        return model_on_paper(spec)
    except ValidationError as error:
        source = f'{path / SPEC_FILE}: hyper'
        raise CheckpointError(first_error_line(error, spec.hyper, source)) from None
    except ValueError as error:
        raise CheckpointError(f'{path / SPEC_FILE}: {error}') from None


def checked_weights(path: Path, paper: Model) -> Iterator[tuple[str, Tensor, torch.dtype]]:
    """Yield key, weight as the model computes with it, and type in the file of every weight in a
    folder, one at a time. Raises CheckpointError: they are not those of the model `paper`, not
    finite or damaged.
    """
    weights_path, expected = path / WEIGHTS_FILE, paper.state_dict()
    try:
        check_shapes(expected, read_shapes(weights_path), weights_path, paper.kind)
        for key, weight in each_tensor(weights_path):
            where = f"{weights_path}: key '{key}'"
            yield key, usable_weight(where, weight, expected[key]), weight.dtype
    except UserError as error:
        raise CheckpointError(str(error)) from None


def find_checkpoint(folder: str | Path) -> Path:
    """The folder that a path or a bare model name means."""
    path = Path(folder).expanduser()
    if not path.is_dir() and len(path.parts) == 1:
        path = share_dir() / 'models' / path
    if not path.is_dir():
        raise CheckpointError(f'{folder}: no such checkpoint folder (looked for {path})')
    for name in (SPEC_FILE, WEIGHTS_FILE):
        if not (path / name).is_file():
            raise CheckpointError(f'{path}: not a checkpoint, it has no {name}')
    return path


def read_policy_spec(folder: str | Path) -> PolicySpec:
    """What `policy.yaml` in the folder says, validated."""
    path = Path(folder) / SPEC_FILE
    try:
        content = read_yaml(path, f'the {SPEC_FILE} of a checkpoint')
    except FileError as error:
        raise CheckpointError(str(error)) from None
    if content.get('format') != FORMAT:
        raise CheckpointError(
            f"{path}: format is '{content.get('format')}', this version reads '{FORMAT}'"
        )
    try:
        content['robot'] = robot_spec_from(content.get('robot'), f'{path}: robot')
        return PolicySpec(**content)
    except ValidationError as error:
        raise CheckpointError(first_error_line(error, content, path)) from None
    except UserError as error:
        raise CheckpointError(str(error)) from None


def save_policy(policy: Model, folder: str | Path, half: bool = False) -> Path:
    """Writes the checkpoint folder, replacing an older checkpoint of that name as a whole.

    With `half` the file holds float16, half the size; a policy loaded from it computes in
    float32 as ever. What was counted and not learnt, such as a variance, stays as it is. Raises
    CheckpointError for a weight that float16 cannot hold.
    """
    path = Path(folder).expanduser().resolve()
    weights = {key: value.contiguous().cpu() for key, value in policy.state_dict().items()}
    if half:
        learnt = {key for key, _ in policy.named_parameters()}
        weights |= {key: _halved(path, key, weights[key]) for key in learnt}
    with _checkpoint_folder(path) as part:
        (part / WEIGHTS_FILE).write_bytes(save(weights, metadata={'format': FORMAT}))
        (part / SPEC_FILE).write_text(spec_to_yaml(policy.spec), encoding='utf-8')
    return path


def save_spec(spec: PolicySpec, folder: str | Path) -> Path:
    """Replaces `policy.yaml` of a checkpoint in one step; the weights stay as they are.

    Raises CheckpointError for a folder that is no checkpoint, and for one of another model.
    """
    path = find_checkpoint(folder) / SPEC_FILE
    known = read_policy_spec(path.parent)
    if (spec.kind, spec.hyper) != (known.kind, known.hyper):
        raise CheckpointError(f'{path}: is of another model, its weights would not fit')
    try:
        write_text(path, spec_to_yaml(spec))
    except FileError as error:
        raise CheckpointError(str(error)) from None
    return path


@contextlib.contextmanager
def _checkpoint_folder(path: Path) -> Iterator[Path]:
    try:
        with new_folder(path, may_hold=(SPEC_FILE, WEIGHTS_FILE), what='a checkpoint') as part:
            yield part
    except FileError as error:
        raise CheckpointError(str(error)) from None


def _halved(path: Path, key: str, weight: Tensor) -> Tensor:
    small = weight.half()
    if not torch.isfinite(small).all():
        greatest = float(weight.abs().max())
        raise CheckpointError(f"{path}: key '{key}' goes up to {greatest:g}, float16 to 65504")
    return small


def spec_to_yaml(spec: PolicySpec) -> str:
    """The text of `policy.yaml`; `read_policy_spec` gives the same spec back."""
    content = spec.model_dump(mode='json', exclude={'robot'})
    # What came later stands only where it is used.
    if spec.foresight is None:
        del content['foresight']
    if spec.fit:
        content['fit'] = {name: fit.options() for name, fit in spec.fit.items()}
    else:
        del content['fit']
    if spec.action_space == 'joints':
        del content['action_space'], content['absolute_joints'], content['normalisation']['target']
    if not spec.depth:
        del content['depth']
    if not spec.inputs:
        del content['inputs'], content['normalisation']['inputs']
    content['robot'] = parse_yaml(spec.robot.to_yaml(), 'robot')
    return dump_yaml(content)
