"""What the property tests here draw."""

from __future__ import annotations

from hypothesis import strategies as st

from appliance.sms.alphabet import LOCKING, SINGLE_SHIFT, alphabet

DEFAULT = sorted(alphabet().characters)
PAIRS = st.tuples(st.sampled_from(sorted(LOCKING)), st.sampled_from(sorted(SINGLE_SHIFT)))

CLUSTERS = (
    "👩‍👩‍👧‍👦",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🇬🇧",
    "👍🏽",
    "#️⃣",
    "e\u0301\u0323",
    "\r\n",
    "क्षि",
    "각",
    "\u1112\u1161\u11ab",
    "நி",
    "ก็",
)
"""Each is one extended grapheme cluster."""


def gsm_text(max_size: int = 700) -> st.SearchStrategy[str]:
    """Texts of the default alphabet, rich in escape pairs and line ends."""
    return st.text(st.sampled_from([*DEFAULT, *"€[]{}~^|\\\f\r\n@" * 5]), max_size=max_size)


def any_text(max_size: int = 400) -> st.SearchStrategy[str]:
    """Texts of whatever Unicode has, rich in clusters of several code points."""
    piece = st.one_of(st.characters(codec="utf-8"), st.sampled_from(CLUSTERS), st.sampled_from(DEFAULT))
    return st.lists(piece, max_size=max_size).map("".join)


def national_text(max_size: int = 500) -> st.SearchStrategy[str]:
    """Texts that one pair of national tables holds."""
    return PAIRS.flatmap(lambda pair: st.text(st.sampled_from(sorted(alphabet(*pair).characters)), max_size=max_size))
