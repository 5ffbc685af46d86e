"""TPDUs that made other programs crash or lie, by where they come from; without service centre address."""

from __future__ import annotations

HOSTILE = {
    "ModemManager 3d9497ff: header announced, no user data": "F101010C0000000000",
    "ModemManager dbafff23: fewer septets than the header covers": "4100010100014B00002E",
    "ModemManager 60ef408c: originator past the end": "1C011C",
    "ModemManager bc2aeeb7: recipient past the end": "0ABF00",
    "oFono CVE-2023-2794: TP-UDL beyond the end, 8-bit": "0405812143F5000442209232958500FF41",
    "oFono CVE-2023-2794: TP-UDL beyond the end, 7-bit": "0405812143F5000042209232958500FF41",
    "oFono CVE-2023-4232: user data of a status report beyond the end": (
        "060105812143F5422092329585004220923295850000070004FF41"
    ),
    "oFono CVE-2023-4233: an address of 255 digits": "04FF91" + "21" * 128 + "0000" + "42209232958500" + "00",
    "gnokii: TP-PI above 7, 0xCB": "060105812143F5422092329585004220923295850000CB",
    "gnokii: TP-PI above 7, 0xE7": "060105812143F5422092329585004220923295850000E7",
    "gnokii: TP-PI above 7, 0x9F": "060105812143F54220923295850042209232958500009F",
    "gnokii: TP-PI above 7, 0xDD": "060105812143F5422092329585004220923295850000DD",
    "chan_dongle e700abc: empty UCS-2": "0405812143F500084220923295850000",
    "Osmocom: a header with nothing behind it": "4405812143F500044220923295850006050003010201",
    "Osmocom: user data shorter than its header": "4405812143F500044220923295850003050003010201",
    "CVE-2013-7100: odd UCS-2": "0405812143F500084220923295850003004100",
    "lone high surrogate": "0405812143F500084220923295850004D83D0041",
    "lone low surrogate": "0405812143F5000842209232958500040041DE00",
    "concatenation: sequence 0": "4405812143F50004422092329585000705000301020041",
    "concatenation: sequence above total": "4405812143F50004422092329585000705000301020341",
    "concatenation: total 0": "4405812143F50004422092329585000705000301000141",
    "an element longer than the header": "4405812143F5000442209232958500070500FF01020141",
    "a header of 255 octets": "4405812143F500044220923295850007FF000301020141",
    "name with carriage return, line feed and form feed": "040BD0C18662A3100200004220923295850000",
}
