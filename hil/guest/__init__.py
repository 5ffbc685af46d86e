"""A Debian guest in QEMU: the kernel, its USB drivers and udev are real, the modems are emulated outside.

::

    build    the guest's disk, kernel and initramfs from ``recipe/``, below .cache/guest, keyed by a hash of the recipe
    machine  QEMU: one run of the guest; its USB sockets, its network, commands as root inside
    gpio     the guest's GPIO lines seen and driven from outside
    hub      the product inside the guest: its tree put in, its settings, its service
    attach   attaches a modem over USB/IP where it runs: in the guest, or on a real Pi

The emulated modems are those of ``hil.emulator``, plugged in through usbredir. See README.md.
"""
