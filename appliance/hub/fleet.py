"""The modems that the hub runs: those whose ports the settings name, and those that detection finds.

Promise: every place where a modem lives has one task that tends it, for as long as the place exists; one modem's
failure is that one's alone. What is plugged in and is no modem for us is kept in words, for doors and people.

It starts and ends tasks and knows who is who by IMEI; what a modem may do is the hub's and its own.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from appliance.errors import Rejected
from appliance.modem import (
    Board,
    Detector,
    FixedPlace,
    Knowledge,
    Layout,
    Modem,
    UsbPower,
    boards,
    generic,
    shipped,
    usb_path,
)
from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from appliance.hub.settings import DetectSettings, ModemSettings
    from appliance.modem import ModemHost, ModemStatus, Place, Profile, Remedy, UsbPlace
    from appliance.supervisor import Supervisor, Tended
    from appliance.types import Iccid

__all__ = ["Fleet"]

log = logging.getLogger(__name__)

BACK_OFF = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2.0, 5.0, 10.0)
"""Seconds before a modem's next session: a climb of the ladder is six sessions, and is to be over within 90 s (M1). A
modem that is only asked again and again after that is asked every ten."""


class Fleet:
    """All the modems of one hub."""

    def __init__(
        self,
        host: ModemHost,
        supervisor: Supervisor,
        *,
        modems: Sequence[ModemSettings],
        detect: DetectSettings,
        pin: Callable[[Iccid], str | None],
        idle: Callable[[Modem], bool],
        remarked: Callable[[], None] = lambda: None,
        hang_up: bool = True,
    ) -> None:
        """Start nothing yet.

        Args:
            host: whom the modems report to.
            supervisor: tends them.
            modems: what the settings name.
            detect: how others are found.
            pin: the PIN of a SIM, None where none is set.
            idle: whether nothing waits to be sent by a modem's SIM.
            remarked: called when what is plugged in and cannot be used is another.
            hang_up: end incoming calls after they were told.
        """
        self._host = host
        self._supervisor = supervisor
        self._settings = modems
        self._detect = detect
        self._pin = pin
        self._profiles = shipped()
        self._idle = idle
        self._remarked = remarked
        self._hang_up = hang_up
        self._usb = UsbPower(may_cut=self._may_cut)
        self._named = [self._fixed(each) for each in modems]
        self._modems: dict[str, tuple[Modem, Tended]] = {}
        self._remarks: dict[str, str] = {}
        self._detector: Detector | None = None

    def _fixed(self, settings: ModemSettings) -> tuple[FixedPlace, Profile | None]:
        """The place that the settings describe, and the family that they say."""
        name = settings.profile
        board = None
        if settings.board is not None or settings.power is not None:
            board = Board(Layout.of(settings.board, settings.power), name=settings.board or settings.port)
            known = boards().get(settings.board or "")
            name = name or (known.profile if known is not None else None)
        profile = next((profile for profile in self._profiles if profile.name == name), None)
        place = FixedPlace(
            settings.port,
            speeds=(profile or generic()).ports.baud,
            board=board,
            usb=partial(self._usb_remedies, settings.port),
        )
        return place, profile

    def _usb_remedies(self, port: str) -> Sequence[Remedy]:
        path = usb_path(port) if port.startswith("/") else None
        return () if path is None else self._usb.remedies(path)

    def _may_cut(self, paths: Collection[str]) -> bool:
        """Whether all these USB paths are modems of ours that have nothing to do."""
        ours = {f"usb {path}": path for path in paths}
        there = [modem for name, (modem, _) in self._modems.items() if name in ours]
        return len(there) == len(ours) and all(self._idle(modem) and not modem.in_doubt for modem in there)

    def start(self) -> None:
        """Tend the modems of the settings, and look for others."""
        for place, profile in self._named:
            self._tend(place, profile)
        if self._detect.udev:
            self._detector = Detector(
                self,
                Knowledge.of(self._profiles),
                named=[each.port for each in self._settings],
                remedies=self._usb.remedies,
            )
            self._supervisor.tend("detection", self._detector.run)
        elif not self._settings:
            log.warning("no modem can ever be found: detect.udev is off, and no [[modems]] are named")

    def _tend(self, place: Place, profile: Profile | None) -> None:
        modem = Modem(
            place,
            profiles=self._profiles,
            profile=profile,
            host=self._host,
            pin=self._pin,
            hang_up=self._hang_up,
        )
        tended = self._supervisor.tend(f"modem {place.name}", modem.run, back_off=BACK_OFF)
        self._modems[place.name] = modem, tended

    # ------------------------------------------------------------------ the detector's host

    def appeared(self, place: UsbPlace) -> None:
        """A modem is there."""
        log.info("a modem at %s", place.name)
        self._tend(place, None)

    def left(self, place: UsbPlace) -> None:
        """Nobody should wait for it any more."""
        modem, tended = self._modems.pop(place.name)
        self._supervisor.dismiss(tended)
        log.info("the modem at %s is gone (%s)", place.name, modem.status.model or "it never said what it is")

    def remark(self, path: str, words: str) -> None:
        """What is plugged in there cannot be used."""
        self._remarks[path] = words
        self._remarked()

    def remark_gone(self, path: str) -> None:
        """That is not true any more."""
        self._remarks.pop(path, None)
        self._remarked()

    # ------------------------------------------------------------------ who is there

    @property
    def remarks(self) -> list[str]:
        """What is plugged in and cannot be used, in words."""
        return [f"USB {path}: {words}" for path, words in sorted(self._remarks.items())]

    @property
    def expected(self) -> int:
        """How many modems there should be: those of the settings, and those that were found."""
        return len(self._modems)

    @property
    def states(self) -> list[ModemState]:
        """How each modem is."""
        return [modem.status.state for modem, _ in self._modems.values()]

    @property
    def statuses(self) -> list[ModemStatus]:
        """How each modem is, also one that has not said who it is."""
        return [modem.status for modem, _ in self._modems.values()]

    @property
    def detects(self) -> bool:
        """Whether modems are looked for on USB."""
        return self._detect.udev

    def find(self, imei: str) -> Modem:
        """The modem with this IMEI, whether it can send or not; where it was before is no place to find it.

        Raises:
            Rejected: ``no_such_modem``.
        """
        known = [modem for modem, _ in self._modems.values() if modem.status.imei == imei]
        if not known:
            raise Rejected("no_such_modem", f"there is no modem {imei} here", pointer="/imei")
        return max(
            known,
            key=lambda modem: (modem.status.state.heard, modem.status.state is not ModemState.GONE),
        )

    def rescan(self) -> None:
        """Look at the USB buses now.

        Raises:
            Rejected: ``not_possible``: detection is off.
        """
        if self._detector is None:
            raise Rejected("not_possible", "modems are not looked for: set detect.udev = true")
        self._detector.rescan()
