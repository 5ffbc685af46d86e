"""Every path that the device tool reads or writes. Tests have another ``root``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are; all below ``root``."""

    root: Path = Path("/")

    @property
    def real(self) -> bool:
        """Whether this is the device itself: only there files are given to its users."""
        return self.root == Path("/")

    def at(self, path: str | Path) -> Path:
        """An absolute path of the device, here."""
        return self.root / str(path).lstrip("/")

    @property
    def fat(self) -> Path:
        """The FAT partition."""
        return self.at("/boot/firmware")

    @property
    def data(self) -> Path:
        """The partition of all that is kept."""
        return self.at("/data")

    @property
    def keeps(self) -> bool:
        """Whether that is mounted; where it is not, ``data`` is an empty directory of the read-only root."""
        try:
            lines = self.at("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return False
        return any(line.split(" ")[1:2] == ["/data"] for line in lines)

    @property
    def device(self) -> Path:
        """What the device keeps beside the hub."""
        return self.at("/data/device")

    @property
    def broker(self) -> Path:
        """The broker's certificates, keys and accounts."""
        return self.at("/data/device/broker")

    @property
    def host_keys(self) -> Path:
        """The SSH server's keys."""
        return self.at("/data/device/ssh")

    @property
    def run(self) -> Path:
        """What is derived for this boot."""
        return self.at("/run/modemhub-device")

    @property
    def hub_claim(self) -> Path:
        """The claim as the hub writes it."""
        return self.at("/var/lib/modemhub/CLAIM.txt")

    @property
    def hub_store(self) -> Path:
        """The hub's database."""
        return self.at("/var/lib/modemhub/modemhub.db")

    @property
    def image(self) -> Path:
        """Which image this is, as shell variables."""
        return self.at("/etc/modemhub-image")
