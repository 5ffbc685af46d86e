"""The SD image in QEMU: the very file that is flashed, booted by its own U-Boot script on ``-M virt``. See README.md.

::

    machine  a card with that image in a machine: settings put on it, power, reset, ssh, its doors
"""
