"""Who may be texted: recipients in one spelling, and the list of allowed destinations (promise C2).

A recipient is ``+`` and 7 to 15 digits (E.164) or a short code of 3 to 6 digits. Other spellings are brought into that
form: separators go, ``00`` becomes ``+``, and a national number (``07700 900123``) is read as one of the given
region's. Names (alphanumeric senders) cannot be texted.

The allowed list holds ``"home"`` (the country of the SIM, by its IMSI's mobile country code), ``"*"`` (all numbers, but
still no short codes: they may cost anything), E.164 prefixes as ``"+43"``, and short codes by name, as ``"88444"``.
Nothing else is allowed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from appliance.errors import Rejected
from appliance.hub.countries import home_country

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from appliance.types import Imsi

__all__ = ["check_allowed", "is_allowance", "normalise"]

_SEPARATORS = re.compile(r"[\s\-./()\u00a0\u2010\u2011]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,6}")
_ALLOWANCE = re.compile(r"home|\*|\+[1-9][0-9]{0,14}|[0-9]{3,6}")


def is_allowance(entry: str) -> bool:
    """Whether ``entry`` is a lawful member of the allowed list."""
    return _ALLOWANCE.fullmatch(entry) is not None


def normalise(recipient: str, *, region: str | None, pointer: str) -> str:
    """``recipient`` as ``+<E.164 digits>`` or as a short code.

    Raises:
        Rejected: ``invalid``, naming what was expected.
    """
    number = _SEPARATORS.sub("", recipient)
    if number.startswith("00"):
        number = "+" + number[2:]
    if _E164.fullmatch(number) or _SHORT_CODE.fullmatch(number):
        return number
    if region is not None and number.isascii() and number.isdigit():
        national = _in_region(number, region)
        if national is not None:
            return national
    raise Rejected(
        "invalid",
        f"{_hide(recipient)} is not a phone number: write it with its country code, as +447700900123, "
        "or give a short code of 3 to 6 digits",
        pointer=pointer,
    )


def check_allowed(recipient: str, *, allowed: Sequence[str], sims: Collection[Imsi], pointer: str) -> None:
    """Return if ``recipient`` (normalised) may be texted from any of ``sims``.

    Raises: Rejected: ``destination_not_allowed``; ``no_sim`` when that depends on a SIM's country and none has been
        seen yet.
    """
    if not recipient.startswith("+"):
        if recipient in allowed:
            return
        raise Rejected(
            "destination_not_allowed",
            f"short code {recipient} is not in policy.allowed_destinations: add it there by name if you mean it "
            "(short codes may cost extra)",
            pointer=pointer,
        )
    if "*" in allowed or any(entry.startswith("+") and recipient.startswith(entry) for entry in allowed):
        return
    if "home" in allowed:
        homes = (home_country(imsi) for imsi in sims)
        if any(home is not None and recipient.startswith(home.prefix) for home in homes):
            return
        if not sims:
            raise Rejected(
                "no_sim",
                "policy allows the SIM's own country only, and no SIM has been seen yet: plug in a modem with a SIM",
            )
    raise Rejected(
        "destination_not_allowed",
        f"{_hide(recipient)} is outside policy.allowed_destinations {list(allowed)}: add its prefix if you mean it",
        pointer=pointer,
    )


@lru_cache(maxsize=1024)
def _in_region(digits: str, region: str) -> str | None:
    import phonenumbers  # noqa: PLC0415 - 6 MB and 0.1 s that only national spellings need

    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _hide(number: str) -> str:
    """A number for an error text that may be logged: its ends only (promise C1)."""
    return number if len(number) <= 6 else f"{number[:3]}…{number[-2:]}"
