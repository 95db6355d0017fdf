# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy convert-checkpoint`: models of other projects become checkpoints of ours.

What the source does not say is assumed aloud, and nothing in it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape

from motion_policy.episodes.eipl_data import read_bounds
from motion_policy.errors import UserError
from motion_policy.robot import load_robot_spec


@dataclass(frozen=True)
class Arguments:
    """Turn a model that EIPL trained into a checkpoint folder that gives the same numbers.

    The model is found from the keys in the file, its sizes from their shapes; temperature,
    heatmap_size, vmin and vmax come from args.json beside it. SARNN, CNNRNN and CNNRNNLN become
    policies; an RNN becomes one together with its autoencoder (--cae, --feat-bounds), alone it
    and an autoencoder become checkpoints for further training.
    """

    source: tyro.conf.Positional[Path]
    """MODEL.pth, as the trainers of EIPL save it."""

    destination: tyro.conf.Positional[Path]
    """Checkpoint folder; one of this name is replaced."""

    kind: Annotated[Literal['eipl'], tyro.conf.arg(name='from')]
    """Whose model it is."""

    joint_bounds: Path | None = None
    """joint_bounds.npy of the data the model was trained on."""

    camera: str = ''
    """Name of the camera that it sees; default: the only one of --robot."""

    robot: str = ''
    """Robot spec: a YAML file, or the name of a shipped one; without it a placeholder."""

    rate: float = 10.0
    """Rows per second in the data it was trained on."""

    channels: Literal['bgr', 'rgb'] = 'bgr'
    """The order of the colours it was trained on; the checkpoint takes RGB."""

    args: Path | None = None
    """args.json of the training run; default: the one beside the model."""

    leaky_slope: float | None = None
    """SARNN: slope of its LeakyReLU; default 0.3, releases before December 2023 had 0.01."""

    fast_tau: float | None = None
    """MTRNN: time constant of its fast units in steps; default 2."""

    slow_tau: float | None = None
    """MTRNN: time constant of its slow units in steps; default 12."""

    cae: Path | None = None
    """RNN: the autoencoder on whose features it was trained, CAE.pth."""

    feat_bounds: Path | None = None
    """RNN: feat_bounds.npy, which EIPL writes with the features."""


def run(arguments: Arguments) -> int:
    """Convert one checkpoint; 0 when it is written."""
    # torch is slow to load, and a mistyped path need not wait for it.
    if arguments.joint_bounds is None:
        raise UserError(
            'convert-checkpoint: --joint-bounds is missing, expected the joint_bounds.npy of the '
            'data that the model was trained on'
        )
    joint_bounds = read_bounds(arguments.joint_bounds)
    feature_file = arguments.feat_bounds
    feature_bounds = read_bounds(feature_file, 'feature') if feature_file else None
    robot = load_robot_spec(arguments.robot) if arguments.robot else None

    from motion_policy.policies.checkpoint import save_policy
    from motion_policy.policies.convert_eipl import EiplOptions, convert_eipl
    from motion_policy.policies.eipl_weights import read_eipl_weights

    source = read_eipl_weights(arguments.source, arguments.args)
    cae = read_eipl_weights(arguments.cae) if arguments.cae else None
    options = EiplOptions(
        joint_bounds=joint_bounds,
        camera=arguments.camera,
        robot=robot,
        rate=arguments.rate,
        channels=arguments.channels,
        leaky_slope=arguments.leaky_slope,
        fast_tau=arguments.fast_tau,
        slow_tau=arguments.slow_tau,
        feature_bounds=feature_bounds,
    )
    converted = convert_eipl(source, options, cae)
    folder = save_policy(converted.model, arguments.destination)
    console = Console()
    for note in converted.notes:
        console.print(f'[yellow]note[/] {escape(note)}', soft_wrap=True, highlight=False)
    height, width = converted.model.spec.image_size
    count = sum(parameter.numel() for parameter in converted.model.parameters())
    line = (
        f'{folder}: {converted.model.kind}, {count} parameters, {width}x{height}, '
        f'from the {source.family} in {arguments.source}'
    )
    console.print(escape(line), soft_wrap=True, highlight=False)
    return 0
