# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of any type become the numbers that a robot spec names.

A number that is not finite, or an array of another size, is an error, never a value.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np

from motion_policy.robot import VectorSpec
from motion_policy.streams.errors import StreamError
from motion_policy.streams.joints import FLOAT32_MAX, Float64Array

NUMBERS = (int, float, np.number, np.bool_)


class VectorReader:
    """Reads the numbers of one vector, whose fields are numbers and arrays with their sizes."""

    def __init__(self, spec: VectorSpec) -> None:
        self.columns = spec.columns
        self._fields = [(path, size, attrgetter(path)) for path, size in spec.paths]

    def read(self, message: Any) -> Float64Array:
        """Return the numbers (n,) of a message.

        Raises:
            StreamError: one is missing, no number or not finite in float32, or there are more or
                fewer in an array than its size.
        """
        numbers: list[Any] = []
        for path, size, read in self._fields:
            try:
                value = read(message)
            except AttributeError:
                raise StreamError(f"there is no '{path}' in the message") from None
            if size is None:
                numbers.append(value)
                continue
            if len(value) != size:
                raise StreamError(f"'{path}' holds {len(value)} numbers, expected {size}")
            numbers.extend(value)
        try:
            values = np.array(numbers, dtype=np.float64)
        except (TypeError, ValueError):
            raise StreamError(f"'{self._no_number(numbers)}' is no number") from None
        wrong = ~(np.abs(values) <= FLOAT32_MAX)
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise StreamError(
                f"'{self.columns[place]}' is {values[place]}, expected a finite number of float32"
            )
        return values

    def _no_number(self, values: list[Any]) -> str:
        pairs = zip(self.columns, values, strict=True)
        wrong = (name for name, value in pairs if not isinstance(value, NUMBERS))
        return next(wrong, self.columns[0])
