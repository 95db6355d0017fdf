# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy convert-checkpoint`: checkpoints of EIPL, ACT and LeRobot to ours, and back.

What the source does not say is assumed aloud, and nothing in it is executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from motion_policy.cli.kind_options import foreign_option
from motion_policy.cli.literal import escape
from motion_policy.cli.pairs import named_pairs
from motion_policy.episodes.formats.eipl.read import read_bounds
from motion_policy.errors import UserError
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.units import Units

if TYPE_CHECKING:
    from motion_policy.policies.base import Model
    from motion_policy.policies.convert.conversion import Conversion

Kind = Literal['eipl', 'act', 'lerobot']

EIPL_RATE = 10.0  # Hz, of its sample data


@dataclass(frozen=True)
class Conversions:
    """What every conversion has, also that of a checkpoint of ours."""

    source: tyro.conf.Positional[Path]
    """MODEL.pth of EIPL, policy_best.ckpt of ACT, a folder of LeRobot, or a checkpoint of ours."""

    destination: tyro.conf.Positional[Path]
    """Checkpoint folder; one of this name is replaced."""

    kind: Annotated[Kind | None, tyro.conf.arg(name='from')] = None
    """Whose model it is."""

    to: Literal['lerobot'] | None = None
    """Whose model it becomes, from a checkpoint of ours."""

    slim: bool = False
    """Leave out what only training needs: the encoder of ACT's CVAE."""

    half: bool = False
    """Store the weights as float16, half the size; they are computed with in float32."""


@dataclass(frozen=True)
class ForeignModelOptions(Conversions):
    """What every model of another project has."""

    robot: str = ''
    """Robot spec: a YAML file, or the name of a shipped one; without it a placeholder."""

    rate: float | None = None
    """Rows per second in the data it was trained on; default: eipl 10, act 50, lerobot what its
    folder says, or the rate of --robot, or 50."""


@dataclass(frozen=True)
class CameraOptions:
    """For what may have several cameras."""

    cameras: str = ''
    """act: names of its cameras in the order of training, such as left_wrist,top. lerobot: other
    names for its cameras, in its order."""


@dataclass(frozen=True)
class EiplModelOptions(ForeignModelOptions):
    """Options of eipl."""

    joint_bounds: Path | None = None
    """eipl: joint_bounds.npy of the data the model was trained on."""

    camera: str = ''
    """eipl: name of the camera that it sees; default: the only one of --robot."""

    channels: Literal['bgr', 'rgb'] | None = None
    """eipl: the order of the colours it was trained on, default bgr; the checkpoint takes RGB."""

    args: Path | None = None
    """eipl: args.json of the training run; default: the one beside the model."""

    leaky_slope: float | None = None
    """eipl SARNN: slope of its LeakyReLU; default 0.3, releases before December 2023 had 0.01."""

    fast_tau: float | None = None
    """eipl MTRNN: time constant of its fast units in steps; default 2."""

    slow_tau: float | None = None
    """eipl MTRNN: time constant of its slow units in steps; default 12."""

    cae: Path | None = None
    """eipl RNN: the autoencoder on whose features it was trained, CAE.pth."""

    feat_bounds: Path | None = None
    """eipl RNN: feat_bounds.npy, which EIPL writes with the features."""


@dataclass(frozen=True)
class ActModelOptions(CameraOptions, ForeignModelOptions):
    """Options of act."""

    stats: Path | None = None
    """act: dataset_stats.pkl of the training run."""

    heads: int | None = None
    """act: attention heads; default 8."""

    image_size: str = ''
    """act: HEIGHTxWIDTH of the images it was trained on; default 480x640."""

    decoder_layers: int | None = None
    """act: decoder layers that its answer comes from; default 1, as in the original."""


@dataclass(frozen=True)
class LerobotModelOptions(CameraOptions, ForeignModelOptions):
    """Options of lerobot."""

    joints: str = ''
    """lerobot: the names that the folder has for joints, where they are not the robot's:
    NAME=NAME_IN_FILE, joined by commas."""

    units: Units | None = None
    """lerobot: what it counts positions in: rad (and m, as they are), degrees, or normalized: -100
    to 100 of the range of each joint's limits; with both of these grippers from 0 to 100. Default:
    as they are, refused where they cannot be."""

    grippers: tuple[float, float] | None = None
    """lerobot: the positions in m that 0 (closed) and 1 (open) of a gripper stand for, where the
    robot's joints named *gripper count metres; with --units, 0 and 100. Default: 0 and 1 stay."""


