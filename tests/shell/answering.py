"""A server that answers each connection with octets that the test has written, and keeps what was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answering:
    """Its address, and the requests so far; a connection that said nothing is an empty request."""

    def __init__(self, answers: Sequence[bytes], tls: ssl.SSLContext | None) -> None:
        self.asked: list[Asked] = []
        self._answers = list(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, name="answering")
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                if self._tls is None:
                    self._talk(connection, answer)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as secured:
                        self._talk(secured, answer)

    def _talk(self, connection: socket.socket, answer: bytes) -> None:
        with connection.makefile("rb") as file:
            line = file.readline().decode().rstrip()
            headers = {}
            while field := file.readline().decode().rstrip():
                name, _, value = field.partition(": ")
                headers[name] = value
            self.asked.append(Asked(line, headers, file.read(int(headers.get("Content-Length", 0)))))
        connection.sendall(answer)

    def close(self) -> None:
        """Wait until every answer was fetched."""
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive(), f"asked {len(self.asked)} of {len(self._answers)} times"


@contextlib.contextmanager
def answering(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Answering]:
    """Serve these answers, each on a connection of its own, in order; all must be fetched."""
    server = Answering(answers, tls)
    try:
        yield server
    finally:
        for _ in answers[len(server.asked) :]:  # what a failed test has left: accept() must not hang
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", server.port), 1).close()
        server.close()


def ok(value: Any, *, status: str = "200 OK") -> bytes:
    """A whole response with this JSON."""
    body = json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def refused(status: int, code: str, **more: Any) -> bytes:
    """A problem document."""
    return ok(
        {"status": status, "title": code, "detail": f"because of {code}", "code": code, **more}, status=f"{status} X"
    )


def stream(*events: tuple[int | None, str, Any], torn: bytes = b"") -> bytes:
    """An event stream of these (number, kind, body), which then ends, perhaps torn within one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 2000\n\n"
    told = b": still here\n\n".join(
        (b"" if number is None else f"id: {number}\n".encode())
        + f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()
        for number, kind, body in events
    )
    return head + told + torn
