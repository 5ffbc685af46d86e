"""How each modem's signal was over the last day: memory only, and bounded.

PURE. The hub samples every modem once in EVERY seconds; a line of samples holds DAY of them. What was before a restart
is gone: a plot is no record, and a card that wears is not written for it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.modem import ModemStatus
    from appliance.types import Imei, ModemState

__all__ = ["EVERY", "Sample", "Signals"]

EVERY = 60
"""Seconds between two samples: the modems are asked for their signal as often."""

DAY = 24 * 3600 // EVERY

MODEMS = 64
"""Modems remembered at once; the one that was seen longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a modem.

    Attributes:
        at: RFC 3339, UTC.
        dbm: the signal; None: not known then.
        state: the modem's.
    """

    at: str
    dbm: int | None
    state: ModemState


class Signals:
    """The last samples of each modem."""

    def __init__(self, *, keep: int = DAY) -> None:
        self._keep = keep
        self._samples: OrderedDict[Imei, deque[Sample]] = OrderedDict()

    def sample(self, at: str, statuses: Iterable[ModemStatus]) -> None:
        """Note how these modems are now."""
        for status in statuses:
            if status.imei is None:
                continue
            line = self._samples.setdefault(status.imei, deque(maxlen=self._keep))
            line.append(Sample(at, status.signal_dbm, status.state))
            self._samples.move_to_end(status.imei)
        while len(self._samples) > MODEMS:
            self._samples.popitem(last=False)

    def of(self, imei: Imei) -> Sequence[Sample]:
        """The samples of a modem, oldest first; none of one that was never seen."""
        return tuple(self._samples.get(imei, ()))
