"""The API against its own description: schemathesis reads ``/openapi.json`` of a running hub and tries to refute it.

What it holds: no server error; every status, type, header and body is a described one; what the schema forbids is
refused, and what it allows is accepted, or refused for a reason that no schema can tell (a number that is none, a SIM
that is not here); nothing answers without a token; what was made is found, and what was revoked is gone. It follows the
description's links from answer to answer.

The event stream is left out, as it never ends: it has tests of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from hil.rig import Child, rig

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
hooks = "hil.tests.contract_hooks"

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 409, 422, 429]
negative_data_rejection.expected-statuses = [400, 403, 404, 405, 409, 413, 415, 422, 429]

[[operations]]
include-operation-id = "message"
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "cancel"
checks.use_after_free.enabled = false

[[operations]]
include-operation-id = "readyz"
checks.not_a_server_error.enabled = false
checks.positive_data_acceptance.enabled = false
"""
"""What is no failure: a refusal in the API's own words, whatever the schema says; that a message that was cancelled by
DELETE is there to be read; and that the hub is not ready (503) while its only modem restarts, as it was asked to."""

LINE = 400
"""Characters of a line that is shown: some requests are very long."""


@pytest.mark.asyncio
@pytest.mark.timeout(900)
async def test_the_api_is_as_it_is_described(place: Path, *, long: bool) -> None:
    seconds = 200 if long else 25
    tools = place / "schemathesis"
    tools.mkdir()
    (tools / "schemathesis.toml").write_text(SETTINGS)
    async with rig(place, emulator=["--submit-delay", "0", "--report-delay", "0"]) as whole:
        await whole.modems.deliver(whole.modems.all[0], "Hello hub")
        await whole.observer.heard.until(lambda _: bool(whole.observer.received()), "a received message")
        argv = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
            f"{whole.hub.address}/openapi.json",
            *("--header", f"Authorization: Bearer {whole.hub.token}", "--exclude-operation-id", "events"),
            *("--max-time", str(seconds), "--max-examples", "50", "--no-shrink"),
            *("--report", "json", "--report-json-path", "report.json"),
        ]
        tester = await Child.start(
            "schemathesis",
            [shutil.which("env") or "env", "-C", tools, *argv],
            log=place / "schemathesis.txt",
            environment={"PYTHONPATH": str(ROOT), "COLUMNS": "120", "HYPOTHESIS_STORAGE_DIRECTORY": str(tools)},
        )
        code = await tester.ended(within=seconds + 120)
        said = "\n".join(line[:LINE] for line in tester.lines.items)
        assert code == 0, said
        report = json.loads((tools / "report.json").read_text())
        assert report["failures"] == []
        assert report["operations"]["tested"] == report["operations"]["selected"] >= 25
        assert {phase["status"] for phase in report["phases"].values()} == {"success"}, said
        assert whole.hub.child.running
        assert "Traceback" not in whole.hub.said()
