"""The exception tree of modemhub.

::

    ModemhubError
    ├── SettingsError            the settings are wrong; says which key, where, and what to write instead
    ├── SmsError
    │   ├── SmsEncodeError       this text, address or option cannot be put into a TPDU
    │   └── SmsDecodeError       these octets are not a TPDU (field, offset)
    ├── ModemError
    │   ├── PortGone             the tty hung up or disappeared
    │   │   └── PortFailed       it is there, and the kernel cannot open it
    │   ├── AnswerTimeout        a command got no final result in its time
    │   ├── CommandFailed        ERROR, +CME ERROR or +CMS ERROR to a command that is not a submit
    │   ├── PowerFailed          a line, a USB device or a supply could not be switched
    │   ├── SubmitRefused        a submit ended without the message having left (reason)
    │   └── SubmitInDoubt        the PDU was handed over and no result is known (reason)
    ├── StoreError
    │   ├── StoreFull            the disk is full; nothing of the transaction was kept
    │   └── StoreCorrupt         quick_check failed or the file is not a database of ours
    ├── Rejected                 a client's command is refused (code, detail, pointer)
    │   └── RefusedByHub         the same as a client of the HTTP door hears it (status)
    └── HubUnreachable           no hub answers there, or it is not the one that is trusted
        └── HubBrokeOff          the connection ended before the answer: what was asked for may have been done

Retry is decided by these types and by ``Reason.retry``, never by a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.types import Reason

__all__ = [
    "AnswerTimeout",
    "CommandFailed",
    "HubBrokeOff",
    "HubUnreachable",
    "ModemError",
    "ModemhubError",
    "PortFailed",
    "PortGone",
    "PowerFailed",
    "RefusedByHub",
    "Rejected",
    "SettingsError",
    "SmsDecodeError",
    "SmsEncodeError",
    "SmsError",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "SubmitInDoubt",
    "SubmitRefused",
]


class ModemhubError(Exception):
    """Everything that modemhub raises on purpose."""


class SettingsError(ModemhubError):
    """The settings are wrong; the text lists every error, one a line."""


class SmsError(ModemhubError):
    """A short message cannot be encoded or decoded."""


class SmsEncodeError(SmsError):
    """This text, address or option cannot be put into a TPDU."""


class SmsDecodeError(SmsError):
    """These octets are not a TPDU.

    Attributes:
        field: the field's name in the standard, as ``TP-UDL``.
        offset: the octet's index in the TPDU, from 0, where decoding stopped.
        detail: what was found there.
    """

    def __init__(self, field: str, offset: int, detail: str) -> None:
        super().__init__(f"{field} at octet {offset}: {detail}")
        self.field = field
        self.offset = offset
        self.detail = detail


class ModemError(ModemhubError):
    """A modem did not do what it was asked to."""


class PortGone(ModemError):
    """The tty hung up or disappeared; the session with the modem has ended."""


class PortFailed(PortGone):
    """The tty is there, and the kernel cannot open it: the modem behind it, or its bus, hangs."""


class AnswerTimeout(ModemError):
    """A command got no final result in its time; the dialogue is desynchronised."""


class CommandFailed(ModemError):
    """A modem answered a command with ERROR, +CME ERROR or +CMS ERROR."""

    def __init__(self, command: str, reason: Reason) -> None:
        super().__init__(f"{command}: {reason.text} ({reason.code})")
        self.command = command
        self.reason = reason


class PowerFailed(ModemError):
    """A power or reset line, a USB device or a supply could not be switched; the text says why and what to do."""


class SubmitRefused(ModemError):
    """A submit ended without the message having left; ``reason.retry`` says what to do with it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.text} ({reason.code})")
        self.reason = reason


class SubmitInDoubt(ModemError):
    """The PDU was handed to the modem and no result is known: it may have been sent."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.text} ({reason.code})")
        self.reason = reason


class StoreError(ModemhubError):
    """The journal could not do what it was asked to; nothing of the transaction was kept."""


class StoreFull(StoreError):
    """The disk is full; nothing of the transaction was kept."""


class StoreCorrupt(StoreError):
    """quick_check failed, or the file is not a database of modemhub."""


class Rejected(ModemhubError):
    """A client's command is refused.

    Attributes:
        code: stable and machine-readable, as ``destination_not_allowed``.
        detail: what is wrong and what to do, for a person.
        pointer: JSON pointer to the field at fault (RFC 6901), or None.
        retry_after: seconds until it is worth asking again, or None.
    """

    def __init__(self, code: str, detail: str, *, pointer: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.retry_after = retry_after


class RefusedByHub(Rejected):
    """The hub has refused what its client asked for; ``status`` is that of HTTP, 400 to 599."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, detail, pointer=pointer, retry_after=retry_after)
        self.status = status


class HubUnreachable(ModemhubError):
    """No hub answers at this address, or its certificate is not the one that is trusted; nothing was asked of it."""


class HubBrokeOff(HubUnreachable):
    """The connection ended before the answer was complete: what was asked for may have been done."""
