"""kill -9 at each named commit: what was acknowledged is there, what was not is there as a whole or not at all (S2)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.store import inbound, outbound, sims, tokens, visit
from appliance.store.states import derive
from appliance.types import Iccid, SegmentState

if TYPE_CHECKING:
    import sqlite3

WRITER = Path(__file__).with_name("crash_writer.py")

VERBS = (
    *(
        "_opened",
        "seen",
        "may_try_pin",
        "create",
        "accept",
        "claim",
        "payload_next",
        "submitted",
        "commit_pdu",
        "removed",
    ),
    *("report", "deliver", "undecodable", "put_back", "doubt", "assign", "cancel", "fail", "advance", "revoke"),
)

EVENTS = {
    "accept": 1,
    "claim": 1,
    "submitted": 1,
    "report": 1,
    "deliver": 1,
    "undecodable": 1,
    "put_back": 1,
    "doubt": 1,
    "cancel": 1,
    "fail": 1,
}
"""How many events each verb of the scenario commits."""


def crash(path: Path, *point: str) -> list[str]:
    """Run the writer to its end; returns the verbs that were acknowledged."""
    ended = subprocess.run(
        [sys.executable, str(WRITER), str(path), *point], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return [line.removeprefix("ACK ") for line in ended.stdout.splitlines()]


def consistent(db: sqlite3.Connection) -> None:
    """What holds in every file that a crash can leave."""
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    seqs = [row[0] for row in db.execute("SELECT seq FROM event ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    for seq, message_id, told in db.execute("SELECT seq, id, told FROM message").fetchall():
        states = [SegmentState(row[0]) for row in db.execute("SELECT state FROM segment WHERE message = ?", (seq,))]
        assert told == derive(states)
        (newest,) = db.execute(
            "SELECT body FROM event WHERE kind = 'message' AND subject = ? ORDER BY seq DESC LIMIT 1", (message_id,)
        ).fetchone()
        assert json.loads(newest)["state"] == told


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_a_commit(tmp_path: Path, verb: str, when: str) -> None:
    path = tmp_path / "hub.db"
    acknowledged = crash(path, when, verb)
    assert verb not in acknowledged
    committed = [*acknowledged, verb] if when == "after" else acknowledged
    with visit(path) as store:
        store.read(consistent)
        events = store.read(lambda db: db.execute("SELECT count(*) FROM event").fetchone()[0])
        assert events == sum(EVENTS.get(name, 0) for name in committed)
        assert len(store.read(outbound.messages)) == committed.count("accept")
        assert len(store.read(inbound.inbox)) == committed.count("deliver") + committed.count("undecodable")
        assert bool(store.read(sims.sims)) == ("seen" in committed)
        valid = "create" in committed and "revoke" not in committed
        assert (store.read(tokens.authenticate, b"d" * 32) is not None) == valid
        tried = "may_try_pin" in committed
        assert store.write(sims.may_try_pin, iccid=Iccid("8944"), pin_digest=b"pin") != tried


def test_killed_at_the_end_everything_acknowledged_is_there(tmp_path: Path) -> None:
    acknowledged = crash(tmp_path / "hub.db")
    with visit(tmp_path / "hub.db") as store:
        store.read(consistent)
        assert {view["id"]: view["state"] for view in store.read(outbound.messages)} == {
            "out_1": "delivered",
            "out_2": "in_doubt",
            "out_3": "cancelled",
            "out_4": "failed",
        }
    assert set(VERBS) - {"_opened"} | {"retain"} == set(acknowledged)


def test_the_marker_between_prompt_and_payload_decides_what_a_crash_means(tmp_path: Path) -> None:
    for when, state, duplicate in (("before", "queued", False), ("after", "queued", True)):
        crash(tmp_path / when / "hub.db", when, "payload_next")
        with visit(tmp_path / when / "hub.db") as store:
            recovered = store.write(outbound.recover, wait_ms=0)
            assert recovered == outbound.Recovered(put_back=0 if duplicate else 1, in_doubt=1 if duplicate else 0)
            (view,) = store.read(outbound.messages)
            assert (view["state"], view["maybe_duplicate"]) == (state, duplicate)
