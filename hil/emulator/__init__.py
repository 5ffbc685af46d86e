"""An emulated GSM/LTE modem and the network behind it: the oracle of the project.

It imports nothing of the product and was written from the standards alone; see README.md. The rooms:

* ``alphabet``, ``tpdu``: the codec (23.038, 23.040), strict in what it reads, able to write also what is broken.
  ``lines``: the codec before other people's, as a command.
* ``network``: the service centre: what it accepted, what it holds, its reports, the ledger.
* ``family``: what a modem family is, as data, and the quirks by name; ``families``: the families; ``persona``: all of
  them by name. ``shape``: USB ids, interfaces and their roles. ``storage``: SM, ME, MT, SR. ``sim``: the card.
* ``transport``: the seam between a modem and its wire, a protocol; ``line``: a pty, bytes in and out, faults of the
  wire; ``usb``: fake USB by umockdev; ``gpio``: power key, reset, supply, STATUS. ``inotify``: who opens and writes.
* ``usbdevice``: a modem as a USB device for another kernel; ``usbredir``, ``usbip``: its ways there; ``usbcable``: the
  cable made of them.
* ``session``: the AT command line of one port, the prompt, unsolicited lines; ``modem``: life, registers, messages that
  come; ``commands_device``, ``commands_sms``, ``ussd``: the AT commands.
* ``faults``: what a test may break, a table. ``control``: the socket; ``client``: its other end.
"""
