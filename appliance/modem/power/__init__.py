"""Modems switched and revived from outside: GPIO lines of a HAT (rung 4, and 6 for the supply), and USB (5 and 6).

``board``, ``boards/*.toml``
    A HAT's lines and pulses, as data; the toggle that a power key is; its remedies.
``lines``
    gpiozero's pins through libgpiod; imported when the first line is used.
``usb``
    Authorisation, driver and port power through sysfs.
``span``
    One at a time, to its end.
"""

from appliance.modem.power.board import Board, BoardFile, Layout, boards
from appliance.modem.power.usb import UsbPower, usb_path

__all__ = ["Board", "BoardFile", "Layout", "UsbPower", "boards", "usb_path"]
