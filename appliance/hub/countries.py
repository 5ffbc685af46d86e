"""Which country a SIM comes from: mobile country code (ITU-T E.212) → region and calling code.

Data only, by the first three digits of an IMSI: ISO 3166 region, E.164 calling code, mobile country codes in use.
901 (international networks) and unassigned codes are left out on purpose: such a SIM has no home. The calling codes
agree with phonenumberslite's (tests/hub/test_countries.py).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Country", "home_country"]


class Country(NamedTuple):
    """Where a SIM is at home."""

    region: str
    """ISO 3166, as ``GB``."""
    prefix: str
    """E.164 prefix, as ``+44``. The countries of the North American plan share ``+1``."""


_TABLE = """
GR+30:202 NL+31:204 BE+32:206 FR+33:208 MC+377:212 AD+376:213 ES+34:214 HU+36:216 BA+387:218 HR+385:219
RS+381:220 XK+383:221 IT+39:222 VA+39:225 RO+40:226 CH+41:228 CZ+420:230 SK+421:231 AT+43:232 GB+44:234,235
DK+45:238 SE+46:240 NO+47:242 FI+358:244 LT+370:246 LV+371:247 EE+372:248 RU+7:250 UA+380:255 BY+375:257
MD+373:259 PL+48:260 DE+49:262 GI+350:266 PT+351:268 LU+352:270 IE+353:272 IS+354:274 AL+355:276 MT+356:278
CY+357:280 GE+995:282,289 AM+374:283 BG+359:284 TR+90:286 FO+298:288 GL+299:290 SM+378:292 SI+386:293 MK+389:294
LI+423:295 ME+382:297 CA+1:302 PM+508:308 US+1:310,311,312,313,314,315,316 PR+1:330 VI+1:332 MX+52:334 JM+1:338
GP+590:340 BB+1:342 AG+1:344 KY+1:346 VG+1:348 BM+1:350 GD+1:352 MS+1:354 KN+1:356 LC+1:358 VC+1:360 CW+599:362
AW+297:363 BS+1:364 AI+1:365 DM+1:366 CU+53:368 DO+1:370 HT+509:372 TT+1:374 TC+1:376 AZ+994:400 KZ+7:401
BT+975:402 IN+91:404,405,406 PK+92:410 AF+93:412 LK+94:413 MM+95:414 LB+961:415 JO+962:416 SY+963:417 IQ+964:418
KW+965:419 SA+966:420 YE+967:421 OM+968:422 AE+971:424,430,431 IL+972:425 BH+973:426 QA+974:427 MN+976:428
NP+977:429 IR+98:432 UZ+998:434 TJ+992:436 KG+996:437 TM+993:438 JP+81:440,441 KR+82:450 VN+84:452 HK+852:454
MO+853:455 KH+855:456 LA+856:457 CN+86:460,461 TW+886:466 KP+850:467 BD+880:470 MV+960:472 MY+60:502 AU+61:505
ID+62:510 TL+670:514 PH+63:515 TH+66:520 SG+65:525 BN+673:528 NZ+64:530 NR+674:536 PG+675:537 TO+676:539
SB+677:540 VU+678:541 FJ+679:542 WF+681:543 AS+1:544 KI+686:545 NC+687:546 PF+689:547 CK+682:548 WS+685:549
FM+691:550 MH+692:551 PW+680:552 TV+688:553 TK+690:554 NU+683:555 EG+20:602 DZ+213:603 MA+212:604 TN+216:605
LY+218:606 GM+220:607 SN+221:608 MR+222:609 ML+223:610 GN+224:611 CI+225:612 BF+226:613 NE+227:614 TG+228:615
BJ+229:616 MU+230:617 LR+231:618 SL+232:619 GH+233:620 NG+234:621 TD+235:622 CF+236:623 CM+237:624 CV+238:625
ST+239:626 GQ+240:627 GA+241:628 CG+242:629 CD+243:630 AO+244:631 GW+245:632 SC+248:633 SD+249:634 RW+250:635
ET+251:636 SO+252:637 DJ+253:638 KE+254:639 TZ+255:640 UG+256:641 BI+257:642 MZ+258:643 ZM+260:645 MG+261:646
RE+262:647 ZW+263:648 NA+264:649 MW+265:650 LS+266:651 BW+267:652 SZ+268:653 KM+269:654 ZA+27:655 ER+291:657
SH+290:658 SS+211:659 BZ+501:702 GT+502:704 SV+503:706 HN+504:708 NI+505:710 CR+506:712 PA+507:714 PE+51:716
AR+54:722 BR+55:724 CL+56:730 CO+57:732 VE+58:734 BO+591:736 GY+592:738 EC+593:740 GF+594:742 PY+595:744
SR+597:746 UY+598:748 FK+500:750
"""


def _read(table: str) -> dict[str, Country]:
    countries = {}
    for entry in table.split():
        country, codes = entry.split(":")
        region, calling_code = country.split("+")
        countries.update(dict.fromkeys(codes.split(","), Country(region, f"+{calling_code}")))
    return countries


_BY_MCC = _read(_TABLE)


def home_country(imsi: str) -> Country | None:
    """The country whose operators issue SIMs with this IMSI; None for international and unknown codes."""
    return _BY_MCC.get(imsi[:3])
