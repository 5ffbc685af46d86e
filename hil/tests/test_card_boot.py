"""The U-Boot script of the image, run by U-Boot: which slot it boots, and what it remembers.

The card is a tiny one whose kernels say their name (``hil.card.tiny``); U-Boot is that of the image's Debian release.
Each case is one boot of three seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from hil.card import machine, tiny
from hil.card.machine import CardMachine, Fat
from hil.card.tiny import card, choice, chosen, kernel
from image.building import Impossible

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]

INITRD: Final = b"an initial RAM disk" * 100
A: Final = {"vmlinuz": kernel("A"), "initrd.img": INITRD}
B: Final = {"vmlinuz": kernel("B"), "initrd.img": INITRD * 50}
BOTH: Final = {"A": A, "B": B}
WITHIN: Final = 90.0
"""Seconds until a boot of three seconds is given up: other tests may have the processors."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is on the card, and what is to come of it."""

    name: str
    order: str | None
    left: str
    """BOOT_A_LEFT and BOOT_B_LEFT."""
    boots: str
    then: tuple[str, str, str]
    """The order and the attempts that are left when the kernel starts."""
    a: dict[str, bytes] | None = None
    b: dict[str, bytes] | None = None
    told: tuple[str, ...] = ()
    """What is told before the slot that is booted."""


EMPTY: Final[dict[str, bytes]] = {}
GONE_A, GONE_B = "slot A cannot be loaded", "slot B cannot be loaded"
ANEW: Final = "no slot is left, all are tried anew"

CASES: Final = (
    Case("a fresh card", "A B", "3 3", "A", ("A B", "2", "3"), a=A),
    Case("an attempt is the last one", "A B", "1 3", "A", ("A B", "0", "3"), a=A, b=B),
    Case("a slot is tried out", "A B", "0 3", "B", ("A B", "0", "2"), a=A, b=B),
    Case("B is preferred", "B A", "c c", "B", ("B A", "c", "b"), a=A, b=B),
    Case("attempts are hexadecimal", "A B", "10 3", "A", ("A B", "f", "3"), a=A, b=B),
    Case("B was marked bad", "A", "c 0", "A", ("A", "b", "0"), a=A, b=B),
    Case("the sector was never written", None, "", "A", ("A B", "2", "3"), a=A, b=B),
    Case("the order is missing", "", "5 3", "A", ("A B", "4", "3"), a=A, b=B),
    Case("nothing is left", "B A", "0 0", "B", ("B A", "3", "2"), a=A, b=B, told=(ANEW,)),
    Case("only B was trusted, and nothing is left", "B", "0 0", "B", ("B A", "3", "2"), a=A, b=B, told=(ANEW,)),
    Case("the order is of unknown slots", "C", "3 3", "A", ("A B", "2", "3"), a=A, b=B, told=(ANEW,)),
    Case("the attempts are no number", "A B", "zz 3", "B", ("A B", "zz", "2"), a=A, b=B),
    Case("B is preferred and was never written", "B A", "3 3", "A", ("B A", "2", "0"), a=A, told=("slot B", GONE_B)),
    Case("A has no files", "A B", "3 3", "B", ("A B", "0", "2"), a=EMPTY, b=B, told=("slot A", GONE_A)),
    Case(
        "A has a kernel that is none", "A B", "c 3", "B", ("A B", "0", "2"),
        a={**A, "vmlinuz": b"no kernel" * 1000}, b=B, told=("slot A", GONE_A),
    ),
    Case(
        "A has lost its initial RAM disk", "A B", "c 3", "B", ("A B", "0", "2"),
        a={"vmlinuz": A["vmlinuz"]}, b=B, told=("slot A", GONE_A),
    ),
    Case(
        "the preferred one is gone and the other tried out", "A B", "3 0", "B", ("A B", "0", "2"),
        a=EMPTY, b=B, told=("slot A", GONE_A, ANEW, "slot A", GONE_A),
    ),
)  # fmt: skip


