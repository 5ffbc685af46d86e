"""Whatever an editor makes of the file, the same settings are read; and what is wrong is told by line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image.device.text import NotToml, decoded, line_of, parsed, toml

FILE = '# für Zürich\n[wifi]\nssid = "Müller"\n'

WRITTEN = {
    "as it is": FILE.encode(),
    "with a mark": FILE.encode("utf-8-sig"),
    "Windows": FILE.replace("\n", "\r\n").encode(),
    "an old Mac": FILE.replace("\n", "\r").encode(),
    "Notepad's Unicode": FILE.replace("\n", "\r\n").encode("utf-16"),
    "big-endian": b"\xfe\xff" + FILE.encode("utf-16-be"),
    "UTF-16 without a mark": FILE.encode("utf-16-le"),
    "big-endian without a mark": FILE.encode("utf-16-be"),
    "Notepad's ANSI": FILE.replace("\n", "\r\n").encode("cp1252"),
    "NULs at the end": FILE.encode() + bytes(300),
    "Ctrl-Z at the end": FILE.encode() + b"\x1a",
}


@pytest.mark.parametrize("editor", WRITTEN)
def test_every_editor_is_read(editor: str) -> None:
    assert parsed(decoded(WRITTEN[editor])) == {"wifi": {"ssid": "Müller"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[wifi]\nssid = “home”", "line 2: these are typographic quotation marks (“)"),
        ("[wifi]\nssid = home", "line 2 (ssid): text has to stand in straight quotes"),
        ('[wifi]\nssid = "home', "line 2 (ssid): a quote is missing at the end"),
        ('[wifi]\nssid = "home\npassword = "x"', "line 2 (ssid): a quote is missing at the end"),
        ('[wifi]\nssid "home"', "line 2: a line is a [section], or key = value"),
        ("[wifi]\n[wifi]", "line 2: this section stands twice"),
        ("[a]\nx = 1\nx = 2", "line 3 (x): this key stands twice"),
        ('[a]\nx = "C:\\dir"', "line 2 (x): put text with a backslash into single quotes"),
        ("[wifi\nssid = 1", "line 1: "),
        ("a = [1,\n", 'a "]" is missing'),
    ],
)
def test_what_is_no_toml_is_told(text: str, told: str) -> None:
    with pytest.raises(NotToml) as wrong:
        parsed(text)
    assert told in str(wrong.value)


def test_a_complaint_repeats_no_value() -> None:
    with pytest.raises(NotToml) as wrong:
        parsed('[wifi]\npassword = "very secret\n')
    assert "secret" not in str(wrong.value)


def test_a_curly_quote_in_text_or_comment_is_no_mistake() -> None:
    with pytest.raises(NotToml) as wrong:
        parsed('# “so”\na = "“x”" # ”\nb = ‘y’')
    assert [line.split(":")[0] for line in wrong.value.complaints] == ["line 3"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a", "x"), 2),
        (("a", "missing"), 1),
        (("b", 0, "port"), 4),
        (("b", 1, "port"), 6),
        (("s", "*", "pin"), 8),
        (("c", "d", "e"), 9),
        (("nothing",), None),
    ],
)
def test_the_line_of_a_setting(path: tuple[object, ...], line: int | None) -> None:
    text = '[a]\nx = 1\n[[b]]\nport = 1\n[[b]]\nport = 2\n[s."*"]\npin = 3\n[c.d]\n'
    assert line_of(text, path) == line


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_is_written_as_toml_is_read_again(content: dict[str, object]) -> None:
    assert tomllib.loads(toml(content)) == content
