# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the nodes that record and replay episodes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from motion_policy.declared import Declared
from motion_policy.episodes.layout import ImageStorage
from motion_policy.nodes.parameters.arm import GIVES_WAY
from motion_policy.nodes.parameters.fields import LIVE, READ_ONLY


class RecorderParameters(Declared):
    """What recorder_node records, and how."""

    robot: Annotated[str, READ_ONLY] = Field(
        default='', description='Robot spec: name or YAML file; without one the node ends'
    )
    directory: Annotated[str, LIVE] = Field(
        default='data', description='Folder of the episodes, made when needed'
    )
    task: Annotated[str, LIVE] = Field(
        default='', description='What is demonstrated; noted in the episode'
    )
    operator: Annotated[str, LIVE] = Field(
        default='', description='Who demonstrates; noted in the episode'
    )
    sim: Annotated[bool, LIVE] = Field(
        default=False, description='Whether the robot is simulated; noted in the episode'
    )
    compress: Annotated[bool, LIVE] = Field(
        default=True, description='False stores raw pixels, as the storage `raw`'
    )
    storage: Annotated[ImageStorage, LIVE] = Field(
        default='jpeg', description='What images are stored as'
    )
    jpeg_quality: Annotated[int, LIVE] = Field(
        default=95, ge=50, le=100,
        description='Quality of JPEG images that are encoded here: those that come stay as is',
    )  # fmt: skip
    keep_bag: Annotated[bool, LIVE] = Field(
        default=False,
        description='Write the messages themselves as well, to a rosbag2 folder beside each '
        'episode: episode_000000_bag',
    )
    rollout: Annotated[str, READ_ONLY] = Field(
        default='policy_node',
        description='Name of the policy node whose rollouts are recorded whole, with who drove in '
        'each row and what the policy wanted; of one that is there at ~/start and from which a '
        'person can take over; empty: of none',
    )
    min_rate: Annotated[float, LIVE] = Field(
        default=5.0, ge=0.0, le=1000.0,
        description='A stream slower than this is a warning in ~/status [Hz]',
    )  # fmt: skip
    reliable: Annotated[bool, READ_ONLY] = Field(
        default=False,
        description=f'Subscribe with reliable instead of best-effort QoS; {GIVES_WAY}',
    )


class ReplayParameters(Declared):
    """What replay_node plays, beside the parameters of every node that drives an arm."""

    episode: Annotated[str, READ_ONLY] = Field(default='', description='Episode file to play')
    robot: Annotated[str, READ_ONLY] = Field(
        default='',
        description='Robot spec of the arm at hand, name or YAML file: its limits hold, not those '
        'of the recording',
    )
    report_directory: Annotated[str, READ_ONLY] = Field(
        default='',
        description='Folder for a JSON file with the tracking error of each replay, made when '
        'needed; empty: only log and /diagnostics tell it',
    )
