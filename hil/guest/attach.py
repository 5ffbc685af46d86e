"""Attaches an emulated modem that is exported over USB/IP to this machine's kernel: ``python3 attach.py HOST [PORT]``.

It runs where the modem shall appear: in the guest, or on a real Pi (as root, with the kernel's module ``vhci-hcd``). It
needs nothing but Python; the kernel keeps the connection, so it ends at once and the modem stays until the other side
pulls it. Prints the port of the virtual host controller, which ``--detach PORT`` frees. With ``--keep`` it stays and
attaches the modem again each time that it was pulled, as a stick is there again when it is put back.
"""

from __future__ import annotations

import argparse
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

CONTROLLER = Path("/sys/devices/platform/vhci_hcd.0")
USBIP_PORT = 3240
BUSID = b"1-1"
HIGH = 3
"""enum usb_device_speed; high-speed devices go to the hub "hs"."""
AGAIN = 0.3
"""Seconds until it is tried again; the kernel has no event for a port that became free."""
FREE = "004"
"""VDEV_ST_NULL: nothing is attached to the port."""


def _octets(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = connection.recv(count - len(got))
        if not piece:
            raise ConnectionError("the exporter closed the connection")
        got += piece
    return got


def attach(host: str, port: int) -> int:
    """Import the device and hand the connection to the kernel; the controller's port.

    Raises:
        ConnectionError: the exporter refused, or there is none.
        LookupError: every port of the controller is taken.
    """
    connection = socket.create_connection((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(struct.pack(">HHI", 0x0111, 0x8003, 0) + BUSID.ljust(32, b"\0"))
    _, _, status = struct.unpack(">HHI", _octets(connection, 8))
    if status:
        raise ConnectionError("the exporter refused: the device is attached elsewhere")
    described = _octets(connection, 312)
    bus, number, speed = struct.unpack_from(">III", described, 288)
    hub = "hs" if speed <= HIGH else "ss"
    for line in (CONTROLLER / "status").read_text().splitlines()[1:]:
        kind, place, state, *_ = line.split()
        if (kind, state) == (hub, FREE):
            words = f"{int(place)} {connection.fileno()} {bus << 16 | number} {speed}"
            (CONTROLLER / "attach").write_text(words)
            return int(place)
    raise LookupError("the virtual host controller has no free port")


def attached(port: int) -> bool:
    """Whether something hangs on this port of the controller."""
    lines = (line.split() for line in (CONTROLLER / "status").read_text().splitlines()[1:])
    return any(int(place) == port and state != FREE for _, place, state, *_ in lines)


def keep(host: str, port: int) -> None:
    """Attach it whenever it can be had."""
    while True:
        try:
            place = attach(host, port)
        except OSError:
            time.sleep(AGAIN)
            continue
        print(place, flush=True)
        while attached(place):
            time.sleep(AGAIN)


def main() -> int:
    """Exit status 0, or 1 with a word on what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", type=int, default=USBIP_PORT)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--detach", type=int, metavar="PORT")
    arguments = parser.parse_args()
    try:
        subprocess.run(["modprobe", "vhci-hcd"], check=True)
        if arguments.detach is not None:
            (CONTROLLER / "detach").write_text(str(arguments.detach))
        elif arguments.keep:
            keep(arguments.host, arguments.port)
        else:
            print(attach(arguments.host, arguments.port))
    except (OSError, LookupError, subprocess.CalledProcessError) as error:
        print(f"attach: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
