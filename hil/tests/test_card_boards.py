"""What can be said of the boards without one: their device trees with our overlays, and the Pi's own U-Boot.

The device trees are those of the kernel package that the image is built of; the U-Boot for the Pi runs on QEMU's
``raspi3b``. Nothing here shows that a real board starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hil.card import tiny
from hil.card.machine import Fat
from hil.card.tiny import choice, chosen, kernel
from hil.qemu import QEMU
from hil.rig.process import ROOT, Child
from hil.rig.waiting import Record
from image import debian
from image.building import Impossible, missing
from image.card.build import TREES

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = ROOT / "image" / "card"
OVERLAYS: Final = sorted(file.stem for file in (HERE / "devicetree").glob("*.dts"))
RULES: Final = HERE / "overlay/usr/lib/udev/rules.d/71-modemhub-card.rules"
WITHIN: Final = 120.0
DTC: Final = "device-tree-compiler"

SECTIONS: Final = {
    "bcm2837-rpi-3-a-plus.dtb": {"all", "pi3", "pi3+"},
    "bcm2837-rpi-3-b.dtb": {"all", "pi3"},
    "bcm2837-rpi-3-b-plus.dtb": {"all", "pi3", "pi3+"},
    "bcm2837-rpi-cm3-io3.dtb": {"all", "pi3", "cm3"},
    "bcm2837-rpi-zero-2-w.dtb": {"all", "pi0", "pi02"},
    "bcm2711-rpi-4-b.dtb": {"all", "pi4"},
    "bcm2711-rpi-400.dtb": {"all", "pi4", "pi400"},
    "bcm2711-rpi-cm4-io.dtb": {"all", "pi4", "cm4"},
}
"""Sections of config.txt that a board reads (documentation of config.txt, "Model filters")."""
WITHOUT_BLUETOOTH: Final = {"bcm2837-rpi-cm3-io3.dtb"}


def packaged(lock: str, name: str, *, fetch: bool) -> Path:
    """The file of a locked package."""
    (package,) = (each for each in debian.locked(HERE / lock) if re.fullmatch(name, each.name))
    if not package.file.exists():
        if not fetch:
            pytest.skip(f"{package.name} is not here, {package.size / 1e6:.0f} MB: make image or --long fetches it")
        try:
            debian.fetch([package])
        except Impossible as error:
            pytest.skip(f"{package.name} is not to be had: {error}")
    return package.file


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, long: bool) -> Iterator[Path]:
    """A directory with the device trees of the image's kernel."""
    if lost := missing({**dict.fromkeys(("dtc", "fdtoverlay", "fdtget"), DTC), "dpkg-deb": "dpkg"}):
        pytest.skip(lost)
    package = packaged("packages.lock", r"linux-image-6.*", fetch=long)
    place = tmp_path_factory.mktemp("trees")
    files = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    argv: list[str | Path] = [
        "tar",
        "-x",
        "-C",
        place,
        "--wildcards",
        "--strip-components=5",
        "*/broadcom/bcm2[78]*-rpi-*.dtb",
    ]
    with files:
        subprocess.run(argv, stdin=files.stdout, check=True)
    for overlay in OVERLAYS:
        source = HERE / "devicetree" / f"{overlay}.dts"
        subprocess.run(["dtc", "-@", "-q", "-O", "dtb", "-o", place / f"{overlay}.dtbo", source], check=True)
    yield place
    shutil.rmtree(place)


def overlays(board: str) -> list[str]:
    """What config.txt has the firmware lay over this board's tree, in its order."""
    found, section = [], "all"
    for line in (HERE / "config.txt").read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.startswith("dtoverlay=") and section in SECTIONS[board]:
            found.append(line.removeprefix("dtoverlay="))
    return found


@dataclass(frozen=True, slots=True)
class Tree:
    """A device tree in a file."""

    file: Path

    def text(self, node: str, name: str) -> str:
        return self._get("-t", "s", "-d", "", self.file, node, name)

    def cells(self, node: str, name: str) -> list[int]:
        return [int(cell, 16) for cell in self._get("-t", "x", "-d", "", self.file, node, name).split()]

    def nodes(self, node: str) -> list[str]:
        return self._get("-l", self.file, node).split()

    def _get(self, *argv: str | Path) -> str:
        return subprocess.run(["fdtget", *argv], check=True, capture_output=True, text=True).stdout.strip()