@dataclass(frozen=True)
class Arguments(EiplModelOptions, LerobotModelOptions, ActModelOptions):
    """Turn a model that another project trained into a checkpoint that gives the same numbers.

    From EIPL (MODEL.pth), tonyzhaozh/act and act-plus-plus (policy_best.ckpt) and LeRobot's ACT (a
    folder); --to lerobot writes an ACT policy of ours as a folder of LeRobot. Sizes come from the
    weights, the rest from the files beside them or from options. With neither --from nor --to,
    --slim and --half make a smaller copy of a checkpoint of ours.
    """


def run(arguments: Arguments) -> int:
    """Convert one checkpoint; 0 when it is written."""
    _refuse_what_does_not_fit(arguments)
    if arguments.kind is None:
        return _from_ours(arguments)
    robot = load_robot_spec(arguments.robot) if arguments.robot else None
    converted, origin = CONVERTERS[arguments.kind].convert(arguments, robot)
    model = _slimmed(converted.model, arguments)
    folder = _save(model, arguments)
    _print_notes(converted.notes)
    _print_result(folder, model, f'from the {origin}')
    return 0


def _refuse_what_does_not_fit(arguments: Arguments) -> None:
    if arguments.kind and arguments.to:
        raise UserError(
            f'convert-checkpoint: --from {arguments.kind} and --to {arguments.to}, expected one: '
            'convert to a checkpoint of ours first'
        )
    if not (arguments.kind or arguments.to or arguments.slim or arguments.half):
        raise UserError(
            'convert-checkpoint: expected --from eipl, --from act, --from lerobot, --to lerobot, '
            'or for a smaller copy of a checkpoint of ours --slim, --half'
        )
    if arguments.to and arguments.half:
        raise UserError('--half: LeRobot keeps float32, expected it without --to')
    options: dict[Kind | None, type[Conversions]] = {None: Conversions}
    options |= {kind: converter.options for kind, converter in CONVERTERS.items()}
    found = foreign_option(arguments, arguments.kind, options)
    if found is not None:
        option, kinds = found
        meant = ' or '.join(kind for kind in kinds if kind)
        raise UserError(f'{option}: means something only with --from {meant}')


def _from_eipl(arguments: EiplModelOptions, robot: RobotSpec | None) -> tuple[Conversion, str]:
    # torch is slow to load, and a mistyped path need not wait for it.
    if arguments.joint_bounds is None:
        raise UserError(
            'convert-checkpoint: --joint-bounds is missing, expected the joint_bounds.npy of the '
            'data that the model was trained on'
        )
    joint_bounds = read_bounds(arguments.joint_bounds)
    feature_file = arguments.feat_bounds
    feature_bounds = read_bounds(feature_file, 'feature') if feature_file else None

    from motion_policy.policies.convert.eipl import EiplOptions, convert_eipl
    from motion_policy.policies.convert.eipl_weights import read_eipl_weights

    source = read_eipl_weights(arguments.source, arguments.args)
    cae = read_eipl_weights(arguments.cae) if arguments.cae else None
    options = EiplOptions(
        joint_bounds=joint_bounds,
        camera=arguments.camera,
        robot=robot,
        rate=EIPL_RATE if arguments.rate is None else arguments.rate,
        channels=arguments.channels or 'bgr',
        leaky_slope=arguments.leaky_slope,
        fast_tau=arguments.fast_tau,
        slow_tau=arguments.slow_tau,
        feature_bounds=feature_bounds,
    )
    return convert_eipl(source, options, cae), f'{source.family} in {arguments.source}'


