"""Cutting: what holds for every text, and the numbers of the standard."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import SmsEncodeError
from appliance.sms import Address, Encoding, Segmentation, SmsSubmit, segment
from appliance.sms.alphabet import LOCKING, SINGLE_SHIFT, alphabet
from appliance.sms.cluster import boundaries
from tests.sms.strategies import CLUSTERS, any_text, gsm_text, national_text

LAW = settings.get_profile("sms")
SOMEBODY = Address.parse("+447700900123")


def joined(plan: Segmentation) -> str:
    return "".join(part.text or "" for part in plan.parts)


def cuts(plan: Segmentation) -> list[int]:
    """Where segments begin and end in the text, in code points."""
    return [0, *accumulate(len(part.text or "") for part in plan.parts)]


def sound(plan: Segmentation) -> None:
    """Every part fits its TPDU, is within the stated capacity and knows its place."""
    for sequence, part in enumerate(plan.parts, 1):
        octets = SmsSubmit(SOMEBODY, part).encode()
        assert SmsSubmit.decode(octets).user_data == part
        assert part.encoding is plan.encoding
        assert plan.units[sequence - 1] <= plan.capacity
        place = part.concatenation
        if len(plan.parts) == 1:
            assert place is None
        else:
            assert place is not None
            assert (place.total, place.sequence) == (len(plan.parts), sequence)


@LAW
@given(st.one_of(gsm_text(), any_text(), national_text()), st.booleans(), st.sampled_from([None, 0, 2948, 65535]))
def test_the_segments_are_the_text_and_each_fits(text: str, wide: bool, port: int | None) -> None:
    plan = segment(text, reference=7, wide_reference=wide, port=port)
    assert joined(plan) == text
    sound(plan)
    assert all(
        part.ports is None if port is None else part.ports.destination == port for part in plan.parts if part.ports
    )
    assert (port is None) == (plan.parts[0].ports is None)


@LAW
@given(st.one_of(gsm_text(), any_text(), national_text()))
def test_no_segment_ends_inside_a_cluster_that_a_segment_could_hold(text: str) -> None:
    plan = segment(text, reference=7)
    whole = boundaries(text)
    for cut in cuts(plan)[1:-1]:
        if cut not in whole:
            start, end = next((a, b) for a, b in pairwise(whole) if a < cut < b)
            assert units(text[start:end], plan) > plan.capacity


@LAW
@given(st.one_of(gsm_text(), any_text(), national_text()))
def test_no_escape_pair_and_no_surrogate_pair_is_cut(text: str) -> None:
    plan = segment(text, reference=7)
    for part in plan.parts:
        if part.encoding is Encoding.GSM7:
            assert part.alphabet.encode(part.text or "") == part.content
            assert not part.content.endswith(b"\x1b")
        else:
            part.content.decode("utf-16-be")


def units(text: str, plan: Segmentation) -> int:
    """What a text costs in the coding of this plan."""
    if plan.encoding is Encoding.UCS2:
        return len(text.encode("utf-16-be")) // 2
    return len(alphabet(*(plan.language or (0, 0))).encode(text))


def fewest(text: str, plan: Segmentation) -> int:
    """The fewest segments of any cutting at cluster boundaries, by trying all (23.040 has no better one)."""
    whole = boundaries(text)
    best = [0] + [10**6] * (len(whole) - 1)
    for end in range(1, len(whole)):
        for start in range(end):
            if units(text[whole[start] : whole[end]], plan) <= plan.capacity:
                best[end] = min(best[end], best[start] + 1)
    return best[-1]


@settings(LAW, max_examples=40)
@given(st.lists(st.sampled_from([*CLUSTERS, "a", "€", "ş"]), min_size=40, max_size=90).map("".join))
def test_no_other_cutting_needs_fewer_segments(text: str) -> None:
    plan = segment(text, reference=7)
    if len(plan.parts) > 1:
        assert len(plan.parts) == fewest(text, plan)


@settings(LAW, max_examples=60)
@given(national_text(300), st.booleans())
def test_no_other_pair_of_tables_needs_fewer_segments(text: str, forced: bool) -> None:
    encoding = Encoding.GSM7 if forced else Encoding.AUTO
    chosen = segment(text, reference=7, encoding=encoding)
    best = len(chosen.parts)
    for locking in LOCKING:
        for single in SINGLE_SHIFT:
            gsm = alphabet(locking, single)
            if gsm.characters.issuperset(text):
                header = 3 * bool(locking) + 3 * bool(single)
                septets = len(gsm.encode(text))
                alone = 160 - -(-(header + bool(header)) * 8 // 7)
                one_of_several = 160 - -(-(header + 6) * 8 // 7)
                least = 1 if septets <= alone else -(-septets // one_of_several)
                assert best <= max(least, 1) or best - least <= escape_loss(septets, one_of_several)


def escape_loss(septets: int, room: int) -> int:
    """How many segments more than the arithmetic says escape pairs and clusters at the ends may cost."""
    return -(-septets // (room - 3)) - -(-septets // room)


@pytest.mark.parametrize(
    ("text", "encoding", "counts"),
    [
        ("", Encoding.GSM7, (0,)),
        ("a" * 160, Encoding.GSM7, (160,)),
        ("a" * 161, Encoding.GSM7, (153, 8)),
        ("a" * 306, Encoding.GSM7, (153, 153)),
        ("a" * 307, Encoding.GSM7, (153, 153, 1)),
        ("€" * 80, Encoding.GSM7, (160,)),
        ("a" + "{" * 80, Encoding.GSM7, (153, 8)),  # 76 pairs fit behind the a
        ("Ж" * 70, Encoding.UCS2, (70,)),
        ("Ж" * 71, Encoding.UCS2, (67, 4)),
        ("😀" * 35, Encoding.UCS2, (70,)),
        ("😀" * 36, Encoding.UCS2, (66, 6)),  # 33 pairs, not 33 and a half
    ],
)
def test_capacities(text: str, encoding: Encoding, counts: tuple[int, ...]) -> None:
    plan = segment(text, reference=7, national=False)
    assert (plan.encoding, plan.units) == (encoding, counts)


@pytest.mark.parametrize(
    ("options", "gsm7", "ucs2", "data"),
    [
        ({}, 153, 67, 134),
        ({"wide_reference": True}, 152, 66, 133),
        ({"port": 5000}, 146, 64, 128),
        ({"port": 5000, "wide_reference": True}, 145, 63, 127),
    ],
)
def test_what_one_of_several_segments_holds(options: dict[str, int | bool], gsm7: int, ucs2: int, data: int) -> None:
    assert segment("a" * 400, reference=7, **options).capacity == gsm7  # type: ignore[arg-type] # options by name
    assert segment("Ж" * 400, reference=7, **options).capacity == ucs2  # type: ignore[arg-type] # options by name
    assert segment(bytes(400), reference=7, **options).capacity == data  # type: ignore[arg-type] # options by name


@pytest.mark.parametrize(
    ("text", "language", "capacity"),
    [
        ("ş" * 100, (1, 0), 155),
        ("İstanbul'da çok güzel bir gün, değil mi? " * 3, (0, 1), 155),
        ("नमस्ते दुनिया " * 10, (6, 0), 155),
        ("¿Qué tal, cómo está usted, señor Martínez? " * 3, (0, 2), 155),
        ("ਸਤ ਸ੍ਰੀ ਅਕਾਲ " * 8 + "\u0a59", (10, 10), 152),
        ("ş" * 400, (1, 0), 149),
    ],
)
def test_national_tables_where_they_spare_segments(text: str, language: tuple[int, int], capacity: int) -> None:
    plan = segment(text, reference=7)
    assert (plan.encoding, plan.language, plan.capacity) == (Encoding.GSM7, language, capacity)
    assert joined(plan) == text
    assert not plan.forcing
    assert segment(text, reference=7, national=False).encoding is Encoding.UCS2


def test_national_tables_only_where_they_spare_segments() -> None:
    plan = segment("güneş", reference=7)
    assert (plan.encoding, plan.language, plan.forcing) == (Encoding.UCS2, None, ("ş",))


def test_the_default_alphabet_is_preferred_where_it_needs_no_more() -> None:
    assert segment("plain " * 100, reference=7).language is None
    assert segment("€" * 160, reference=7).language is not None, "one septet each in Turkish: 2 segments for 3"


def test_what_forces_ucs2_is_named_once_and_in_order() -> None:
    assert segment("a…b“c”…", reference=7).forcing == ("…", "“", "”")
    assert segment("abc", reference=7, encoding=Encoding.UCS2).forcing == ()


def test_ucs2_can_be_asked_for() -> None:
    plan = segment("abc", reference=7, encoding=Encoding.UCS2)
    assert (plan.encoding, plan.units) == (Encoding.UCS2, (3,))


def test_7_bit_can_be_asked_for() -> None:
    assert segment("güneş", reference=7, encoding=Encoding.GSM7).language == (0, 1)
    with pytest.raises(SmsEncodeError, match="'ş'"):
        segment("güneş", reference=7, encoding=Encoding.GSM7, national=False)
    with pytest.raises(SmsEncodeError, match="'Ж' '…'"):
        segment("aЖb…Ж", reference=7, encoding=Encoding.GSM7)


def test_transliteration_states_its_losses() -> None:
    plan = segment("Şu “çok”…", reference=7, encoding=Encoding.TRANSLIT)
    assert (joined(plan), plan.encoding, plan.language) == ('Su "cok"...', Encoding.GSM7, None)
    assert [tuple(loss) for loss in plan.substitutions] == [
        ("Ş", "S", 0),
        ("“", '"', 3),
        ("ç", "c", 4),
        ("”", '"', 7),
        ("…", "...", 8),
    ]


def test_octets_are_8_bit_data() -> None:
    content = bytes(range(256)) * 2
    plan = segment(content, reference=7, port=5000)
    assert plan.encoding is Encoding.DATA
    assert b"".join(part.data or b"" for part in plan.parts) == content
    assert segment(b"", reference=7).units == (0,)
    sound(plan)


def test_a_cluster_longer_than_a_segment_is_cut_between_code_points() -> None:
    text = "a" + "\u0301" * 200
    plan = segment(text, reference=7)
    assert plan.units == (67, 67, 67)
    assert joined(plan) == text
    assert segment("b" * 30 + text, reference=7).units == (67, 67, 67, 30), "the room before it is not wasted"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a\ud83d", {}),
        ("\ude00a", {"encoding": Encoding.UCS2}),
        ("a" * 161, {"max_segments": 1}),
        ("Ж" * 10_000, {"max_segments": 149}),
        ("a" * (255 * 153 + 1), {}),
        ("a" * 10**6, {}),
        ("a", {"reference": 256}),
        ("a", {"reference": -1}),
        ("a", {"reference": 65536, "wide_reference": True}),
        ("a", {"port": 65536}),
        ("a", {"encoding": Encoding.DATA}),
        (b"a", {"encoding": Encoding.UCS2}),
    ],
)
def test_what_cannot_be_sent_is_refused(content: str | bytes, options: dict[str, int]) -> None:
    with pytest.raises(SmsEncodeError):
        segment(content, **{"reference": 7, **options})  # type: ignore[arg-type] # options by name


def test_255_segments_are_the_most() -> None:
    assert len(segment("a" * (255 * 153), reference=7).parts) == 255
