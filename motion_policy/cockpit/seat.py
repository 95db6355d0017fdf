# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The driver's seat: at most one browser commands the arm; whoever is silent loses it."""

from __future__ import annotations

from dataclasses import dataclass

SILENT_S = 3.0


@dataclass(frozen=True)
class Person:
    """Who sits at a browser: the number of its connection, a name and an address."""

    number: int
    name: str
    address: str

    def __str__(self) -> str:
        return f'{self.name} ({self.address})'


class DriverSeat:
    """Who drives; time is an argument."""

    def __init__(self) -> None:
        self._driver: Person | None = None
        self._heard_s = 0.0

    def driver(self, now_s: float) -> Person | None:
        """Who drives now."""
        if self._driver is not None and now_s - self._heard_s > SILENT_S:
            self._driver = None
        return self._driver

    def take(self, person: Person, now_s: float) -> bool:
        """Sit down, if the seat is free; whether `person` drives now."""
        if self.driver(now_s) is None:
            self._driver, self._heard_s = person, now_s
        return self.drives(person, now_s)

    def leave(self, person: Person) -> None:
        """Stand up."""
        if self._driver is not None and self._driver.number == person.number:
            self._driver = None

    def heard(self, person: Person, now_s: float) -> None:
        """That browser is still there."""
        if self.drives(person, now_s):
            self._heard_s = now_s

    def drives(self, person: Person, now_s: float) -> bool:
        """Whether that one drives now."""
        driver = self.driver(now_s)
        return driver is not None and driver.number == person.number
