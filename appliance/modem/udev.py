"""The udev rules, written from the profiles: ``python -m appliance.modem.udev > udev/70-modemhub.rules``.

Promise: what udev is told about a USB id is what the profiles say, and nothing else; a device that is in no profile is
left as it was. The committed file equals what is printed here (``tests/test_udev.py``).

What the rules do
    USB devices: ``ID_MODEMHUB`` is ``1`` for a modem, ``storage`` for a stick that still shows its CD (usb-modeswitch
    will make a modem of it), ``router`` for a mode without AT ports. ``ID_MODEMHUB_FAMILY`` names the profiles that
    have the id, with spaces between. All three carry the tag ``modemhub``. A modem is kept from ModemManager, and the
    group may switch it off and on: ``authorized``, the hub's ``port/disable``, the driver's ``bind`` and ``unbind``.
    ttys of a modem: the same two properties and the tag, the group, and a link that stays::

        /dev/modemhub/<ID_PATH>-if<number of the interface>

    Hubs: the group may ask them what they can switch, which needs a node that it may write.

    A USB serial adapter or any other CDC ACM device is not claimed: nothing says that a modem is behind it.

Theory of operation
    Rules at 70 come after 60-serial.rules and 50-udev-default.rules, which read the ids, and before ModemManager's
    77-mm-*.rules. Ids are compared by ``ID_VENDOR_ID`` and ``ID_MODEL_ID``, which a tty has from its USB device, so one
    line serves both. Where 60-serial.rules has not read them, they are read here.
    sysfs attributes are no device nodes: GROUP and MODE do not reach them, so chgrp and chmod are run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from appliance.modem.profile import for_usb, role_of, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.modem.profile import Profile

__all__ = ["GROUP", "rules"]

GROUP: Final = "modemhub"
"""The system group of the service."""

_BEGIN: Final = """\
# Written by: python -m appliance.modem.udev
# From the profiles in appliance/modem/profiles; change those, not this file.

ACTION=="remove", GOTO="modemhub_end"
SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{bDeviceClass}=="09", GROUP="modemhub", MODE="0664", \\
  GOTO="modemhub_end"
SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", GOTO="modemhub_ids"
SUBSYSTEM!="tty", GOTO="modemhub_end"
SUBSYSTEMS=="usb", GOTO="modemhub_tty"
GOTO="modemhub_end"

LABEL="modemhub_tty"
ENV{ID_VENDOR_ID}=="", IMPORT{builtin}="usb_id"
ENV{ID_PATH}=="", IMPORT{builtin}="path_id"

LABEL="modemhub_ids"
"""

_END: Final = f"""\

ENV{{ID_MODEMHUB}}!="?*", GOTO="modemhub_end"
TAG+="modemhub"
ENV{{ID_MODEMHUB}}!="1", GOTO="modemhub_end"
SUBSYSTEM=="tty", GOTO="modemhub_port"

# The device: not ModemManager's, and the group may switch it off and on.
ENV{{ID_MM_DEVICE_IGNORE}}="1"
TEST=="authorized", RUN+="/bin/chgrp {GROUP} $sys$devpath/authorized", RUN+="/bin/chmod g+w $sys$devpath/authorized"
TEST=="port/disable", RUN+="/bin/chgrp {GROUP} $sys$devpath/port/disable", \\
  RUN+="/bin/chmod g+w $sys$devpath/port/disable"
TEST=="driver/bind", RUN+="/bin/chgrp {GROUP} $sys$devpath/driver/bind $sys$devpath/driver/unbind", \\
  RUN+="/bin/chmod g+w $sys$devpath/driver/bind $sys$devpath/driver/unbind"
GOTO="modemhub_end"

# Its ports.
LABEL="modemhub_port"
GROUP="{GROUP}", MODE="0660", ENV{{ID_MM_PORT_IGNORE}}="1"
ENV{{ID_PATH}}=="?*", ENV{{ID_USB_INTERFACE_NUM}}=="?*", \\
  SYMLINK+="modemhub/$env{{ID_PATH}}-if$env{{ID_USB_INTERFACE_NUM}}"

LABEL="modemhub_end"
"""


def _named(profile: Profile) -> set[str]:
    return {usb.id for usb in profile.ports.usb} | set(profile.ports.storage) | set(profile.ports.router)


def rules(profiles: Sequence[Profile]) -> str:
    """The rules file for these profiles."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for usb_id in sorted(set().union(*map(_named, profiles))):
        role = role_of(profiles, usb_id)
        families = for_usb(profiles, usb_id) or [profile for profile in profiles if usb_id in _named(profile)]
        vendor, _, product = usb_id.partition(":")
        names = " ".join(profile.name for profile in families)
        value = "1" if role == "modem" else str(role)
        groups.setdefault((value, names, vendor), []).append(product)
    lines = [
        f'ENV{{ID_VENDOR_ID}}=="{vendor}", ENV{{ID_MODEL_ID}}=="{"|".join(products)}", '
        f'ENV{{ID_MODEMHUB}}="{value}", ENV{{ID_MODEMHUB_FAMILY}}="{names}"'
        for (value, names, vendor), products in sorted(groups.items())
    ]
    return _BEGIN + "\n".join(lines) + "\n" + _END


if __name__ == "__main__":
    sys.stdout.write(rules(shipped()))