def laid(trees: Path, board: str) -> Tree:
    """The board's tree with what is laid over it; an overlay that does not fit is passed over, as the firmware does."""
    tree = trees / board
    for overlay in overlays(board):
        result = trees / f"{board}+{overlay}"
        argv: list[str | Path] = ["fdtoverlay", "-i", tree, "-o", result, trees / f"{overlay}.dtbo"]
        fits = subprocess.run(argv, capture_output=True, check=False).returncode == 0
        assert fits == (overlay != "modemhub-no-bluetooth" or board not in WITHOUT_BLUETOOTH), overlay
        tree = result if fits else tree
    return Tree(tree)


def test_each_overlay_that_config_names_is_there_and_each_is_named() -> None:
    named = re.findall(r"^dtoverlay=(\S+)", (HERE / "config.txt").read_text(encoding="ascii"), re.MULTILINE)
    assert sorted(named) == OVERLAYS


def test_each_board_of_the_image_is_judged() -> None:
    assert set(SECTIONS) == set(TREES)


@pytest.mark.parametrize("board", sorted(SECTIONS))
def test_the_full_uart_is_on_the_header_and_is_serial0(board: str, trees: Path) -> None:
    tree = laid(trees, board)
    uart = tree.text("/aliases", "serial0")
    assert "arm,pl011" in tree.text(uart, "compatible")
    assert tree.text(uart, "status") in {"", "okay"}
    pins = {}
    for name in tree.nodes("/soc/gpio@7e200000"):
        node = f"/soc/gpio@7e200000/{name}"
        for handle in tree.cells(node, "phandle"):
            pins[handle] = tree.cells(node, "brcm,pins")
    assert [pins[handle] for handle in tree.cells(uart, "pinctrl-0")] == [[14, 15]]
    for child in tree.nodes(uart):
        assert tree.text(f"{uart}/{child}", "status") == "disabled", (
            "the kernel gives the port to this and not to a tty"
        )
    for name in ("serial@7e215040", "i2c@7e804000", "spi@7e204000"):
        assert tree.text(f"/soc/{name}", "status") == "disabled"


@pytest.mark.parametrize("board", sorted(SECTIONS))
def test_udev_knows_that_uart_by_its_address(board: str, trees: Path) -> None:
    tree = laid(trees, board)
    reg = tree.cells(tree.text("/aliases", "serial0"), "reg")[0]
    parents = len(tree.cells("/", "#address-cells")) and tree.cells("/", "#address-cells")[0]
    cells = tree.cells("/soc", "ranges")
    size = 1 + parents + 1
    places = [
        reg - cells[at] + cells[at + parents]
        for at in range(0, len(cells), size)
        if cells[at] <= reg < cells[at] + cells[at + size - 1]
    ]
    known = re.findall(r'KERNELS=="([^"]+)"', RULES.read_text(encoding="ascii"))[0].split("|")
    assert [f"{place:x}.serial" in known for place in places] == [True]


@pytest.mark.parametrize("board", ["bcm2837-rpi-zero-2-w.dtb", "bcm2711-rpi-cm4-io.dtb", "bcm2837-rpi-3-a-plus.dtb"])
def test_the_boards_own_usb_port_is_a_host(board: str, trees: Path) -> None:
    assert laid(trees, board).text("/soc/usb@7e980000", "dr_mode") == "host"


# The Pi's own U-Boot.


@pytest.fixture
def pi_uboot(tmp_path: Path) -> Path:
    """u-boot.bin as it is on the FAT partition, and its environment beside it."""
    if reason := tiny.needed():
        pytest.skip(reason)
    package = packaged("firmware.lock", "u-boot-rpi", fetch=True)
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path / "deb"], check=True)
    binary = tmp_path / "deb/usr/lib/u-boot/rpi_arm64/u-boot.bin"
    argv: list[str | Path] = ["mkenvimage", "-s", "0x4000", "-o", binary.with_name("uboot.env"), HERE / "uboot-env.txt"]
    subprocess.run(argv, check=True)
    return binary


class Talkative:
    """A modem on a serial port that answers every line it hears, and repeats it, as modems do."""

    def __init__(self) -> None:
        self.heard: Record[str] = Record("what the modem hears")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # the board was switched off
            while line := await reader.readline():
                self.heard.add(line.decode(errors="backslashreplace").strip())
                writer.write(line + b"ERROR\r\n")
        writer.close()


