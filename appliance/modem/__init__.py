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
``place``
    Where a modem lives: the seam between its life and what is around it.
``detect/``
    Places of modems that udev finds, and what is wrong with those that cannot be used.
``fixed``
    Places of modems whose port the settings name.
``power/``, ``settings``
    What can be done to a modem from outside: GPIO lines of a HAT, USB. What a user may set about it.

PDUs pass through as octets: nothing here knows what is in them.
"""

from appliance.modem.detect import DetectHost, Detector, Knowledge, Surroundings, Udev, UsbPlace, diagnose
from appliance.modem.examine import Finding, examine
from appliance.modem.fixed import FixedPlace
from appliance.modem.modem import ArrivedPdu, Intervals, Modem, ModemHost, ModemStatus
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
    "Modem",
    "ModemHost",
    "ModemStatus",
    "Place",
    "Port",
    "Profile",
    "Quirk",
    "Remedy",
    "Surroundings",
    "Udev",
    "UsbPlace",
    "UsbPower",
    "boards",
    "diagnose",
    "examine",
    "generic",
    "open_port",
    "shipped",
    "usb_path",
]
