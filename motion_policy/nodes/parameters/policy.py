# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of policy_node, beside those of every node that drives an arm."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from motion_policy.control.camera_monitor import FROZEN_AT_REST_S, FROZEN_S, MIN_BRIGHTNESS
from motion_policy.control.chunk_execution import (
    MAX_CROSSFADE_S,
    MAX_ENSEMBLE,
    MAX_ROWS,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    ChunkExecution,
)
from motion_policy.declared import Declared
from motion_policy.inference.worker_process import START_TIMEOUT_S
from motion_policy.nodes.parameters.fields import LIVE, READ_ONLY, OneOf
from motion_policy.nodes.parameters.teleop import TakeoverClutchParameters, TakeoverParameters
from motion_policy.policies.backends.selection import BACK_ENDS, PRECISIONS

USUAL_CHUNKS = ChunkExecution()
INFERENCE_TIMEOUT_S = 10.0
ForesightReaction = Literal['warn', 'hold']
OWN = 'own'  # in place of a predictor's checkpoint: what the policy itself predicts


class InferenceParameters(Declared):
    """Where the policy computes, and for how long it may."""

    isolation: Literal['auto', 'thread', 'process'] = Field(
        default='auto',
        description='Where the policy computes: in a thread of the node, or in a process of its '
        'own; auto: that for policies which predict many rows',
    )
    timeout: float = Field(
        default=INFERENCE_TIMEOUT_S, ge=0.1, le=600.0,
        description='A step in a process of its own that takes longer [s] counts as hung; the '
        'process is begun anew',
    )  # fmt: skip
    start_timeout: float = Field(
        default=START_TIMEOUT_S, ge=1.0, le=3600.0,
        description='A process of its own (of the policy, of a frame predictor) that is not '
        'loaded, checked and warm after so long [s] counts as hung and is ended: configuring '
        'fails',
    )  # fmt: skip
    cpus: str = Field(default='', description='Cores of the policy, e.g. 1 or 2-3; empty: any')


def _share_of(name: str) -> Any:
    return Field(
        default=1.0, ge=0.0, le=1.0,
        description=f'Share of the measured {name} in what the policy sees; the rest is its own '
        'last prediction',
    )  # fmt: skip


class MixParameters(Declared):
    """How much of the sensors the policy sees."""

    joint: float = _share_of('joint')
    image: float = _share_of('image')
    effort: float = _share_of('effort')


class ChunkParameters(Declared):
    """How chunks of many rows are played."""

    execute: int = Field(
        default=USUAL_CHUNKS.execute, ge=0, le=MAX_ROWS,
        description='Rows of each chunk that are played before the next takes over; 0: half of '
        'them, or with chunk.ensemble one',
    )  # fmt: skip
    crossfade: float = Field(
        default=USUAL_CHUNKS.crossfade_s, ge=0.0, le=MAX_CROSSFADE_S,
        description='For so long [s] a new chunk is blended with the one before; not with '
        'chunk.ensemble',
    )  # fmt: skip
    ensemble: float = Field(
        default=USUAL_CHUNKS.ensemble, ge=-MAX_ENSEMBLE, le=MAX_ENSEMBLE,
        description='Coefficient m of temporal ensembling: prediction i for a time weighs '
        'exp(-m i), the oldest being 0; 0.01 as in its paper; 0: no ensembling; 0.000001: a plain '
        'mean',
    )  # fmt: skip
    timeout: float = Field(
        default=USUAL_CHUNKS.timeout_s, ge=MIN_TIMEOUT_S, le=MAX_TIMEOUT_S,
        description='Without a plan the arm waits so long [s] for one before that is a fault',
    )  # fmt: skip


class ForesightParameters(Declared):
    """Who watches the policy, and what an error over its limit leads to."""

    checkpoint: str = Field(
        default='',
        description='What watches the policy: the checkpoint of a frame_predictor, or '
        f'{OWN}: the images and joints that a recurrent policy itself predicts; empty: nothing',
    )
    reaction: ForesightReaction = Field(
        default='warn',
        description='What a prediction error over its limit leads to: a warning, or the arm holds '
        'and is disabled after auto_resume',
    )
    threads: int = Field(
        default=1, ge=1, le=64, description='Threads of the frame predictor on a CPU'
    )


class PolicyParameters(Declared):
    """Which policy drives the arm, and how it is asked."""

    checkpoint: str = Field(
        default='',
        description='Checkpoint folder, or a name in models/; with autostart the node ends '
        'without one',
    )
    robot: str = Field(
        default='', description='Robot spec: name or YAML file; empty: the one in checkpoint'
    )
    device: str = Field(default='cpu', description='Where the policy runs: cpu, cuda, cuda:1, ...')
    threads: int = Field(default=1, ge=1, le=64, description='Threads of the policy on a CPU')
    backend: Annotated[str, OneOf(BACK_ENDS)] = Field(
        default='auto',
        description=f'Who computes the policy: {", ".join(BACK_ENDS)}; auto: the fastest that is '
        "installed and gives the policy's own numbers",
    )
    precision: Annotated[str, OneOf(PRECISIONS)] = Field(
        default='float32', description=f'Of its numbers: {", ".join(PRECISIONS)}'
    )
    inference: InferenceParameters
    autostart: Annotated[bool, READ_ONLY] = Field(
        default=False,
        description='Configure and activate at start; the arm still waits for ~/enable',
    )
    publish_attention: Annotated[bool, LIVE] = Field(
        default=True, description='Publish ~/attention while somebody subscribes to it'
    )
    mix: MixParameters
    max_frozen: float = Field(
        default=FROZEN_S, ge=0.0, le=60.0,
        description='How long a camera may show exactly the same image while a joint moves by '
        '2 % of its range [s]; 0: for ever',
    )  # fmt: skip
    max_frozen_at_rest: float = Field(
        default=FROZEN_AT_REST_S, ge=0.0, le=60.0,
        description='The same while the arm stands [s], for a camera whose images were seen to '
        'have noise; 0: for ever',
    )  # fmt: skip
    min_brightness: int = Field(
        default=MIN_BRIGHTNESS, ge=0, le=255,
        description='Brightness, of 255, that one pixel in a thousand of a camera that sees has '
        'at least; 0: black images, and depth that is 0 everywhere, are allowed',
    )  # fmt: skip
    chunk: ChunkParameters
    takeover: TakeoverParameters
    clutch: TakeoverClutchParameters
    foresight: ForesightParameters
