# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""From demonstrations to a policy: data in memory, losses, the Lightning module, the run.

The run is `motion_policy.training.train.train`. What is here does without Lightning, which takes
seconds to load: each process that only brings data would wait for it.
"""

from motion_policy.training.config import (
    ConfigError,
    TrainConfig,
    load_train_config,
    train_config,
)
from motion_policy.training.schedule import LossSchedule

__all__ = ['ConfigError', 'LossSchedule', 'TrainConfig', 'load_train_config', 'train_config']
