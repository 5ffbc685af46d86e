"""What a user may set about policy, SIMs and the ports that udev cannot know."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from appliance.errors import SettingsError
from appliance.hub.contacts import Contacts
from appliance.hub.destinations import is_allowance
from appliance.modem import Layout, shipped
from appliance.modem.settings import PowerSettings
from appliance.types import OnInDoubt

__all__ = [
    "CallSettings",
    "ContactsSettings",
    "DetectSettings",
    "ModemSettings",
    "PolicySettings",
    "RecoverySettings",
    "SimSettings",
]


class PolicySettings(BaseModel):
    """What may be sent, how often it is tried, and what happens in doubt."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    allowed_destinations: list[str] = ["home"]
    """``home`` = the SIM's own country, ``*`` = all numbers, ``+43`` = a prefix, ``88444`` = a short code by name."""
    sim_daily_cap: Annotated[int, Field(ge=0)] = 200
    """Segments that one SIM may send in any 24 hours; no token can raise it."""
    client_daily_cap: Annotated[int, Field(ge=0)] | None = None
    """Segments that one client may send in any 24 hours."""
    region: Annotated[str, Field(pattern="^[A-Z]{2}$")] | None = None
    """ISO 3166 region in which numbers without country code are read; absent: the country of the SIM."""
    ttl: Annotated[float, Field(gt=0)] = 3 * 86400
    """Seconds after which a message that could not be submitted is expired, when the client does not say."""
    report: bool = True
    """Ask for a status report when the client does not say."""
    on_in_doubt: OnInDoubt = OnInDoubt.RESEND
    in_doubt_wait: Annotated[float, Field(ge=0)] = 30.0
    """Seconds that a status report is given to settle a doubt before the one automatic re-submission."""
    report_wait: Annotated[float, Field(gt=0)] = 7 * 86400
    """Seconds that a status report is waited for; then a message stays ``submitted`` for good, with ``no_report``."""
    incomplete_after: Annotated[float, Field(gt=0)] = 24 * 3600
    """Seconds after which a long text with missing parts is told as it is."""
    failover_after: Annotated[float, Field(gt=0)] = 120.0
    """Seconds that a SIM may be away before another one takes its unpinned, untouched messages."""

    @field_validator("allowed_destinations")
    @classmethod
    def _are_allowances(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            if not is_allowance(entry):
                raise ValueError(f'"{entry}" is none of: "home", "*", a prefix as "+43", a short code as "88444"')
        return entries


class DetectSettings(BaseModel):
    """How modems are found."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    udev: bool = True
    """Find USB modems by themselves. Ports under ``[[modems]]`` are left to their own entries."""


class ModemSettings(BaseModel):
    """A port that udev cannot know: a HAT's UART, a pty, ``socket://host:port``."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    port: Annotated[str, Field(min_length=1)]
    profile: str | None = None
    """A file name under ``appliance/modem/profiles`` without ``.toml``; absent: as the modem says itself."""
    board: str | None = None
    """The HAT that the modem is on: a file name under ``appliance/modem/power/boards`` without ``.toml``."""
    power: PowerSettings | None = None
    """Its GPIO lines, where no board is named or another line is wired."""

    @model_validator(mode="after")
    def _are_known(self) -> Self:
        names = [profile.name for profile in shipped()] if self.profile is not None else []
        if self.profile is not None and self.profile not in names:
            raise ValueError(f'profile: there is no "{self.profile}"; there are: {", ".join(names)}')
        if self.board is not None or self.power is not None:
            try:
                Layout.of(self.board, self.power)
            except SettingsError as error:
                raise ValueError(str(error)) from error
        return self


class CallSettings(BaseModel):
    """What is done about incoming calls."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    hang_up: bool = True
    """End them after they were told: on some modems no text goes or comes while it rings."""


class RecoverySettings(BaseModel):
    """How far the hub goes to have a modem back."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reboot_machine: bool = False
    """Start the machine anew when every modem has been dead for half an hour, at most twice a day."""


class SimSettings(BaseModel):
    """One SIM card, by its ICCID (or ``*`` for any)."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    pin: SecretStr | None = None

    @field_validator("pin")
    @classmethod
    def _is_pin(cls, pin: SecretStr | None) -> SecretStr | None:
        if pin is not None and not (
            pin.get_secret_value().isascii()
            and pin.get_secret_value().isdigit()
            and 4 <= len(pin.get_secret_value()) <= 8
        ):
            raise ValueError("a PIN is 4 to 8 digits, in quotes")
        return pin


def _are_contacts(named: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    Contacts(named)
    return named


ContactsSettings = Annotated[dict[str, str | list[str]], AfterValidator(_are_contacts)]
"""Names for numbers: ``anna = "+447700900123"``; a list is a group, and may hold other names."""
