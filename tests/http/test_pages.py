"""What a browser gets: the console's files and nothing beside them, and the API's own documentation."""

from __future__ import annotations

import html.parser
import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession

from appliance.http import pages
from appliance.http.docs import page
from appliance.http.openapi import document, plain
from appliance.http.routes import ROUTES
from tests.http.visitors import front

if TYPE_CHECKING:
    from pathlib import Path

    from tests.http.visitors import Visitors
    from tests.mqtt.house import House

pytestmark = pytest.mark.asyncio

FILES = {
    "index.html": ("<!doctype html>", "text/html; charset=utf-8"),
    "app.js": ("export {};", "text/javascript; charset=utf-8"),
    "style.css": ("body {}", "text/css; charset=utf-8"),
    "icon.svg": ("<svg/>", "image/svg+xml"),
    "vendor/deep/LICENSE": ("MIT", "text/plain; charset=utf-8"),
    "vendor/strange.bin": ("?", "application/octet-stream"),
}


@pytest.fixture
def console(tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "console"
    for name, (content, _) in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / ".hidden").write_text("secret")
    (folder.parent / "secret.py").write_text("secret")
    return folder


async def test_a_file_has_its_type_and_is_asked_for_again(home: House, console: Path) -> None:
    async with front(home, parts={"console": console}) as visitors:
        for name, (content, kind) in FILES.items():
            answer = await visitors.call("GET", f"/console/{name}")
            assert (answer.status, answer.json.decode()) == (200, content)
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["Content-Security-Policy"] == pages.POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await visitors.call("GET", f"/console/{name}", If_None_Match=known)
                assert (again.status, again.json) == (304, b"")
            (console / name).write_text(content + "!")
            assert (await visitors.call("GET", f"/console/{name}", If_None_Match=tag)).status == 200


async def test_the_first_page_is_the_consoles(home: House, console: Path) -> None:
    async with front(home, parts={"console": console}) as visitors:
        answer = await visitors.call("GET", "/")
        assert answer.json.decode() == FILES["index.html"][0]
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/console/../secret.py",
        "/console/%2e%2e/secret.py",
        "/console/..%2fsecret.py",
        "/console/vendor/..%2f..%2f..%2fsecret.py",
        "/console/vendor//app.js",
        "/console/.hidden",
        "/console/vendor",
        "/console/vendor/",
        "/console/",
        "/console/%00",
        "/console/app.js%00.css",
        "/console/..%5csecret.py",
        "/console//etc/passwd",
        "/console/nothing.js",
        "/console/%ff",
        "/console/" + "x" * 5000,
    ],
)
async def test_nothing_else_is_a_file(home: House, console: Path, path: str) -> None:
    async with front(home, parts={"console": console}) as visitors:
        writer_answer = await raw(visitors, path)
        assert writer_answer.split()[1] == b"404", writer_answer
        assert b"secret" not in writer_answer.replace(b"secret.py", b"")
        assert b"application/problem+json" in writer_answer


async def raw(visitors: Visitors, path: str) -> bytes:
    """The whole answer to a path that no client library has made decent."""
    import asyncio  # noqa: PLC0415 - only here

    reader, writer = await asyncio.open_connection(*visitors.door.address)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


class Outline(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in {"meta", "link"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


async def test_the_documentation_is_a_page_without_scripts_or_foreign_files(visitors: Visitors) -> None:
    token = await visitors.home.token("reader", "send")
    answer = await visitors.call("GET", "/docs", token=token)
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    text = answer.json.decode()
    outline = Outline()
    outline.feed(text)
    assert not {"script", "style", "img", "iframe", "form"} & set(outline.tags)
    assert not [name for name, _ in outline.attributes if name == "style" or name.startswith("on")]
    assert len(outline.ids) == len(set(outline.ids))
    inside = {link.removeprefix("#") for link in outline.links if link.startswith("#")}
    assert inside <= set(outline.ids)
    assert {link for link in outline.links if not link.startswith("#")} == {"/docs/style.css", "/openapi.json"}
    for route in ROUTES:
        assert (f">{plain(route.path)}<" in text) is route.described
    assert f"'{visitors.address}/api/v1/messages'" in text.replace("&#x27;", "'")
    style = await visitors.call("GET", "/docs/style.css")
    assert style.status == 200
    assert "url(" not in style.json.decode()


async def test_words_of_a_document_are_never_markup() -> None:
    described = document(ROUTES, version="<b>1</b>")
    described["paths"]["/healthz"]["get"]["summary"] = "<script>alert(1)</script> `<i>` \"'"
    text = page(described, address='http://x"><script>')
    assert "<script" not in text
    assert "<b>1</b>" not in text
    assert "<code>&lt;i&gt;</code>" in text


async def test_each_example_for_the_terminal_is_a_request_that_is_understood(visitors: Visitors) -> None:
    """The lines of the page, as a shell would read them."""
    import json  # noqa: PLC0415 - only here
    import shlex  # noqa: PLC0415 - only here

    token = await visitors.home.token("root", "admin")
    document_ = (await visitors.call("GET", "/openapi.json", token=token)).json
    text = page(document_, address=visitors.address)
    lines = [html.unescape(found) for found in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)]
    assert len(lines) == sum(route.described for route in ROUTES)
    visitors.door.stopping.set()
    async with ClientSession() as session:
        for line in lines:
            words = shlex.split(line.replace("\\\n", " ").replace("$TOKEN", token))
            method = words[words.index("-X") + 1] if "-X" in words else "GET"
            headers = dict(words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H")
            body = words[words.index("-d") + 1] if "-d" in words else None
            async with session.request(method, words[-1], headers=headers, data=body) as answer:
                told = await answer.read()
                assert answer.status not in {400, 401, 405, 415, 500}, (line, told)
                if answer.status == 404:
                    assert json.loads(told)["code"] == "not_found"
