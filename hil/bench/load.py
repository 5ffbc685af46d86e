"""A client by HTTP that costs little itself: on two cores the usual client libraries would be what is measured."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Connection"]


class Connection:
    """One keep-alive connection: a request at a time, nothing of the answer read but its status and length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, address: str, token: str) -> Self:
        """Connect to ``http://host:port``."""
        host, _, port = address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /api/v1/messages HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        return cls(reader, writer, head.encode())

    async def send(self, command: dict[str, Any]) -> None:
        """POST /messages.

        Raises:
            AssertionError: it was not accepted.
        """
        body = json.dumps(command).encode()
        self._writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 202"):
            raise AssertionError(f"{head.decode()}{content.decode()}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        await self._writer.wait_closed()
