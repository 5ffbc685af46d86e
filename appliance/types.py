"""The words that every room shares: identities, states, reasons. No behaviour beyond reading them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

__all__ = [
    "Iccid",
    "Imei",
    "Imsi",
    "MessageId",
    "ModemState",
    "OnInDoubt",
    "Reason",
    "Registration",
    "RetryClass",
    "SegmentState",
]

Imei = NewType("Imei", str)
"""A modem: 15 digits (3GPP 23.003 §6)."""

Imsi = NewType("Imsi", str)
"""A subscription: MCC, MNC, MSIN, at most 15 digits (3GPP 23.003 §2)."""

Iccid = NewType("Iccid", str)
"""A SIM card: 18 to 20 digits (ITU-T E.118)."""

MessageId = NewType("MessageId", str)
"""A message of ours, outbound ``out_…`` or received ``in_…``; opaque, stable for ever."""


class SegmentState(StrEnum):
    """Where one segment of an outbound message stands; a message's state is one of the same words."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    IN_DOUBT = "in_doubt"


class RetryClass(StrEnum):
    """What an error means for the segment that met it."""

    PERMANENT = "permanent"
    """This message will never go: fail it."""
    RETRY_NOW = "retry_now"
    """Try again after seconds."""
    RETRY_LATER = "retry_later"
    """Try again after minutes, backing off."""
    MODEM = "modem"
    """Not the message's fault: the modem or SIM needs care first. Not counted as an attempt."""
    IN_DOUBT = "in_doubt"
    """Nobody can know whether it was sent."""
    ACCEPTED = "accepted"
    """The service centre already holds it (TP-FCS 0xC5, duplicate rejected)."""


class OnInDoubt(StrEnum):
    """What is done with a segment whose fate nobody can know (promise S3)."""

    HOLD = "hold"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something ended or waits: a stable code, what it means for retrying, and words for a person."""

    code: str
    """``cms_38``, ``cme_10``, ``error``, ``no_prompt``, ``timeout``, ``port_gone``, ``tp_status_70``…"""
    retry: RetryClass
    text: str


class Registration(IntEnum):
    """<stat> of +CREG, +CGREG and +CEREG (3GPP 27.007 §7.2, §10.1.20, §10.1.22)."""

    NOT_REGISTERED = 0
    HOME = 1
    SEARCHING = 2
    DENIED = 3
    UNKNOWN = 4
    ROAMING = 5
    SMS_ONLY_HOME = 6
    SMS_ONLY_ROAMING = 7
    EMERGENCY_ONLY = 8
    HOME_NO_CSFB = 9
    ROAMING_NO_CSFB = 10
    RLOS = 11

    @property
    def can_send(self) -> bool:
        """Whether short messages can be submitted in this state."""
        return self in _CAN_SEND


_CAN_SEND = frozenset(
    {
        Registration.HOME,
        Registration.ROAMING,
        Registration.SMS_ONLY_HOME,
        Registration.SMS_ONLY_ROAMING,
        Registration.HOME_NO_CSFB,
        Registration.ROAMING_NO_CSFB,
    }
)


class ModemState(StrEnum):
    """What a modem is doing, as told on ``modemhub/modem/<imei>/state``."""

    OPENING = "opening"
    BRINGING_UP = "bringing_up"
    SIM_MISSING = "sim_missing"
    PIN_REQUIRED = "pin_required"
    PUK_REQUIRED = "puk_required"
    SEARCHING = "searching"
    READY = "ready"
    RECOVERING = "recovering"
    NEEDS_HANDS = "needs_hands"
    GONE = "gone"

    @property
    def heard(self) -> bool:
        """Whether the modem has said who it is; else it is taken for the one that was there last."""
        return self not in _UNHEARD


_UNHEARD = frozenset({ModemState.OPENING, ModemState.RECOVERING, ModemState.NEEDS_HANDS, ModemState.GONE})
