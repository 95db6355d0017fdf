# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""How a policy is to run, as plain data: every process that has it makes the same runner of it.

Nothing here needs ROS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from motion_policy.control import ChunkExecution, Mix, PolicyRunner
from motion_policy.errors import UserError
from motion_policy.policies import Policy, check_robot, load_policy
from motion_policy.policies.backends import BackEndChoice, use_back_end
from motion_policy.policies.checkpoint import find_checkpoint, read_policy_spec
from motion_policy.policies.kinds import model_class
from motion_policy.robot import RobotSpec

Load = Callable[[str, str], Policy]


@dataclass(frozen=True)
class PolicySetup:
    """A checkpoint, what it drives, and who computes it where."""

    checkpoint: str
    robot: RobotSpec
    device: str = 'cpu'
    threads: int = 1
    mix: Mix = field(default_factory=Mix)
    chunks: ChunkExecution = field(default_factory=ChunkExecution)
    back_end: BackEndChoice = field(default_factory=BackEndChoice)

    @property
    def answers_chunks(self) -> bool:
        """Whether policies of this kind answer many rows, for which they think long."""
        kind = model_class(read_policy_spec(find_checkpoint(self.checkpoint)).kind)
        return issubclass(kind, Policy) and kind.chunk_rows is not Policy.chunk_rows

    def make_runner(self, say: Callable[[str], None], load: Load = load_policy) -> PolicyRunner:
        """Load the policy, check that it fits, choose its back end; UserError says what is wrong.

        `say` gets a line about slow work.
        """
        torch.set_num_threads(self.threads)
        policy = load(self.checkpoint, checked_device(self.device))
        check_robot(policy, self.robot)  # before work that takes long
        if policy.chunk_rows > 1:
            self.chunks.check_rows(policy.chunk_rows)
        use_back_end(policy, self.back_end, time.perf_counter_ns, say)
        return PolicyRunner(policy, self.robot, self.mix, ensemble=self.chunks.ensemble)


def checked_device(name: str) -> str:
    """Return `name` if torch can compute there; UserError otherwise."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"parameter 'device' is '{name}', not usable here: {first_line}") from None
    return name
