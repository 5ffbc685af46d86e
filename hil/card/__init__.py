"""The SD image in QEMU: the very file that is flashed, booted by its own U-Boot script on ``-M virt``. See README.md.

::

    machine     a card with that image in a machine: settings put on it, power, reset, ssh, its doors
    tiny        the least card that the U-Boot script boots
    cuts        what a power cut leaves of what was written
    house       the clients of the device, by HTTPS and by its broker
    damage      damage to a card out of its machine
    reader      a card out of its machine: what is wrong with it, what was written to
    slots       other versions of it, good ones and sabotaged ones, as bundles; and USB sticks that bring them
    publisher   an HTTPS server that has them, over a line that may break
"""
