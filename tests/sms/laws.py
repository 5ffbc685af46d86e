"""What must hold for any octets whatever; the fuzzer and the property tests hold it against theirs."""

from __future__ import annotations

from appliance.errors import SmsDecodeError, SmsEncodeError
from appliance.sms import (
    Encoding,
    SmsDeliver,
    SmsStatusReport,
    SmsSubmit,
    UserData,
    assemble,
    concatenation_key,
    decode_incoming,
    with_reject_duplicates,
)

Tpdu = SmsDeliver | SmsStatusReport | SmsSubmit


def incoming(octets: bytes) -> SmsDeliver | SmsStatusReport | None:
    """Octets from a service centre are a DELIVER or STATUS-REPORT, usable in every way, or an SmsDecodeError."""
    try:
        message = decode_incoming(octets)
    except SmsDecodeError as error:
        stands(error, octets)
        return None
    if isinstance(message, SmsDeliver):
        use_deliver(message)
    else:
        assert message.text
        assert message.outcome
        if message.user_data is not None:
            use_user_data(message.user_data)
    comes_back(message)
    return message


def outgoing(octets: bytes) -> SmsSubmit | None:
    """Octets to a service centre are a SUBMIT that can be used in every way, or an SmsDecodeError."""
    try:
        message = SmsSubmit.decode(octets)
    except SmsDecodeError as error:
        stands(error, octets)
        return None
    use_user_data(message.user_data)
    assert SmsSubmit.decode(with_reject_duplicates(octets)).reject_duplicates
    comes_back(message)
    return message


def stands(error: SmsDecodeError, octets: bytes) -> None:
    """An error names a field and a place in the octets, or just behind them."""
    assert error.field.startswith("TP-")
    assert 0 <= error.offset <= len(octets)
    assert error.detail


def use_deliver(message: SmsDeliver) -> None:
    use_user_data(message.user_data)
    assert (message.text is None) != (message.data is None)
    assert len(message.service_centre_timestamp_octets) == 7
    assert message.message_class in {None, 0, 1, 2, 3}
    assert message.replace_type in {None, *range(1, 8)}
    assert isinstance(message.is_silent, bool)
    assert message.ports is None or len(message.ports) == 2
    assert message.message_waiting is None or 0 <= message.message_waiting.kind <= 3
    name = str(message.originator)
    assert not set(name) & set("\r\n\x1a\x1b\x00\f"), "an address is one line"
    whole = assemble([message])
    assert (whole.text, whole.data) == (message.text, message.data)
    key = concatenation_key(message)
    assert (key is None) == (message.concatenation is None)
    if message.concatenation is not None:
        assert 1 <= message.concatenation.sequence <= message.concatenation.total
        assert len(whole.missing) == message.concatenation.total - 1


def use_user_data(user_data: UserData) -> None:
    if user_data.text is not None:
        user_data.text.encode()  # no lone surrogates
        assert user_data.encoding is Encoding.UCS2 or "\x1b" not in user_data.text


def comes_back(message: Tpdu) -> None:
    """What was read, written again and read again, says the same; and then the octets stand."""
    try:
        octets = message.encode()
    except SmsEncodeError:
        assert message.user_data is not None
        assert content_octets(message.user_data) > 140, "only too much user data cannot be written again"
        return
    again = type(message).decode(octets)
    assert essence(again) == essence(message)
    assert again.encode() == octets


def content_octets(user_data: UserData) -> int:
    header = sum(2 + len(element.content) for element in user_data.elements) + bool(user_data.elements)
    return header + len(user_data.content)


def essence(message: Tpdu) -> tuple[object, ...]:
    """All that a TPDU says, but for what is normalised in writing: truncation, and a validity's format."""
    user_data = message.user_data
    said: tuple[object, ...] = ()
    if user_data is not None:
        said = (user_data.encoding, user_data.content, user_data.elements)
    match message:
        case SmsDeliver():
            return (
                *said,
                message.originator,
                message.service_centre_timestamp_octets,
                message.protocol_identifier,
                message.data_coding_scheme,
                message.more_messages_to_send,
                message.reply_path,
                message.status_report_indication,
                message.loop_prevention,
            )
        case SmsStatusReport():
            return (
                *said,
                message.message_reference,
                message.recipient,
                message.service_centre_timestamp,
                message.discharge_time,
                message.status,
                message.protocol_identifier,
                message.data_coding_scheme,
                message.answers_command,
            )
        case SmsSubmit():
            return (
                *said,
                message.destination,
                message.message_class,
                message.status_report_request,
                message.reject_duplicates,
                message.reply_path,
                message.protocol_identifier,
                message.message_reference,
            )
