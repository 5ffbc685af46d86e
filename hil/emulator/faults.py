"""What a test may break in one modem: a table of kinds. Each fault lasts until what its line says, or ``clear``."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.modem import Modem

_GARBAGE_SEED: Final = 23040


def _mute(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Neither answers nor hears, until clear."""
    modem.faults["mute"] = True


def _mute_until_reopen(modem: Modem, _words: Mapping[str, Any]) -> None:
    """As mute, until the port was closed by all its users and opened again."""
    modem.faults["mute_until_reopen"] = "open" if modem.line.users else "closed"


def _mute_until_reset(modem: Modem, _words: Mapping[str, Any]) -> None:
    """As mute, but AT+CFUN=1,1 (or the persona's reset command) still resets; so do reboot, unplug, replug."""
    modem.faults["mute_until_reset"] = True


def _garbage(modem: Modem, words: Mapping[str, Any]) -> None:
    """Sends ``bytes`` (64) octets of noise at once; the same noise each time for the same ``seed``."""
    noise = random.Random(int(words.get("seed", _GARBAGE_SEED)))
    modem.send("".join(chr(noise.randrange(256)) for _ in range(int(words.get("bytes", 64)))))


def _flood(modem: Modem, words: Mapping[str, Any]) -> None:
    """Sends a line of the family's chatter every ``interval`` (0.001) seconds, ``count`` times or until clear."""
    lines = modem.persona.chatter or ("+CIEV: 2,3",)
    left = int(words.get("count", 0))
    interval = float(words.get("interval", 0.001))
    token = object()
    modem.faults["flood"] = token

    def chatter(n: int) -> None:
        if modem.faults.get("flood") is not token:
            return
        modem.urc(lines[n % len(lines)])
        if left and n + 1 >= left:
            modem.faults.pop("flood", None)
        else:
            modem.after(interval, lambda: chatter(n + 1))

    chatter(0)


def _echo_on(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Echoes again, as after a reset that nobody saw."""
    modem.registers.echo = True


def _stuck_prompt(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Stands at a prompt that nobody asked for; only ESC leaves it."""
    modem.faults["stuck"] = True
    modem.prompt(lambda _text: modem.silence(), stuck=True)


def _no_prompt(modem: Modem, words: Mapping[str, Any]) -> None:
    """The next ``times`` (1) prompts do not appear, though the modem waits for text."""
    modem.faults["no_prompt"] = int(words.get("times", 1))


def _late_result(modem: Modem, words: Mapping[str, Any]) -> None:
    """The result of the next submit comes ``seconds`` later than it would; the network has the message at once."""
    modem.faults["late_result"] = float(words["seconds"])


def _reboot(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Resets by itself."""
    modem.reboot()


def _power_off(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Loses power and stays dead until reboot or replug; the port stays."""
    modem.power_down()


def _unplug(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Hangs up the port and removes it."""
    modem.unplug()


def _replug(modem: Modem, _words: Mapping[str, Any]) -> None:
    """A new pty under the old name; the modem boots."""
    modem.replug()


def _forget_cnmi(modem: Modem, _words: Mapping[str, Any]) -> None:
    """+CNMI is 0,0,0,0,0 from now on, without a word."""
    modem.registers.cnmi = [0, 0, 0, 0, 0]


def _urc(modem: Modem, words: Mapping[str, Any]) -> None:
    """Sends ``line`` unsolicited, whatever it says."""
    modem.urc(str(words["line"]))


def _raw(modem: Modem, words: Mapping[str, Any]) -> None:
    """Sends the octets ``hex`` as they are, in any state."""
    modem.send(bytes.fromhex(str(words["hex"])).decode("latin-1"))


def _clear(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Ends what lasts. A stuck prompt needs its ESC (or a reset) nevertheless."""
    stuck = "stuck" in modem.faults
    modem.faults.clear()
    if stuck:
        modem.faults["stuck"] = True


FAULTS: Final[Mapping[str, Callable[[Modem, Mapping[str, Any]], None]]] = {
    "mute": _mute,
    "mute_until_reopen": _mute_until_reopen,
    "mute_until_reset": _mute_until_reset,
    "garbage": _garbage,
    "flood": _flood,
    "echo_on": _echo_on,
    "stuck_prompt": _stuck_prompt,
    "no_prompt": _no_prompt,
    "late_result": _late_result,
    "reboot": _reboot,
    "power_off": _power_off,
    "unplug": _unplug,
    "replug": _replug,
    "forget_cnmi": _forget_cnmi,
    "urc": _urc,
    "raw": _raw,
    "clear": _clear,
}
