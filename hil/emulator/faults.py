"""What a test may break in one modem: a table of kinds. Each fault lasts until what its line says, or ``clear``.

A remedy is what a host can do: ``reopen`` (close and open the port), ``soft_reset`` (a command that resets), ``usb``
(authorized or bind), ``reset_line``, ``power_key``, ``supply``. Which cures which is in ``modem.REMEDIES``.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import tpdu
from hil.emulator.modem import REMEDIES
from hil.emulator.sim import Sim
from hil.emulator.storage import READ, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hil.emulator.modem import Modem

_GARBAGE_SEED: Final = 23040


def _mute(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Neither answers nor hears, until clear."""
    modem.faults["mute"] = True


def _mute_until_reopen(modem: Modem, _words: Mapping[str, Any]) -> None:
    """As mute, until the port was closed by all its users and opened again."""
    modem.faults["mute_until_reopen"] = True


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
    for session in modem.sessions:
        session.parameters.echo = True


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
    """Resets by itself, whatever else is wrong with it; one that was unplugged is plugged in."""
    modem.faults.pop("wedged", None)
    modem.supplied = True
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


def _urc_elsewhere(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Unsolicited lines go to a port that nobody reads, until the family's command brings them back."""
    modem.urc_role = "elsewhere"


def _deaf(modem: Modem, _words: Mapping[str, Any]) -> None:
    """Stores, but never tells +CMTI or +CDSI, until clear."""
    modem.faults["deaf"] = True


def _storage_full(modem: Modem, words: Mapping[str, Any]) -> None:
    """Fills ``memory`` (the one that receives) with read messages; ``leave`` (0) slots stay free."""
    name = str(words.get("memory", modem.registers.cpms[2]))
    memory = modem.memories["SM" if name == "MT" else name]
    sca = tpdu.write_sca(modem.registers.csca)
    for n in range(memory.used + int(words.get("leave", 0)), memory.limit):
        body = tpdu.write_user_data(tpdu.split_text(f"old {n}", "gsm7", reserved=0)[0], b"", "gsm7")
        memory.add(Stored(READ, sca, tpdu.write_deliver("+447700900998", tpdu.now(), body)))
    if modem.persona.storage_full:
        modem.urc(modem.persona.storage_full.format(memory=memory.name))


def _sim_line(modem: Modem, words: Mapping[str, Any], line: str) -> None:
    if words.get("urc", True) and modem.sim_up:
        modem.urc(line)


def _sim_out(modem: Modem, words: Mapping[str, Any]) -> None:
    """The card is pulled out; ``urc`` (true): +CPIN: NOT INSERTED is told."""
    modem.sim.present = False
    modem.update_registration()
    _sim_line(modem, words, "+CPIN: NOT INSERTED")


def _sim_in(modem: Modem, words: Mapping[str, Any]) -> None:
    """The card is back (locked again when it has a PIN); ``urc`` (true): its state is told."""
    modem.sim.present = True
    modem.sim.power_cycle()
    _sim_line(modem, words, "+CPIN: " + {"pin": "SIM PIN", "puk": "SIM PUK"}.get(modem.sim.state, "READY"))
    if words.get("urc", True):
        modem.sim_ready()
    else:
        modem.update_registration()


def _sim_change(modem: Modem, words: Mapping[str, Any]) -> None:
    """Another card: ``imsi``, ``iccid``, ``number``, ``pin``; or an earlier one by its ``iccid``. ``urc`` as sim_in."""
    _sim_out(modem, words)
    known = modem.cards.get(str(words["iccid"]))
    if known is not None:
        modem.insert(*known)
    else:
        sim = Sim(str(words["imsi"]), str(words["iccid"]), str(words["number"]))
        if "pin" in words:
            sim.pin, sim.pin_enabled = str(words["pin"]), True
        modem.insert(sim)
    _sim_in(modem, words)


def _pin(modem: Modem, words: Mapping[str, Any]) -> None:
    """The SIM asks for its PIN (``pin``: this one from now on), as after a power failure of the card."""
    sim = modem.sim
    sim.pin = str(words.get("pin", sim.pin))
    sim.pin_enabled, sim.unlocked = True, False
    sim.pin_left = int(words.get("left", sim.pin_left))
    modem.update_registration()
    _sim_line(modem, words, "+CPIN: SIM PIN")


def _puk(modem: Modem, words: Mapping[str, Any]) -> None:
    """The SIM is blocked: no try of the PIN is left."""
    modem.sim.pin_enabled, modem.sim.unlocked, modem.sim.pin_left = True, False, 0
    modem.update_registration()
    _sim_line(modem, words, "+CPIN: SIM PUK")


def _registration(modem: Modem, words: Mapping[str, Any]) -> None:
    """<stat> from now on: 0 off, 2 searching, 3 denied, 4 unknown, 11 RLOS; 1 heals it."""
    modem.settings.set("registration", int(words["stat"]))
    modem.registration_changed()


def _renumber(modem: Modem, _words: Mapping[str, Any]) -> None:
    """The ports vanish and return at once under other names (without USB: another pty); the modem lives on."""
    modem.renumber()


def _reboot_mid_send(modem: Modem, words: Mapping[str, Any]) -> None:
    """The next submit ends in a reset ``at``: prompt, payload (the network gets nothing), or accepted (it has it)."""
    at = str(words.get("at", "accepted"))
    if at not in ("prompt", "payload", "accepted"):
        raise ValueError(f"at is prompt, payload or accepted, not {at}")
    modem.faults["reboot_mid_send"] = at


def _poison(modem: Modem, words: Mapping[str, Any]) -> None:
    """The message at ``index`` of ``memory``, or the next one with ``text`` in it, makes the modem reboot when read."""
    if "index" in words:
        stored = modem.storage(str(words.get("memory", modem.registers.cpms[0]))).get(int(words["index"]))
        if stored is None:
            raise ValueError(f"there is no message at {words['index']}")
        stored.poison = True
    else:
        modem.faults["poison"] = str(words.get("text", ""))


def _wrong_baud(modem: Modem, words: Mapping[str, Any]) -> None:
    """Speaks at ``rate``: a host at another one hears noise. AT+IPR at the right rate changes it."""
    modem.faults["wrong_baud"] = int(words["rate"])


def _until(words: Mapping[str, Any]) -> str:
    until = str(words.get("until", "soft_reset"))
    if until not in REMEDIES:
        raise ValueError(f"until is one of {', '.join(REMEDIES)}, not {until}")
    return until


def _wedged(modem: Modem, words: Mapping[str, Any]) -> None:
    """Hangs on all its ports ``until`` this remedy or a stronger one; weaker ones have no effect at all."""
    modem.faults["wedged"] = _until(words)


def _dead_port(modem: Modem, words: Mapping[str, Any]) -> None:
    """As wedged, but only the primary AT port; the others answer, and a reset there is a remedy."""
    modem.faults["dead_port"] = _until(words)


def _slow_result(modem: Modem, words: Mapping[str, Any]) -> None:
    """The result of the next submit comes after ``seconds`` (170); the network has the message at once."""
    modem.faults["late_result"] = float(words.get("seconds", 170))


def _lost_result(modem: Modem, words: Mapping[str, Any]) -> None:
    """The network gets the next ``times`` (1; 0: all) submits, but no result is ever told; the modem is alive."""
    modem.faults["lost_result"] = int(words.get("times", 1))


def _busy_sim(modem: Modem, words: Mapping[str, Any]) -> None:
    """The next ``times`` (0: all, until clear) commands that need the SIM answer that it is busy (14, 314)."""
    modem.faults["busy_sim"] = int(words.get("times", 0))


def _bearer(modem: Modem, words: Mapping[str, Any]) -> None:
    """Submits fail with +CMS ERROR ``code`` (500) unless +CGSMS or the technology command, as typed, is in ``only``."""
    modem.faults["bearer"] = {"only": list(words["only"]), "code": int(words.get("code", 500))}


def _forgotten_all(modem: Modem, _words: Mapping[str, Any]) -> None:
    """+CNMI, +CSMS, +CMGF and +CPMS are as from the factory, without a word."""
    r, persona = modem.registers, modem.persona
    r.cnmi, r.csms, r.cmgf, r.cpms = list(persona.cnmi), persona.csms, 0, list(persona.cpms)


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
    "forgotten_all": _forgotten_all,
    "urc_elsewhere": _urc_elsewhere,
    "deaf": _deaf,
    "storage_full": _storage_full,
    "sim_out": _sim_out,
    "sim_in": _sim_in,
    "sim_change": _sim_change,
    "pin": _pin,
    "puk": _puk,
    "registration": _registration,
    "renumber": _renumber,
    "reboot_mid_send": _reboot_mid_send,
    "poison": _poison,
    "wrong_baud": _wrong_baud,
    "wedged": _wedged,
    "dead_port": _dead_port,
    "slow_result": _slow_result,
    "lost_result": _lost_result,
    "busy_sim": _busy_sim,
    "bearer": _bearer,
    "urc": _urc,
    "raw": _raw,
    "clear": _clear,
}