def why_not() -> str | None:
    """Why U-Boot does not run here."""
    if reason := tiny.needed() or machine.needed():
        return reason
    try:
        machine.uboot()
    except Impossible as error:
        return f"U-Boot for QEMU is not to be had: {error}"
    return None


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    if reason := why_not():
        pytest.skip(reason)


def table(image: Path, case: Case) -> Path:
    if case.order is None:
        sector = b""
    else:
        a, b = case.left.split()
        order = {"BOOT_ORDER": case.order} if case.order else {}
        sector = choice(**order, BOOT_A_LEFT=a, BOOT_B_LEFT=b)
    return card(image, a=case.a, b=case.b, sector=sector)


def on(image: Path, directory: Path) -> CardMachine:
    return CardMachine(image, directory, usb=0, forward=(), size=None, on=False)


def told(running: CardMachine) -> list[str]:
    """The decisions of this boot, without what the sector then held."""
    lines = (line.removeprefix("modemhub: ") for line in running.booted() if line.startswith("modemhub: "))
    return [line.partition(" (")[0] for line in lines]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_slot_that_boots_and_what_is_remembered(case: Case, tmp_path: Path) -> None:
    async with on(table(tmp_path / "image", case), tmp_path) as running:
        await running.power_on()
        said = await running.says("kernel of ", within=WITHIN)
        assert said.startswith(f"kernel of {case.boots}: ")
        part = {"A": 2, "B": 3}[case.boots]
        line = said.split(": ", 1)[1].split()
        assert line[:4] == [f"root=PARTUUID=4d485542-0{part}", "ro", "rootwait", f"rauc.slot={case.boots}"]
        assert told(running) == [*case.told, f"slot {case.boots}"]
        await running.ended()
        order, a, b = case.then
        assert chosen(running.card) == {"BOOT_ORDER": order, "BOOT_A_LEFT": a, "BOOT_B_LEFT": b}


@pytest.mark.parametrize("text", [b"extra=hello=1 there\n", b"extra=hello=1 there\r\n", b"extra=hello=1 there"])
async def test_words_of_the_fat_partition_are_added_to_the_kernels_line(text: bytes, tmp_path: Path) -> None:
    """And nothing else of that file is taken."""
    image = card(tmp_path / "image", a=A, b=None, sector=choice(BOOT_ORDER="A", BOOT_A_LEFT="3", BOOT_B_LEFT="0"))
    Fat.of(image).write("boot-extra.txt", b"BOOT_ORDER=B\nsector=0\n" + text)
    async with on(image, tmp_path) as running:
        await running.power_on()
        said = await running.says("kernel of A: ", within=WITHIN)
        assert said.split()[-2:] == ["hello=1", "there"]
        assert said.split()[-3] == "loglevel=4"
        await running.ended()
        assert chosen(running.card)["BOOT_A_LEFT"] == "2"


async def test_a_card_on_which_nothing_can_be_loaded_is_tried_again_and_again(tmp_path: Path, long: bool) -> None:
    image = card(tmp_path / "image", a=EMPTY, b=None, sector=choice(BOOT_ORDER="A B", BOOT_A_LEFT="c", BOOT_B_LEFT="3"))
    async with on(image, tmp_path) as running:
        await running.power_on()
        gone = ["slot A", GONE_A, "slot B", GONE_B, ANEW]
        await running.console.until(lambda _: told(running) == gone * 2, "both rounds", within=WITHIN)
        if long:  # it waits for half a minute, as each round writes
            await running.events.until(lambda all_: any(e["event"] == "RESET" for e in all_), "reset", within=WITHIN)
            await running.console.until(lambda _: len(told(running)) == len(gone) * 4, "next start", within=WITHIN)
        await running.qmp("quit")
        await running.ended()
        assert chosen(running.card) == {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
