"""What a browser looks at: the console's files, as they are, and the documentation of the API.

The files are those of the package itself. They are read when they are asked for, and never from anywhere else: a path
is a chain of plain names below one folder of the package, and what is not spelled so is not looked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING

from aiohttp import web

from appliance.errors import Rejected
from appliance.http.call import reply
from appliance.http.docs import POLICY as DOCS_POLICY
from appliance.http.docs import page
from appliance.http.requests import NoQuery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable

    from appliance.http.call import Call

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/vnd.microsoft.icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "mjs": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
"""By the ending of the name; what a machine's own table says differs from machine to machine."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""What the console may do: run and load the hub's own files, and talk to the hub."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


async def index(call: Call) -> web.StreamResponse:
    """The console."""
    return await _served(call, ("index.html",))


async def console(call: Call) -> web.StreamResponse:
    """A file of the console."""
    return await _served(call, call.request.match_info["path"].split("/"))


async def docs_style(call: Call) -> web.StreamResponse:
    """What the documentation looks like."""
    return await _served(call, ("docs.css",), folder=resources.files("appliance.http"))


async def openapi(call: Call) -> web.StreamResponse:
    """This API, described for machines (OpenAPI 3.1)."""
    call.query(NoQuery)
    return reply(await asyncio.to_thread(call.door.description))


async def docs(call: Call) -> web.StreamResponse:
    """This API, described for people: the page that you may be looking at."""
    call.query(NoQuery)
    document = await asyncio.to_thread(call.door.description)
    address = f"{call.request.scheme}://{call.request.host}"
    text = await asyncio.to_thread(page, document, address=address)
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": DOCS_POLICY})


async def _served(call: Call, names: Sequence[str], *, folder: Traversable | None = None) -> web.StreamResponse:
    found = await asyncio.to_thread(_content, folder or call.door.console, names)
    if found is None:
        raise Rejected("not_found", "there is no such file")
    tag = hashlib.sha256(found).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "ETag": f'"{tag}"'}
    known = call.request.if_none_match or ()
    if any(each.value in {tag, "*"} for each in known):
        return web.Response(status=304, headers=headers)
    _, dot, ending = names[-1].rpartition(".")
    kind = TYPES.get(ending.lower(), "application/octet-stream") if dot else TYPES["txt"]  # a LICENSE
    return web.Response(body=found, headers={**headers, "Content-Type": kind})


def _content(folder: Traversable, names: Sequence[str]) -> bytes | None:
    """The file below ``folder``; None: there is none."""
    if not all(_NAME.fullmatch(name) for name in names):
        return None
    try:
        return folder.joinpath(*names).read_bytes()
    except OSError:
        return None


def of_package() -> Traversable:
    """The folder of the console in this package."""
    return resources.files("appliance.http") / "console"
