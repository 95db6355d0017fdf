# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A recorder_node that records over DDS, and a process that publishes and calls its services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from crash_campaign.judge import Ended
from crash_campaign.scene import SPEC
from motion_policy.cli.processes import claim_domain

PATIENCE_S = 60.0
BENCHMARKS = Path(__file__).parents[1]


class NodeUnderTest:
    """Both processes, on a ROS domain of their own; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / 'data'
        self._data.mkdir()
        self._told = folder / 'told.txt'
        self._told.touch()
        spec = folder / 'crash_arm.yaml'
        spec.write_text(SPEC)
        self._lock, domain = claim_domain()
        paths = (str(BENCHMARKS), os.environ.get('PYTHONPATH', ''))
        environment = {
            **os.environ, 'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        }  # fmt: skip
        values = (f'robot:={spec}', f'directory:={self._data}')
        given = ['--ros-args', *(word for value in values for word in ('-p', value))]
        self._log = (folder / 'node.log').open('wb')
        self._node, self._publisher = (
            subprocess.Popen(
                [sys.executable, '-m', module, *arguments], env=environment,
                stdout=self._log, stderr=subprocess.STDOUT,
            )
            for module, arguments in (
                ('motion_policy.nodes.recorder_node', given),
                ('crash_campaign.publisher', [str(self._told)]),
            )
        )  # fmt: skip

    def __enter__(self) -> NodeUnderTest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self._node, self._publisher):
            process.kill()
            process.wait()
        self._log.close()
        self._lock.close()

    def wait_for_start(self) -> None:
        """Wait until the first episode was begun."""
        end_s = time.monotonic() + PATIENCE_S
        while not any(what[0] == 'started' for what in self._lines()):
            if time.monotonic() > end_s:
                log = Path(self._log.name).read_text(errors='replace')
                raise RuntimeError(f'recorder_node began no episode: {log[-2000:]}')
            time.sleep(0.05)

    def killed(self) -> Ended:
        """Kill the node."""
        end_ns = time.time_ns()
        self._node.kill()
        self._node.wait()
        time.sleep(0.1)  # an answer that is on its way
        told = self._lines()
        self._publisher.kill()
        self._publisher.wait()
        return Ended('SIGKILL of recorder_node', self._data, end_ns, told)

    def _lines(self) -> list[Any]:
        whole = self._told.read_text().rpartition('\n')[0]
        return [json.loads(line) for line in whole.splitlines()]
