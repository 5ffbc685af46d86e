"""Modems found by udev: what is plugged in, what it is to us, and a place for each modem.

``devices``
    PURE: records of what is plugged in, and what each is to us.
``tracking``
    PURE: from snapshots to what happened.
``udev``
    Snapshots and the bell, through pyudev.
``probe``
    Which of a device's ports speaks AT, asked of all at once.
``place``
    One USB path as the place of a modem.
``detector``
    The coroutine that ties them, and its host.
``diagnosis``
    PURE: a snapshot in plain words, for ``modemhub doctor``.
"""

from appliance.modem.detect.detector import DetectHost, Detector, Source
from appliance.modem.detect.devices import Knowledge, UsbDevice
from appliance.modem.detect.diagnosis import Surroundings, diagnose
from appliance.modem.detect.place import UsbPlace
from appliance.modem.detect.udev import Udev

__all__ = [
    "DetectHost",
    "Detector",
    "Knowledge",
    "Source",
    "Surroundings",
    "Udev",
    "UsbDevice",
    "UsbPlace",
    "diagnose",
]
