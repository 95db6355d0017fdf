# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The HDF5 episode file: writer, reader, checker, repair; and import and export of other formats.

A file has its final name only when it is complete.
"""

from motion_policy.episodes.check import check_episode, examine_episode
from motion_policy.episodes.errors import EpisodeError
from motion_policy.episodes.formats.rosbag.read import (
    BagTopic,
    bag_topics,
    is_bag,
    read_bag,
    read_bag_rows,
)
from motion_policy.episodes.formats.rosbag.to_episodes import import_bag
from motion_policy.episodes.paths import list_episodes, next_episode_path
from motion_policy.episodes.reader import EpisodeReader, StreamStamps
from motion_policy.episodes.repair import Repaired, repair, repair_episode
from motion_policy.episodes.rollouts import RolloutRow
from motion_policy.episodes.summary import bag_summary, episode_summary
from motion_policy.episodes.writer import EpisodeWriter

__all__ = [
    'BagTopic',
    'EpisodeError',
    'EpisodeReader',
    'EpisodeWriter',
    'Repaired',
    'RolloutRow',
    'StreamStamps',
    'bag_summary',
    'bag_topics',
    'check_episode',
    'episode_summary',
    'examine_episode',
    'import_bag',
    'is_bag',
    'list_episodes',
    'next_episode_path',
    'read_bag',
    'read_bag_rows',
    'repair',
    'repair_episode',
]
