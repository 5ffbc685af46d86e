"""Into the default alphabet, each loss stated."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from appliance.sms import transliterate
from appliance.sms.alphabet import alphabet
from tests.sms.strategies import any_text, gsm_text

LAW = settings.get_profile("sms")


@LAW
@given(any_text())
def test_the_result_is_in_the_alphabet_and_the_losses_make_it(text: str) -> None:
    result, losses = transliterate(text)
    assert alphabet().characters.issuperset(result)
    made: list[str] = []
    place = 0
    for loss in losses:
        assert text[loss.position : loss.position + len(loss.original)] == loss.original
        assert loss.original != loss.replacement
        made += [text[place : loss.position], loss.replacement]
        place = loss.position + len(loss.original)
    assert "".join(made) + text[place:] == result


@LAW
@given(gsm_text())
def test_what_is_in_the_alphabet_stays(text: str) -> None:
    assert transliterate(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Ärger über Öl, daß ñandú él å Ø æ", "Ärger über Öl, daß ñandu él å Ø æ"),
        ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
        ("Příliš žluťoučký kůň", "Prilis zlutoucky kun"),
        ("Árvíztűrő tükörfúrógép", "Arvizturo tükörfurogép"),
        ("Ştefan ţine şi ȘȚ", "Stefan tine si ST"),
        ("İğdır ığ", "Igdir ig"),
        ("“quoted” ‘it’s’ – — … • №", "\"quoted\" 'it's' - - ... * No"),
        ("10\u00a0000\u202f€", "10 000 €"),
        ("a\u0308 e\u0301 s\u0327", "ä é s"),
        ("Γειά σου Κόσμε", "ΓEIA ΣOY KOΣME"),
        ("ελληνικός", "EΛΛHNIKOΣ"),
        ("Привет, Жуков! Щи", "Privet, Zhukov! Shchi"),
        ("Їжак і ґанок", "Yizhak i ganok"),
        ("Љубав Ђорђе", "Ljubav Djordje"),
        ("ﬁn ½ ² ™ © ℃ Ω Å", "fin 1/2 2 (TM) (c) oC Ω Å"),
        ("Œuvre þorn ßẞ", "OEuvre thorn ßSS"),
        ("x\u200by\ufeffz\u00adw", "xyzw"),
        ("日本 😀 ✓", "?? :D v"),
        ("👍🏽", "?"),
        ("1️⃣ #️⃣", "1 #"),
        ("각 क्षि", "? ???"),
        ("\ud83d", "?"),
    ],
)
def test_examples(text: str, result: str) -> None:
    assert transliterate(text)[0] == result
