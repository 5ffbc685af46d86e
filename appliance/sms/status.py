"""TP-ST: what a status report says became of a message (3GPP 23.040 §9.2.3.15).

Promise: each of the 256 values has an outcome and words. Bits 6 and 5 are the outcome's group::

    00  0x00-0x1F  the service centre is done with it successfully
    01  0x20-0x3F  not yet; the service centre still tries
    10  0x40-0x5F  failed for good
    11  0x60-0x7F  failed for now, and the service centre no longer tries
    1xx 0x80-0xFF  reserved: read as "service rejected", as the standard tells

A value of the first group that the standard does not name (reserved, or the service centre's own) is told as
unconfirmed: done, but nothing says that a phone has it. In the other groups an unnamed value has its group's outcome,
so that a report which is not final is not taken for the last word.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ReportOutcome", "report_outcome", "report_text"]


class ReportOutcome(StrEnum):
    """What a status report means for the segment."""

    DELIVERED = "delivered"
    """The recipient's phone has it."""
    UNCONFIRMED = "unconfirmed"
    """The service centre passed it on and cannot say whether it arrived; final."""
    PENDING = "pending"
    """Not delivered yet; another report will follow."""
    FAILED = "failed"
    """It will not be delivered; final."""


_TEXT = {
    0x00: "received by the recipient",
    0x01: "forwarded; the service centre cannot confirm delivery",
    0x02: "replaced by the service centre",
    0x20: "congestion; the service centre still tries",
    0x21: "recipient busy; the service centre still tries",
    0x22: "no response from the recipient; the service centre still tries",
    0x23: "service rejected; the service centre still tries",
    0x24: "quality of service not available; the service centre still tries",
    0x25: "error in the recipient's equipment; the service centre still tries",
    0x40: "remote procedure error",
    0x41: "incompatible destination",
    0x42: "connection rejected by the recipient",
    0x43: "recipient not obtainable",
    0x44: "quality of service not available",
    0x45: "no interworking available",
    0x46: "validity period expired",
    0x47: "deleted by the sender",
    0x48: "deleted by the service centre's administration",
    0x49: "the service centre does not know the message",
    0x60: "congestion; the service centre gave up",
    0x61: "recipient busy; the service centre gave up",
    0x62: "no response from the recipient; the service centre gave up",
    0x63: "service rejected; the service centre gave up",
    0x64: "quality of service not available; the service centre gave up",
    0x65: "error in the recipient's equipment; the service centre gave up",
}

_GROUP = (
    (ReportOutcome.UNCONFIRMED, "completed"),
    (ReportOutcome.PENDING, "temporary error; the service centre still tries"),
    (ReportOutcome.FAILED, "permanent error"),
    (ReportOutcome.FAILED, "temporary error; the service centre gave up"),
)


def report_outcome(status: int) -> ReportOutcome:
    """The outcome of a TP-ST, 0 to 255."""
    if status in {0x00, 0x02}:
        return ReportOutcome.DELIVERED
    return ReportOutcome.FAILED if status >= 0x80 else _GROUP[status >> 5][0]


def report_text(status: int) -> str:
    """What a TP-ST says, in words."""
    if status in _TEXT:
        return _TEXT[status]
    if status >= 0x80:
        return f"service rejected (reserved status 0x{status:02X})"
    kind = "service centre's own" if status & 0x10 else "reserved"
    return f"{_GROUP[status >> 5][1]} ({kind} status 0x{status:02X})"
