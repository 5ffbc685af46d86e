"""What is plugged in and what is wrong with it, in plain words: for ``modemhub doctor``.

Promise: it looks at the buses, and asks those ports that no program has open; it changes nothing (see ``examine``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.modem.detect import Knowledge, Surroundings, Udev, diagnose
from appliance.modem.detect.devices import Modem, judge
from appliance.modem.examine import Finding, examine
from appliance.modem.profile import shipped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from appliance.modem.detect import UsbDevice

__all__ = ["consult"]


async def consult(
    named: Sequence[str],
    *,
    buses: bool,
    served: Collection[str] = (),
    devices: Callable[[], Sequence[UsbDevice]] | None = None,
    around: Callable[[Sequence[UsbDevice]], Surroundings] | None = None,
    ask: Callable[[str], Awaitable[Finding]] = examine,
) -> list[Finding]:
    """Look at everything.

    Args:
        named: the ports of the settings.
        buses: whether modems are looked for on the USB buses.
        served: ports that a running hub has open, and speaks for itself.
        devices: what is on the buses; None: as udev knows it.
        around: what is known beside them; None: as this machine shows it.
        ask: examines a port.
    """
    plugged = list((devices or _as_udev_knows)()) if buses else []
    surroundings = (around or (lambda found: Surroundings.look(found, named=named)))(plugged)
    knowledge = Knowledge.of(shipped())
    findings = diagnose(plugged, knowledge, surroundings)
    for device in plugged:
        free = [tty for tty in device.ttys if tty.node not in {*served, *surroundings.holders, *surroundings.closed}]
        ours = not any(surroundings.real.get(tty.node, tty.node) in surroundings.named for tty in device.ttys)
        if ours and isinstance(judge(device, knowledge), Modem) and len(free) == len(device.ttys):
            speaking = knowledge.at_interfaces(device.id, device.classes)
            known = [tty.node for number in speaking for tty in free if tty.number == number]
            findings.append(await ask((known or [free[0].node])[0]))
    for port in named:
        holder = surroundings.holders.get(port)
        findings.append(Finding(port, fine=False, words=f"is in use by {holder}") if holder else await ask(port))
    if not findings and not served:
        findings.append(Finding("modems", fine=False, words=_NOTHING))
    return findings


_NOTHING: Final = (
    "none is plugged in that could be recognised, and the settings name no port. A USB modem is found by itself, with "
    "detect.udev = true; a HAT on the UART is named under [[modems]] with its port, as /dev/serial0, and its board"
)


def _as_udev_knows() -> Sequence[UsbDevice]:
    return Udev().snapshot()
