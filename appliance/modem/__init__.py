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
``place``
    Where a modem lives: its port, and what can be done to it from outside.
``ladder``
    Which step of recovery is due. PURE.
``modem``
    One modem's life: bring-up, tending, recovery. What the hub sees. Its parts, which share ``talk``: ``sim``,
    ``network``, ``arriving`` (with ``poison``), ``submitting``, ``calls``, ``ussd``; what it tells: ``host``.
``examine``
    What a port answers, in plain words.

PDUs pass through as octets: nothing here knows what is in them.
"""

from appliance.modem.examine import Finding, examine
from appliance.modem.host import ArrivedPdu, ModemHost, ModemStatus, RungTaken, UssdAnswer
from appliance.modem.ladder import Memory
from appliance.modem.modem import Intervals, Modem
from appliance.modem.place import Place, Remedy
from appliance.modem.port import Port, open_port
from appliance.modem.profile import Profile, Quirk, generic, shipped

__all__ = [
    "ArrivedPdu",
    "Finding",
    "Intervals",
    "Memory",
    "Modem",
    "ModemHost",
    "ModemStatus",
    "Place",
    "Port",
    "Profile",
    "Quirk",
    "Remedy",
    "RungTaken",
    "UssdAnswer",
    "examine",
    "generic",
    "open_port",
    "shipped",
]
