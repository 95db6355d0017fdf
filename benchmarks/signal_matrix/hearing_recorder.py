# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The recorder node, which at its end writes what it has heard as a bag, too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from motion_policy.nodes.recorder_node import RecorderNode
from motion_policy.nodes.shell import run_node

BAG = 'BENCH_MATRIX_BAG'  # environment variable: the folder


class HearingRecorder(RecorderNode):
    """As the recorder node, and keeps every message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._heard: list[tuple[str, int, Any]] = []
        push = self.recorder.push

        def kept(name: str, sample: Any) -> None:
            receive_ns = max(sample.receive_ns, self.recorder.made_ns)  # it may have come too late
            self._heard.append((name, receive_ns, sample.value))
            push(name, sample)

        self.recorder.push = kept  # type: ignore[method-assign]

    def close(self) -> None:
        """As always, then write the bag."""
        super().close()
        store = get_typestore(Stores.LATEST)
        writer = Writer(Path(os.environ[BAG]), version=9, storage_plugin=StoragePlugin.MCAP)
        with writer:
            connections = {
                name: writer.add_connection(f'/{stream.topic}', stream.type, typestore=store)
                for name, stream in self.streams.streams.items()
            }
            for name, receive_ns, message in self._heard:
                writer.write(connections[name], receive_ns, serialize_message(message))


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(HearingRecorder, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
