"""An emulated GSM/LTE modem and the network behind it: the oracle of the project.

It imports nothing of the product and was written from the standards alone; see README.md. The rooms:

* ``alphabet``, ``tpdu``: the codec (23.038, 23.040), strict in what it reads, able to write also what is broken.
  ``lines``: the codec before other people's, as a command.
* ``network``: the service centre: what it accepted, what it holds, its reports, the ledger.
* ``persona``: modem families as data. ``storage``: SM, ME, MT, SR.
* ``line``: a pty, bytes in and out, faults of the wire. ``opens``: who has the port open.
* ``usbdevice``: a modem as a USB device; ``usbredir``, ``usbip``: its ways into another kernel; ``usbcable``: the cable.
* ``modem``: V.250 line, prompt, URCs, messages that come; ``commands_device``, ``commands_sms``: the AT commands.
* ``faults``: what a test may break, a table. ``control``: the socket; ``client``: its other end.
"""
