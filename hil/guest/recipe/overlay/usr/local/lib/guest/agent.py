"""Runs commands for the host over a virtio port: a JSON object per line, answered by one per line.

``{"id": n, "argv": [...], "stdin": base64}`` becomes ``{"id": n, "code": n, "stdout": base64, "stderr": base64}``. Each
command has a thread of its own, so that one that waits holds up no other. The first line says hello.
"""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

PORT = "/dev/virtio-ports/modemhub.agent"


class Port:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._lock = threading.Lock()

    def lines(self) -> Iterator[bytes]:
        rest = b""
        while piece := os.read(self._fd, 1 << 16):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole

    def say(self, words: dict[str, Any]) -> None:
        line = json.dumps(words).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._fd, line) :]


def run(port: Port, order: dict[str, Any]) -> None:
    try:
        given = base64.b64decode(order.get("stdin", ""))
        done = subprocess.run(order["argv"], input=given, capture_output=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    except OSError as error:
        code, out, err = 127, b"", str(error).encode()
    encoded = {"stdout": base64.b64encode(out).decode(), "stderr": base64.b64encode(err).decode()}
    port.say({"id": order["id"], "code": code, **encoded})


def main() -> int:
    port = Port(PORT)
    port.say({"hello": os.uname().release})
    for line in port.lines():
        threading.Thread(target=run, args=(port, json.loads(line)), daemon=True).start()
    return 1


if __name__ == "__main__":
    sys.exit(main())
