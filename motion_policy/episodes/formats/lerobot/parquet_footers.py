# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Reads Parquet footers in a separate process: the program.

It may end over a damaged footer.

Every line of the input is a path, its bytes in hexadecimal; it is answered by a line of JSON. The
program needs pyarrow and nothing of this package, so that it begins at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq


def _read(path: str) -> dict[str, Any]:
    try:
        meta = pq.read_metadata(path)
        columns: dict[str, tuple[int, int]] = {}
        for column in _chunks(meta):
            values, size = columns.get(column.path_in_schema, (0, 0))
            columns[column.path_in_schema] = (
                values + max(0, column.num_values),
                size + max(0, column.total_uncompressed_size),
            )
    except Exception as error:  # a foreign file can make the reader raise anything
        return {'error': ' '.join(str(error).split())[:200] or type(error).__name__}
    return {'rows': meta.num_rows, 'columns': [(name, *size) for name, size in columns.items()]}


def _chunks(meta: Any) -> Iterator[Any]:
    for group in range(meta.num_row_groups):
        row_group = meta.row_group(group)
        for index in range(row_group.num_columns):
            yield row_group.column(index)


def main() -> None:
    """Answer paths until there are no more."""
    for line in sys.stdin:
        path = os.fsdecode(bytes.fromhex(line))
        print(json.dumps(_read(path)), flush=True)


if __name__ == '__main__':
    main()