@pytest.mark.asyncio
@pytest.mark.timeout(240)
async def test_the_pis_u_boot_boots_a_slot_past_a_modem_that_talks(trees: Path, pi_uboot: Path, tmp_path: Path) -> None:
    if lost := missing({QEMU: "qemu-system-arm"}):
        pytest.skip(lost)
    slot = {"vmlinuz": kernel("B", board="raspi3b"), "initrd.img": b"an initial RAM disk"}
    sector = choice(BOOT_ORDER="B A", BOOT_A_LEFT="3", BOOT_B_LEFT="c")
    image = tiny.card(
        tmp_path / "image", a=None, b=slot, sector=sector, uboot_env=pi_uboot.with_name("uboot.env").read_bytes()
    )
    modem = Talkative()
    # the header's pins are those of both UARTs, and U-Boot speaks on both
    server = await asyncio.start_unix_server(modem.serve, tmp_path / "s")
    argv: list[str | Path] = [
        QEMU, "-M", "raspi3b", "-display", "none", "-no-reboot",
        "-chardev", f"socket,id=full,path={tmp_path}/s", "-serial", "chardev:full",
        "-chardev", f"socket,id=mini,path={tmp_path}/s", "-serial", "chardev:mini",
        "-kernel", pi_uboot, "-dtb", laid(trees, "bcm2837-rpi-3-b.dtb").file,
        "-drive", f"if=sd,format=raw,file={image}",
    ]  # fmt: skip
    board = await Child.start("qemu", argv, log=tmp_path / "qemu.log")
    try:
        said = await modem.heard.until(
            lambda lines: next((line for line in lines if line.startswith("kernel of ")), None),
            "kernel", within=WITHIN,
        )  # fmt: skip
        assert said.startswith("kernel of B: root=PARTUUID=4d485542-03 ro rootwait rauc.slot=B ")
        assert "console=tty1" in said
        assert "ttyAMA" not in said
        assert chosen(image) == {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "b"}
    finally:
        await board.kill()
        server.close()


@pytest.mark.asyncio
@pytest.mark.timeout(1800)
async def test_the_very_image_starts_on_a_raspi3b(card: Path, long: bool, tmp_path: Path) -> None:
    """What the firmware would do is done here: U-Boot and device tree taken from the FAT, overlays laid over it."""
    if not long:
        pytest.skip("raspi3b takes ten minutes: make card ARGS=--long")
    if lost := missing({"fdtoverlay": DTC, "mcopy": "mtools", QEMU: "qemu-system-arm"}):
        pytest.skip(lost)
    image = tmp_path / "image"
    copied = await Child.start("cp", ["cp", "--sparse=always", "--reflink=auto", card, image], log=tmp_path / "cp.log")
    assert await copied.ended(within=WITHIN) == 0
    os.truncate(image, 4 << 30)  # this machine takes powers of two only
    fat = Fat.of(image)
    # QEMU has no timer behind this watchdog: armed, it resets at once. Four emulated processors take minutes for udev.
    words = "console=ttyAMA0,115200 modprobe.blacklist=bcm2835_wdt systemd.default_device_timeout_sec=900"
    fat.write("boot-extra.txt", f"extra={words}\n".encode())
    for name in ("u-boot.bin", "bcm2837-rpi-3-b.dtb", *(f"overlays/{each}.dtbo" for each in OVERLAYS)):
        (tmp_path / Path(name).name).write_bytes(fat.read(name))
    tree = laid(tmp_path, "bcm2837-rpi-3-b.dtb").file
    serial: Record[str] = Record("the console")

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), (tmp_path / "console.log").open("a", encoding="utf-8") as log:
            while line := await reader.readline():
                text = line.decode(errors="backslashreplace").strip()
                log.write(text + "\n")
                log.flush()
                serial.add(text)
        writer.close()

    server = await asyncio.start_unix_server(listen, tmp_path / "s")
    argv: list[str | Path] = [
        QEMU, "-M", "raspi3b", "-display", "none", "-no-reboot",
        "-chardev", f"socket,id=full,path={tmp_path}/s", "-serial", "chardev:full",
        "-kernel", tmp_path / "u-boot.bin", "-dtb", tree,
        "-drive", f"if=sd,format=raw,cache=unsafe,file={image}",
    ]  # fmt: skip
    board = await Child.start("qemu", argv, log=tmp_path / "qemu.log")

    async def says(pattern: str) -> None:
        await serial.until(lambda lines: any(re.search(pattern, line) for line in lines), pattern, within=1500)

    try:
        await says("Finished.*modemhub-device.service")
        await says("Started.*modemhub.service")  # without any network
        await says("Reached target.*multi-user.target")
    finally:
        await board.kill()
        server.close()
