"""I/O with one physical modem: from a tty's name to submitted and arrived PDUs, and back to health when it hangs.

``port``
    One serial line as octets and one end: ``PortGone``.
``channel``
    One command at a time over a port, with time-outs; submits; URCs to a callback.
``profile``, ``profiles/*.toml``
    What a family of modems wants, as data.
``commands``
    The AT commands that are used, each with its answer and its time-out.
``stores``
    The modem's storages: which there are, reading, deleting.
``modem``
    One modem's life: bring-up, registration, submit, sweep, recovery. What the hub sees.
``examine``
    What a port answers, in plain words.

PDUs pass through as octets: nothing here knows what is in them.
"""

from appliance.modem.examine import Finding, examine
from appliance.modem.modem import ArrivedPdu, Intervals, Modem, ModemHost, ModemStatus
from appliance.modem.port import Port, open_port
from appliance.modem.profile import Profile, Quirk, generic, shipped

__all__ = [
    "ArrivedPdu",
    "Finding",
    "Intervals",
    "Modem",
    "ModemHost",
    "ModemStatus",
    "Port",
    "Profile",
    "Quirk",
    "examine",
    "generic",
    "open_port",
    "shipped",
]