def _from_act(arguments: ActModelOptions, robot: RobotSpec | None) -> tuple[Conversion, str]:
    if arguments.stats is None:
        raise UserError(
            'convert-checkpoint: --stats is missing, expected the dataset_stats.pkl beside '
            f'{arguments.source.name}'
        )
    cameras = _names(arguments.cameras)
    if not cameras and robot is not None and len(robot.cameras) == 1:
        cameras = tuple(robot.cameras)
    if not cameras:
        raise UserError(
            'convert-checkpoint: --cameras is missing, expected the names of the cameras in the '
            'order of training, such as --cameras left_wrist,top'
        )
    image_size = _height_and_width(arguments.image_size or '480x640')

    from motion_policy.policies.convert.act import RATE, ActOptions, convert_act
    from motion_policy.policies.convert.act_stats import read_act_stats

    options = ActOptions(
        stats=read_act_stats(arguments.stats),
        cameras=cameras,
        heads=8 if arguments.heads is None else arguments.heads,
        image_size=image_size,
        rate=RATE if arguments.rate is None else arguments.rate,
        decoder_layers=1 if arguments.decoder_layers is None else arguments.decoder_layers,
        robot=robot,
    )
    converted = convert_act(arguments.source, options)
    assumed = {
        f'{options.heads} attention heads (--heads)': arguments.heads is None,
        f'images of {image_size[0]}x{image_size[1]}, height by width (--image-size)': (
            not arguments.image_size
        ),
    }
    if any(assumed.values()):
        said = ' and '.join(words for words, missing in assumed.items() if missing)
        converted.notes.append(f'{arguments.source}: assumed {said}: the file does not say it')
    return converted, f'ACT in {arguments.source}'


def _from_lerobot(
    arguments: LerobotModelOptions, robot: RobotSpec | None
) -> tuple[Conversion, str]:
    from motion_policy.policies.convert.lerobot import LeRobotOptions, from_lerobot

    options = LeRobotOptions(
        cameras=_names(arguments.cameras),
        robot=robot,
        rate=arguments.rate,
        joints=named_pairs(arguments.joints, 'convert-checkpoint: --joints') or {},
        units=arguments.units,
        grippers=arguments.grippers,
    )
    return from_lerobot(arguments.source, options), f'ACT of LeRobot in {arguments.source}'


@dataclass(frozen=True)
class Converter:
    """How one kind of model becomes ours.

    Attributes:
        options: its dataclass.
        convert: returns the model, and what it came from.
    """

    options: type[ForeignModelOptions]
    convert: Callable[[Arguments, RobotSpec | None], tuple[Conversion, str]]


CONVERTERS: dict[Kind, Converter] = {
    'eipl': Converter(EiplModelOptions, _from_eipl),
    'act': Converter(ActModelOptions, _from_act),
    'lerobot': Converter(LerobotModelOptions, _from_lerobot),
}


def _from_ours(arguments: Arguments) -> int:
    """Write a checkpoint of ours as a folder of LeRobot, or smaller."""
    from motion_policy.policies.checkpoint import load_model

    model = _slimmed(load_model(arguments.source), arguments)
    if not arguments.to:
        _print_result(_save(model, arguments), model, f'from {arguments.source}')
        return 0
    from motion_policy.policies.convert.lerobot import to_lerobot

    folder, notes = to_lerobot(model, arguments.destination)
    _print_notes(notes)
    _print_result(folder, model, f'for LeRobot, from {arguments.source}')
    return 0


def _save(model: Model, arguments: Arguments) -> Path:
    from motion_policy.policies.checkpoint import save_policy

    return save_policy(model, arguments.destination, half=arguments.half)


def _slimmed(model: Model, arguments: Arguments) -> Model:
    from motion_policy.policies.act.act import ACTPolicy, without_posterior

    if not arguments.slim:
        return model
    if not isinstance(model, ACTPolicy):
        raise UserError(f"--slim: a '{model.kind}' needs all of its weights, expected an act")
    return without_posterior(model)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(',') if name.strip())


def _height_and_width(text: str) -> tuple[int, int]:
    sizes = re.fullmatch(r'(\d+)x(\d+)', text)
    if sizes is None or min(size := (int(sizes[1]), int(sizes[2]))) < 1:
        raise UserError(f'--image-size: found {text}, expected HEIGHTxWIDTH, such as 480x640')
    return size


def _print_notes(notes: list[str]) -> None:
    console = Console()
    for note in notes:
        console.print(f'[yellow]note[/] {escape(note)}', soft_wrap=True, highlight=False)


def _print_result(folder: Path, model: Model, origin: str) -> None:
    sizes = dict.fromkeys(f'{width}x{height}' for height, width in model.spec.sizes)
    count = sum(parameter.numel() for parameter in model.parameters())
    line = f'{folder}: {model.kind}, {count} parameters, {", ".join(sizes)}, {origin}'
    Console().print(escape(line), soft_wrap=True, highlight=False)
