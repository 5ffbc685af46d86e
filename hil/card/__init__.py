"""The very image in QEMU, its own U-Boot included: ``-M virt``, the card a virtio disk, the modems emulated outside.

::

    machine  one card, booted, cut and booted again; commands by ssh
    cuts     what a power cut leaves of what was written
    tiny     a card of 64 MB whose kernels only say their name, for the boot script alone

See README.md.
"""
