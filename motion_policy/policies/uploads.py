# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Asynchronous host-to-device copies through pinned memory.

What comes after on the same stream finds the copy done; nobody else may look at it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Upload:
    """One array after the other, each written over the one before.

    Args:
        value: where they go, a tensor on any device.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self.host = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
        self._array: npt.NDArray[Any] = self.host.numpy()
        self._left = torch.cuda.Event() if value.is_cuda else None

    def fits(self, array: npt.NDArray[Any]) -> bool:
        """Whether an array (...) has the shape and type that this one is made for."""
        return self._array.shape == array.shape and self._array.dtype == array.dtype

    def __call__(self, array: npt.NDArray[Any]) -> Tensor:
        """Begin the copy of one that fits; return `value`."""
        if self._left is not None:
            self._left.synchronize()  # that before is over long since: its step has answered
        np.copyto(self._array, array)
        self.value.copy_(self.host, non_blocking=True)
        if self._left is not None:
            self._left.record(torch.cuda.current_stream(self.value.device))
        return self.value


class Uploads:
    """Uploads by name, each made for the first array of its shape and type, and kept."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._by_name: dict[str, Upload] = {}

    def __call__(self, name: str, array: npt.NDArray[Any]) -> Tensor:
        """Return the array as a tensor on the device, good until the next one of this name."""
        upload = self._by_name.get(name)
        if upload is None or not upload.fits(array):
            kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
            upload = Upload(torch.empty(array.shape, dtype=kind, device=self._device))
            self._by_name[name] = upload
        return upload(array)
