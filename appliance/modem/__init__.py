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
``ladder``, ``recovery``
    Which step of recovery is due (PURE); taking it.
``modem``
    One modem's life: bring-up, tending, recovery. What the hub sees. Its parts, which share ``talk``: ``sim``,
    ``network``, ``arriving`` (with ``poison``), ``submitting``, ``calls``, ``ussd``; what it tells: ``host``.
``examine``, ``doctor``
    What a port answers, and what is plugged in, in plain words.
``detect/``
    Places of modems that udev finds, and what is wrong with those that cannot be used.
``fixed``
    Places of modems whose port the settings name.
``power/``, ``settings``
    What can be done to a modem from outside: GPIO lines of a HAT, USB. What a user may set about it.

PDUs pass through as octets: nothing here knows what is in them.
"""

from appliance.modem.detect import DetectHost, Detector, Knowledge, UsbPlace
from appliance.modem.doctor import consult
from appliance.modem.examine import Finding
from appliance.modem.fixed import FixedPlace
from appliance.modem.host import ArrivedPdu, ModemHost, ModemStatus, RungTaken, UssdAnswer
from appliance.modem.ladder import Memory
from appliance.modem.modem import Intervals, Modem
from appliance.modem.place import Place, Remedy
from appliance.modem.port import Port, open_port
from appliance.modem.power import Board, Layout, UsbPower, boards, usb_path
from appliance.modem.profile import Profile, Quirk, generic, shipped

__all__ = [
    "ArrivedPdu",
    "Board",
    "DetectHost",
    "Detector",
    "Finding",
    "FixedPlace",
    "Intervals",
    "Knowledge",
    "Layout",
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
    "UsbPlace",
    "UsbPower",
    "UssdAnswer",
    "boards",
    "consult",
    "generic",
    "open_port",
    "shipped",
    "usb_path",
]
