"""Short messages: 3GPP 23.040 TPDUs and 23.038 alphabets, and nothing else. Pure: no clock, no log, no I/O.

The map of this room, from the bits up::

    alphabet         7-bit alphabets with the national tables; septets ↔ octets
    address          TP-OA, TP-DA, TP-RA
    scheme           TP-DCS, and what message waiting indications say
    timestamp        TP-SCTS, TP-DT, TP-VP
    status           TP-ST: outcome and words
    header           information elements of the user data header
    user_data        TP-UDHI, TP-UDL, TP-UD: one segment's content
    tpdu             SmsDeliver, SmsSubmit, SmsStatusReport; decode_incoming
    cluster          grapheme clusters: where a text may be cut
    transliteration  into the default alphabet, each loss stated
    segmentation     text → user data of its segments
    assembly         segments → text
    ussd             strings of USSD, which share the alphabets

Out: ``segment(text, reference=…)`` → one ``SmsSubmit(destination, part).encode()`` for each part. In:
``decode_incoming(tpdu)``, then ``concatenation_key`` and ``assemble``. Going in, only ``SmsEncodeError`` is raised;
coming out, only ``SmsDecodeError``.
"""

from appliance.sms.address import Address, TypeOfNumber
from appliance.sms.alphabet import Language
from appliance.sms.assembly import Assembled, ConcatenationKey, assemble, concatenation_key
from appliance.sms.header import Concatenation, InformationElement, Ports
from appliance.sms.scheme import DataCodingScheme, Encoding, MessageWaiting, WaitingKind
from appliance.sms.segmentation import MAX_SEGMENTS, Segmentation, segment
from appliance.sms.status import ReportOutcome, report_outcome, report_text
from appliance.sms.tpdu import SmsDeliver, SmsStatusReport, SmsSubmit, decode_incoming, with_reject_duplicates
from appliance.sms.transliteration import Substitution, transliterate
from appliance.sms.user_data import UserData
from appliance.sms.ussd import decode_ussd, encode_ussd

__all__ = [
    "MAX_SEGMENTS",
    "Address",
    "Assembled",
    "Concatenation",
    "ConcatenationKey",
    "DataCodingScheme",
    "Encoding",
    "InformationElement",
    "Language",
    "MessageWaiting",
    "Ports",
    "ReportOutcome",
    "Segmentation",
    "SmsDeliver",
    "SmsStatusReport",
    "SmsSubmit",
    "Substitution",
    "TypeOfNumber",
    "UserData",
    "WaitingKind",
    "assemble",
    "concatenation_key",
    "decode_incoming",
    "decode_ussd",
    "encode_ussd",
    "report_outcome",
    "report_text",
    "segment",
    "transliterate",
    "with_reject_duplicates",
]
