"""The TPDUs: what is given to a service centre and what comes from one (3GPP 23.040 §9.2.2).

Promise: ``decode_incoming`` takes any octets and gives an SMS-DELIVER, an SMS-STATUS-REPORT or an ``SmsDecodeError``
with field and offset; nothing else ever leaves it. ``SmsSubmit.encode`` gives a TPDU without service centre address, as
AT+CMGS counts it.

It does not carry the service centre address (that is the modem's envelope) and does not read what only a service centre
or only a modem gets: SMS-COMMAND, the reports to a DELIVER or SUBMIT.

The first octet::

    bits 1-0  TP-MTI    00 DELIVER, 01 SUBMIT, 10 STATUS-REPORT (as the direction has it)
    bit  2    TP-RD     SUBMIT: reject duplicates         TP-MMS  others: 0 = more messages wait
    bits 4-3  TP-VPF    SUBMIT: validity period format    TP-LP   others, bit 3: loop prevention
    bit  5    TP-SRR    SUBMIT: wants a status report     TP-SRI  DELIVER; TP-SRQ: answers an SMS-COMMAND
    bit  6    TP-UDHI   the user data begins with a header
    bit  7    TP-RP     a reply path exists

Read leniently: TP-MTI 11 counts as DELIVER (§9.2.3.1); a time stamp that is no date is None, and its octets are kept; a
DELIVER that ends before or within its user data has what is there; a STATUS-REPORT needs nothing behind TP-ST, and a
broken optional part is dropped (``truncated``); reserved bits of TP-PI are passed over.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms.address import Address
from appliance.sms.scheme import DEFAULT_SCHEME, DataCodingScheme, Encoding
from appliance.sms.status import ReportOutcome, report_outcome, report_text
from appliance.sms.timestamp import (
    TIMESTAMP_OCTETS,
    decode_relative,
    decode_timestamp,
    encode_relative,
    encode_timestamp,
)
from appliance.sms.user_data import UserData

if TYPE_CHECKING:
    from appliance.sms.header import Concatenation
    from appliance.sms.scheme import MessageWaiting

__all__ = ["SmsDeliver", "SmsStatusReport", "SmsSubmit", "decode_incoming", "with_reject_duplicates"]

_MTI = 0x03
_DELIVER = 0x00
_SUBMIT = 0x01
_STATUS_REPORT = 0x02
_RESERVED_MTI = 0x03
_REJECT_DUPLICATES = 0x04
_NO_MORE_MESSAGES = 0x04
_LOOP_PREVENTION = 0x08
_VPF = 0x18
_VPF_NONE = 0x00
_VPF_RELATIVE = 0x10
_VPF_ABSOLUTE = 0x18
_STATUS_REPORT_BIT = 0x20
_UDHI = 0x40
_REPLY_PATH = 0x80
_PI_EXTENSION = 0x80

_PID_TYPE_0 = 0x40
_PID_REPLACE = range(0x41, 0x48)


def _octet(tpdu: bytes, offset: int, field: str) -> int:
    if len(tpdu) <= offset:
        raise SmsDecodeError(field, len(tpdu), "the TPDU ends before this octet")
    return tpdu[offset]


def _octets(tpdu: bytes, offset: int, count: int, field: str) -> bytes:
    if len(tpdu) < offset + count:
        raise SmsDecodeError(field, len(tpdu), f"the TPDU ends within these {count} octets")
    return tpdu[offset : offset + count]


def _user_data(tpdu: bytes, offset: int, scheme: DataCodingScheme, first: int) -> UserData:
    return UserData.decode(tpdu, offset, encoding=scheme.encoding, has_header=bool(first & _UDHI))


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsDeliver:
    """A message from a service centre to us, or one segment of it (§9.2.2.1).

    Attributes:
        originator: TP-OA.
        user_data: TP-UD with its header.
        service_centre_timestamp: TP-SCTS with the service centre's own offset; None where its octets are no date.
        service_centre_timestamp_octets: TP-SCTS as it came: 7 octets.
        protocol_identifier: TP-PID.
        data_coding_scheme: TP-DCS.
        more_messages_to_send: TP-MMS, the right way round: more messages wait in the service centre.
        loop_prevention: TP-LP.
        reply_path: TP-RP.
        status_report_indication: TP-SRI: the sender wants a status report.
    """

    originator: Address
    user_data: UserData
    service_centre_timestamp: datetime | None
    service_centre_timestamp_octets: bytes
    protocol_identifier: int = 0
    data_coding_scheme: DataCodingScheme = DEFAULT_SCHEME
    more_messages_to_send: bool = False
    loop_prevention: bool = False
    reply_path: bool = False
    status_report_indication: bool = False

    @property
    def encoding(self) -> Encoding:
        """GSM7, UCS2 or DATA."""
        return self.user_data.encoding

    @property
    def text(self) -> str | None:
        """The text of this one segment; ``assemble`` joins several. None for 8-bit data."""
        return self.user_data.text

    @property
    def data(self) -> bytes | None:
        """The octets of 8-bit data; None for text."""
        return self.user_data.data

    @property
    def truncated(self) -> bool:
        """Whether the TPDU ended before its user data did."""
        return self.user_data.truncated

    @property
    def concatenation(self) -> Concatenation | None:
        """The place of this segment in a message of several; None: it stands alone."""
        return self.user_data.concatenation

    @property
    def ports(self) -> tuple[int, int] | None:
        """Application ports, destination and source; None: a message for people."""
        ports = self.user_data.ports
        return None if ports is None else (ports.destination, ports.source)

    @property
    def message_class(self) -> int | None:
        """0 flash, 1 phone, 2 SIM, 3 terminal, None."""
        return self.data_coding_scheme.message_class

    @property
    def message_waiting(self) -> MessageWaiting | None:
        """An indication that messages wait elsewhere; the header's goes before TP-DCS's (§9.2.3.24.2)."""
        return self.user_data.message_waiting or self.data_coding_scheme.message_waiting

    @property
    def replace_type(self) -> int | None:
        """1 to 7: this message replaces the one with the same type and originator (§9.2.3.9)."""
        return self.protocol_identifier - _PID_TYPE_0 if self.protocol_identifier in _PID_REPLACE else None

    @property
    def is_silent(self) -> bool:
        """Whether this is a short message of type 0: to be acknowledged and not shown (§9.2.3.9)."""
        return self.protocol_identifier == _PID_TYPE_0

    def encode(self) -> bytes:
        """The TPDU as a service centre would send it.

        Raises:
            SmsEncodeError: address or user data do not fit.
        """
        first = (
            _DELIVER
            | (0 if self.more_messages_to_send else _NO_MORE_MESSAGES)
            | (_LOOP_PREVENTION if self.loop_prevention else 0)
            | (_STATUS_REPORT_BIT if self.status_report_indication else 0)
            | (_UDHI if self.user_data.elements else 0)
            | (_REPLY_PATH if self.reply_path else 0)
        )
        return b"".join(
            (
                bytes((first,)),
                self.originator.encode(),
                bytes((self.protocol_identifier, self.data_coding_scheme.value)),
                self.service_centre_timestamp_octets,
                self.user_data.encode(),
            )
        )

    @classmethod
    def decode(cls, tpdu: bytes) -> SmsDeliver:
        """This TPDU, whatever its TP-MTI is.

        Raises:
            SmsDecodeError: originator, TP-PID, TP-DCS, TP-SCTS or the user data's header are not wholly there.
        """
        first = _octet(tpdu, 0, "TP-MTI")
        originator, place = Address.decode(tpdu, 1, field="TP-OA")
        protocol_identifier = _octet(tpdu, place, "TP-PID")
        scheme = DataCodingScheme(_octet(tpdu, place + 1, "TP-DCS"))
        timestamp = _octets(tpdu, place + 2, TIMESTAMP_OCTETS, "TP-SCTS")
        return cls(
            originator=originator,
            user_data=_user_data(tpdu, place + 2 + TIMESTAMP_OCTETS, scheme, first),
            service_centre_timestamp=decode_timestamp(timestamp),
            service_centre_timestamp_octets=timestamp,
            protocol_identifier=protocol_identifier,
            data_coding_scheme=scheme,
            more_messages_to_send=not first & _NO_MORE_MESSAGES,
            loop_prevention=bool(first & _LOOP_PREVENTION),
            reply_path=bool(first & _REPLY_PATH),
            status_report_indication=bool(first & _STATUS_REPORT_BIT),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsStatusReport:
    """What a service centre says became of a message of ours, or of one segment of it (§9.2.2.3).

    Attributes:
        message_reference: TP-MR of the SUBMIT that this is about.
        recipient: TP-RA.
        service_centre_timestamp: TP-SCTS: when the service centre got the SUBMIT; None where its octets are no date.
        discharge_time: TP-DT: when it was delivered or last tried; None where its octets are no date.
        status: TP-ST, 0 to 255.
        more_messages_to_send: TP-MMS, the right way round.
        loop_prevention: TP-LP.
        answers_command: TP-SRQ: the report answers an SMS-COMMAND, not a SUBMIT.
        protocol_identifier: TP-PID, where it is there.
        data_coding_scheme: TP-DCS, where it is there.
        user_data: TP-UD, where it is there.
        truncated: an optional part was announced by TP-PI and is not wholly there.
    """

    message_reference: int
    recipient: Address
    service_centre_timestamp: datetime | None
    discharge_time: datetime | None
    status: int
    service_centre_timestamp_octets: bytes
    discharge_time_octets: bytes
    more_messages_to_send: bool = False
    loop_prevention: bool = False
    answers_command: bool = False
    protocol_identifier: int | None = None
    data_coding_scheme: DataCodingScheme | None = None
    user_data: UserData | None = None
    truncated: bool = False

    @property
    def outcome(self) -> ReportOutcome:
        """Delivered, unconfirmed, pending or failed."""
        return report_outcome(self.status)

    @property
    def text(self) -> str:
        """What TP-ST says, in words."""
        return report_text(self.status)

    def encode(self) -> bytes:
        """The TPDU as a service centre would send it.

        Raises:
            SmsEncodeError: address or user data do not fit.
        """
        has_header = self.user_data is not None and bool(self.user_data.elements)
        first = (
            _STATUS_REPORT
            | (0 if self.more_messages_to_send else _NO_MORE_MESSAGES)
            | (_LOOP_PREVENTION if self.loop_prevention else 0)
            | (_STATUS_REPORT_BIT if self.answers_command else 0)
            | (_UDHI if has_header else 0)
        )
        optional = b""
        if self.protocol_identifier is not None:
            optional += bytes((self.protocol_identifier,))
        if self.data_coding_scheme is not None:
            optional += bytes((self.data_coding_scheme.value,))
        if self.user_data is not None:
            optional += self.user_data.encode()
        indicator = (
            (self.protocol_identifier is not None)
            | (self.data_coding_scheme is not None) << 1
            | (self.user_data is not None) << 2
        )
        return b"".join(
            (
                bytes((first, self.message_reference)),
                self.recipient.encode(),
                self.service_centre_timestamp_octets,
                self.discharge_time_octets,
                bytes((self.status,)),
                bytes((indicator,)) + optional if indicator else b"",
            )
        )

    @classmethod
    def decode(cls, tpdu: bytes) -> SmsStatusReport:
        """This TPDU, whatever its TP-MTI is.

        Raises:
            SmsDecodeError: something up to and with TP-ST is not wholly there.
        """
        first = _octet(tpdu, 0, "TP-MTI")
        reference = _octet(tpdu, 1, "TP-MR")
        recipient, place = Address.decode(tpdu, 2, field="TP-RA")
        timestamp = _octets(tpdu, place, TIMESTAMP_OCTETS, "TP-SCTS")
        discharge = _octets(tpdu, place + TIMESTAMP_OCTETS, TIMESTAMP_OCTETS, "TP-DT")
        place += 2 * TIMESTAMP_OCTETS
        status = _octet(tpdu, place, "TP-ST")
        protocol_identifier, scheme, user_data, truncated = _optional(tpdu, place + 1, first)
        return cls(
            message_reference=reference,
            recipient=recipient,
            service_centre_timestamp=decode_timestamp(timestamp),
            discharge_time=decode_timestamp(discharge),
            status=status,
            service_centre_timestamp_octets=timestamp,
            discharge_time_octets=discharge,
            more_messages_to_send=not first & _NO_MORE_MESSAGES,
            loop_prevention=bool(first & _LOOP_PREVENTION),
            answers_command=bool(first & _STATUS_REPORT_BIT),
            protocol_identifier=protocol_identifier,
            data_coding_scheme=scheme,
            user_data=user_data,
            truncated=truncated,
        )


def _optional(tpdu: bytes, place: int, first: int) -> tuple[int | None, DataCodingScheme | None, UserData | None, bool]:
    """TP-PID, TP-DCS, TP-UD behind a TP-PI at this octet, and whether one of them is missing or broken (§9.2.3.27)."""
    protocol_identifier = scheme = user_data = None
    if len(tpdu) <= place:
        return None, None, None, False
    indicator = tpdu[place]
    try:
        extension = indicator
        while extension & _PI_EXTENSION:
            place += 1
            extension = _octet(tpdu, place, "TP-PI")
        if indicator & 1:
            place += 1
            protocol_identifier = _octet(tpdu, place, "TP-PID")
        if indicator & 2:
            place += 1
            scheme = DataCodingScheme(_octet(tpdu, place, "TP-DCS"))
        if indicator & 4:
            # Without TP-DCS the default alphabet is meant (§9.2.3.27).
            user_data = _user_data(tpdu, place + 1, scheme or DEFAULT_SCHEME, first)
    except SmsDecodeError:
        return protocol_identifier, scheme, None, True
    return protocol_identifier, scheme, user_data, user_data is not None and user_data.truncated


@dataclass(frozen=True, slots=True)
class SmsSubmit:
    """A message from us to a service centre, or one segment of it (§9.2.2.2).

    Attributes:
        destination: TP-DA.
        user_data: TP-UD with its header; ``segment`` makes it.
        message_class: 0 flash, 1 to 3, or None.
        status_report_request: TP-SRR.
        validity: TP-VP: a period (written in steps of 5 minutes to a week, rounded up, at most 63 weeks), an aware
            moment, or None: the service centre's own period.
        reject_duplicates: TP-RD: the service centre drops it when it still holds one with the same TP-MR and
            destination.
        reply_path: TP-RP.
        protocol_identifier: TP-PID.
        message_reference: TP-MR; a modem puts its own in.
    """

    destination: Address
    user_data: UserData
    _: KW_ONLY
    message_class: int | None = None
    status_report_request: bool = False
    validity: timedelta | datetime | None = None
    reject_duplicates: bool = False
    reply_path: bool = False
    protocol_identifier: int = 0
    message_reference: int = 0

    def encode(self) -> bytes:
        """The TPDU, without service centre address.

        Raises:
            SmsEncodeError: address or user data do not fit, or an option is out of its range.
        """
        if self.message_class not in {None, 0, 1, 2, 3}:
            raise SmsEncodeError(f"message class {self.message_class}; there are 0 to 3")
        if not (0 <= self.protocol_identifier <= 0xFF and 0 <= self.message_reference <= 0xFF):
            raise SmsEncodeError("TP-PID and TP-MR are 0 to 255")
        match self.validity:
            case None:
                format_, period = _VPF_NONE, b""
            case timedelta():
                format_, period = _VPF_RELATIVE, bytes((encode_relative(self.validity),))
            case _:
                format_, period = _VPF_ABSOLUTE, encode_timestamp(self.validity)
        first = (
            _SUBMIT
            | format_
            | (_REJECT_DUPLICATES if self.reject_duplicates else 0)
            | (_STATUS_REPORT_BIT if self.status_report_request else 0)
            | (_UDHI if self.user_data.elements else 0)
            | (_REPLY_PATH if self.reply_path else 0)
        )
        scheme = DataCodingScheme.of(self.user_data.encoding, self.message_class)
        return b"".join(
            (
                bytes((first, self.message_reference)),
                self.destination.encode(),
                bytes((self.protocol_identifier, scheme.value)),
                period,
                self.user_data.encode(),
            )
        )

    @classmethod
    def decode(cls, tpdu: bytes) -> SmsSubmit:
        """A SUBMIT as we or another sender wrote it.

        A validity period in the enhanced format is read where it is a period. A TP-DCS outside the general group is
        read for its alphabet and class, which is all that ``encode`` writes.

        Raises:
            SmsDecodeError: another TP-MTI, or a field up to the user data's header is not wholly there.
        """
        first = _octet(tpdu, 0, "TP-MTI")
        if first & _MTI != _SUBMIT:
            raise SmsDecodeError("TP-MTI", 0, "not an SMS-SUBMIT")
        reference = _octet(tpdu, 1, "TP-MR")
        destination, place = Address.decode(tpdu, 2, field="TP-DA")
        protocol_identifier = _octet(tpdu, place, "TP-PID")
        scheme = DataCodingScheme(_octet(tpdu, place + 1, "TP-DCS"))
        validity, place = _validity(tpdu, place + 2, first & _VPF)
        return cls(
            destination=destination,
            user_data=_user_data(tpdu, place, scheme, first),
            message_class=scheme.message_class,
            status_report_request=bool(first & _STATUS_REPORT_BIT),
            validity=validity,
            reject_duplicates=bool(first & _REJECT_DUPLICATES),
            reply_path=bool(first & _REPLY_PATH),
            protocol_identifier=protocol_identifier,
            message_reference=reference,
        )


def _validity(tpdu: bytes, place: int, format_: int) -> tuple[timedelta | datetime | None, int]:
    """TP-VP in this TP-VPF, and the offset behind it (§9.2.3.12)."""
    if format_ == _VPF_NONE:
        return None, place
    if format_ == _VPF_RELATIVE:
        return decode_relative(_octet(tpdu, place, "TP-VP")), place + 1
    octets = _octets(tpdu, place, TIMESTAMP_OCTETS, "TP-VP")
    if format_ == _VPF_ABSOLUTE:
        return decode_timestamp(octets), place + TIMESTAMP_OCTETS
    return _enhanced_validity(octets), place + TIMESTAMP_OCTETS


def _enhanced_validity(octets: bytes) -> timedelta | None:
    """The enhanced format (§9.2.3.12.3): relative as always, in seconds, or as hh mm ss."""
    match octets[0]:
        case 1:
            return decode_relative(octets[1])
        case 2:
            return timedelta(seconds=octets[1])
        case 3:
            hours, minutes, seconds = ((octet & 0xF) * 10 + (octet >> 4) for octet in octets[1:4])
            return timedelta(hours=hours, minutes=minutes, seconds=seconds)
        case _:
            return None


def with_reject_duplicates(tpdu: bytes) -> bytes:
    """The same SUBMIT with TP-RD set.

    Raises:
        SmsDecodeError: not an SMS-SUBMIT.
    """
    if _octet(tpdu, 0, "TP-MTI") & _MTI != _SUBMIT:
        raise SmsDecodeError("TP-MTI", 0, "not an SMS-SUBMIT")
    return bytes((tpdu[0] | _REJECT_DUPLICATES,)) + tpdu[1:]


def decode_incoming(tpdu: bytes) -> SmsDeliver | SmsStatusReport:
    """What a service centre sent: by TP-MTI, read in the direction from it to us.

    Raises:
        SmsDecodeError: these octets are no such TPDU. Nothing else is ever raised.
    """
    match _octet(tpdu, 0, "TP-MTI") & _MTI:
        case 0x00 | 0x03:  # _DELIVER, _RESERVED_MTI
            return SmsDeliver.decode(tpdu)
        case 0x02:
            return SmsStatusReport.decode(tpdu)
        case _:
            raise SmsDecodeError("TP-MTI", 0, "an SMS-SUBMIT-REPORT; only a modem gets one")
