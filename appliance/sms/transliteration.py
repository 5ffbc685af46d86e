# ruff: noqa: RUF001 - the look-alike letters are what the tables are about
"""Into the GSM 7-bit default alphabet whatever it takes, telling each loss.

Promise: the result has only characters of that alphabet (3GPP 23.038 §6.2.1), and putting the stated replacements into
the original gives it. A text that is already in the alphabet comes back as it is.

A character is taken with the combining marks behind it, and both are composed where Unicode has a character for them.
What that becomes, the first that applies:

1. itself, where the alphabet has it: ä, ñ and ø stay;
2. what ``_TABLE`` says: punctuation, letters that do not decompose, Cyrillic as it is commonly written in Latin
   letters;
3. its compatibility decomposition without marks, each part by these rules again: ş is s, ﬁ is fi, ² is 2;
4. Greek as upper case, as Greek operators send it: the alphabet has ΓΔΘΛΞΠΣΦΨΩ, and the others look like Latin letters;
5. nothing, where it is not to be seen: zero width, direction, variation, skin tone;
6. ``?``.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

from appliance.sms.alphabet import alphabet

__all__ = ["Substitution", "transliterate"]


class Substitution(NamedTuple):
    """One stated loss: what stood there, what stands there now, and its index in the original, in code points."""

    original: str
    replacement: str
    position: int


def _each(characters: str, replacement: str) -> dict[str, str]:
    return dict.fromkeys(characters, replacement)


def _pairs(text: str) -> dict[str, str]:
    """Pairs of a character and its replacement, apart by spaces: ``ж zh``."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_CYRILLIC = _pairs(
    """а a б b в v г g д d е e ё yo ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh щ
    shch
    ы y э e ю yu я ya є ye і i ї yi ґ g ў u ѓ gj ѕ dz ј j љ lj њ nj ќ kj џ dz ђ dj ћ c"""
) | {"ъ": "", "ь": "'"}

_GREEK = _pairs("Α A Β B Ε E Ζ Z Η H Ι I Κ K Μ M Ν N Ο O Ρ P Τ T Υ Y Χ X ς Σ")

_LATIN = _pairs(
    """ı i ł l Ł L đ d Đ D ð d Ð D þ th Þ TH œ oe Œ OE ŋ ng Ŋ NG ħ h Ħ H ŧ t Ŧ T ĸ k ſ s ẞ SS ə e Ə E ƒ f ɓ b ɗ d ƙ k
    Ɓ B Ɗ D Ƙ K
    ȷ j ʼn 'n"""
)

_SIGNS = (
    _each("‘’‚‛′ʹʻʼʽ`´ˈ՚＇", "'")
    | _each("“”„‟″«»〝〞＂", '"')
    | _each("‹", "<")
    | _each("›", ">")
    | _each("‐‑‒–—―−⁃﹘﹣－", "-")
    | _each(
        "\t\v\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    )
    | _each("\u2028\u2029", "\n")
    | _each("•·‣∙●▪■◦", "*")
    | _each("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff", "")
    | _each("→⇒➔➜", "->")
    | _each("←⇐", "<-")
    | _pairs(
        """… ... × x ÷ / ± +/- ≤ <= ≥ >= ≠ != ≈ ~ ≡ = ∑ Σ ∏ Π ∆ Δ ⁄ / ∕ / ∗ * ¬ ! ¦ | ¨ " ¯ - ¸ , ¢ c µ u ° o ª a º o
        © (c) ® (R) ™ (TM) № No ₤ £ ₺ TL ₹ Rs ₽ RUB ₴ UAH ₸ KZT ₪ ILS ₩ KRW ₫ VND ฿ THB ₿ BTC ƒ f † + ‡ + ‰ o/oo ✓ v ✔
        v ✗ x ✘ x ☺ :) ☹ :( 🙂 :) 🙁 :( 😀 :D
        😉 ;) ❤ <3 ¹ 1 ² 2 ³ 3 ℃ oC ℉ oF"""
    )
)

_UPPER_CYRILLIC = {letter.upper(): latin[:1].upper() + latin[1:] for letter, latin in _CYRILLIC.items()}
_TABLE = _UPPER_CYRILLIC | _CYRILLIC | _GREEK | _LATIN | _SIGNS

_INVISIBLE = frozenset({"Cf", "Mn", "Me", "Cc"})
_FIRST_GREEK, _LAST_GREEK = "\u0370", "\u03ff"


@lru_cache(maxsize=4096)
def _replace(character: str) -> str:
    """What one code point becomes."""
    if character in alphabet().characters:
        return character
    if character in _TABLE:
        return _TABLE[character]
    parts = unicodedata.normalize("NFKD", character)
    if parts != character:
        kept = [_replace(part) for part in parts if not unicodedata.combining(part)]
        if not {"?", ""}.issuperset(kept):
            return "".join(kept)
    if _FIRST_GREEK <= character <= _LAST_GREEK and character.upper() != character:
        return "".join(map(_replace, character.upper()))
    return "" if unicodedata.category(character) in _INVISIBLE else "?"


def transliterate(text: str) -> tuple[str, tuple[Substitution, ...]]:
    """The text in the GSM 7-bit default alphabet, and each place where it differs from the original."""
    if alphabet().characters.issuperset(text):
        return text, ()
    result: list[str] = []
    losses: list[Substitution] = []
    place = 0
    while place < len(text):
        end = place + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        original = text[place:end]
        replacement = "".join(map(_replace, unicodedata.normalize("NFC", original)))
        if replacement != original:
            losses.append(Substitution(original, replacement, place))
        result.append(replacement)
        place = end
    return "".join(result), tuple(losses)
