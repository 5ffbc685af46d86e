"""What is done for each message costs the same in a small and in a large store: no scan, no sort of a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.store import Transaction, events, inbound, outbound, reports, retention, sims, tokens
from appliance.types import Iccid, Imei
from tests.store.bench import ALICE, BOB, LATER, SILENCE, SIM, Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMEI = Imei("490154203237518")

SMALL = re.compile(
    r"SCAN (cursor|json_each|segment USING INDEX segment_submitting|inbound_pdu USING INDEX inbound_undecided)"
)
"""What may be read as a whole: the doors, a list that was given, what is in flight, what is not decoded yet."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


class Explaining:
    """A connection that explains what it is asked before it does it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.plans: dict[str, list[str]] = {}

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        plan = self._db.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        self.plans[sql] = [row["detail"] for row in plan]
        return self._db.execute(sql, values)

    def executemany(self, sql: str, values: Any) -> sqlite3.Cursor:
        return self._db.executemany(sql, values)

    def judge(self) -> None:
        for sql, plan in self.plans.items():
            for step in plan:
                assert not step.startswith("SCAN") or SMALL.match(step), f"{step}\n{sql}"
                assert "TEMP B-TREE" not in step, f"{step}\n{sql}"


def explained(store: Store, work: Callable[[Transaction], Any]) -> None:
    def run(tx: Transaction) -> None:
        explaining = Explaining(tx.db)
        work(Transaction(db=cast("sqlite3.Connection", explaining), now=tx.now, wall=tx.wall))
        assert explaining.plans
        explaining.judge()

    store.write(run)


def test_the_verbs_of_a_message_use_indexes(store: Store) -> None:
    seq = 0

    def claim(tx: Transaction) -> None:
        nonlocal seq
        claimed = outbound.claim(tx, SIM)
        assert claimed is not None
        seq = claimed.seq

    def accept(tx: Transaction) -> None:
        outbound.accept(tx, [store.message(key="k"), store.message(key="k", to=BOB)], client_cap=9, sim_cap=9)

    explained(store, accept)
    explained(store, accept)
    explained(store, claim)
    explained(store, lambda tx: outbound.payload_next(tx, seq, 1))
    explained(store, lambda tx: outbound.submitted(tx, seq, 1, imsi=SIM, mr=1))
    explained(store, claim)
    explained(store, lambda tx: outbound.put_back(tx, seq, 1, reason=LATER, delay_ms=0, counted=True))
    explained(store, claim)
    explained(store, lambda tx: outbound.doubt(tx, seq, 1, reason=SILENCE, wait_ms=0))
    explained(store, claim)
    explained(store, lambda tx: outbound.fail(tx, seq, 1, reason=LATER))
    explained(store, outbound.expire)
    explained(store, outbound.recover)
    message = store.accept(store.message(ttl_ms=0))[0]
    explained(store, lambda tx: outbound.cancel(tx, message.id))


def test_the_verbs_of_what_arrives_use_indexes(store: Store) -> None:
    def arrive(tx: Transaction) -> None:
        for raw in ("AA", "AA"):
            inbound.commit_pdu(tx, imsi=SIM, imei=IMEI, iccid=None, raw=raw, storage="SM", index=1)

    def deliver(tx: Transaction) -> None:
        part = inbound.ReceivedPart(sender=ALICE, encoding="gsm7", sent_at=None, set_key="k", number=1, total=2)
        inbound.deliver(tx, 1, part=part, assemble=lambda _: inbound.Assembled("a", None, (2,), 2))
        inbound.deliver(tx, 1, part=part, assemble=lambda _: inbound.Assembled("a", None, (2,), 2))

    def report(tx: Transaction) -> None:
        for pdu in (7, 7):
            reports.report(
                tx,
                pdu_id=pdu,
                imsi=SIM,
                mr=1,
                recipient=ALICE,
                outcome="delivered",
                status=0,
                text="",
                discharged_at=None,
            )

    explained(store, arrive)
    explained(store, deliver)
    explained(store, lambda tx: inbound.give_up(tx, window_ms=0))
    explained(store, lambda tx: inbound.removed(tx, 1))
    explained(store, report)


def test_the_queries_use_indexes(store: Store) -> None:
    (message,) = store.accept(store.message())

    def queries(tx: Transaction) -> None:
        db = tx.db
        outbound.message_view(db, message.id)
        outbound.messages(db, limit=10)
        outbound.messages(db, state="queued")
        outbound.messages(db, to=ALICE, before_seq=100)
        outbound.messages(db, client="client")
        outbound.lane_sim(db, ALICE)
        outbound.next_due(db, SIM)
        outbound.last_seq(db)
        inbound.inbox(db, since_seq=5)
        inbound.inbox(db, since_seq=5, sender=ALICE)
        inbound.undecided(db)
        events.after(db, 5)
        events.after(db, 5, kinds={"message"})
        inbound.inbox_before(db)
        inbound.inbox_before(db, before=5, sender=ALICE)
        events.cursor(db, "mqtt")
        events.cursors(db)
        events.recoveries(db, IMEI, before=9)
        tokens.authenticate(db, b"d" * 32)
        events.advance(tx, "mqtt", 1)
        sims.seen(tx, imsi=SIM, iccid=Iccid("8944"), imei=IMEI, number=None)

    def judged(tx: Transaction) -> None:
        explaining = Explaining(tx.db)
        queries(Transaction(db=cast("sqlite3.Connection", explaining), now=tx.now, wall=tx.wall))
        for sql, plan in explaining.plans.items():
            # The newest messages, and the last seq, are read from the end of a table: that is such a scan with LIMIT.
            if "sqlite_sequence" in sql or sql.startswith("SELECT * FROM message ORDER BY seq DESC"):
                continue
            for step in plan:
                assert not step.startswith("SCAN") or SMALL.match(step), f"{step}\n{sql}"
                assert "TEMP B-TREE" not in step or "lane" in sql, f"{step}\n{sql}"

    store.write(judged)


def steps(store: Store, work: Callable[[], object]) -> int:
    """How many hundreds of SQLite's virtual machine steps ``work`` takes: a measure that no other load disturbs."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    store.write(lambda tx: tx.db.set_progress_handler(tick, 100))
    work()
    store.write(lambda tx: tx.db.set_progress_handler(None, 0))
    return count


def queue(store: Store, *, blocked: int, others: int) -> None:
    """A lane of ``blocked`` messages whose head waits, and ``others`` recipients with one message each."""
    store.accept(store.message())
    claim = store.claim()
    store.write(outbound.put_back, claim.seq, 1, reason=LATER, delay_ms=3_600_000, counted=True)

    def fill(tx: Transaction) -> None:
        tx.db.execute(
            "INSERT INTO message (id, client, recipient, imsi, pinned, priority, report, on_in_doubt, encoding, flash,"
            " extra, segments, told, booked_hour, accepted_hub, accepted_at, updated_hub, updated_at, expires_hub)"
            " WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
            " SELECT 'bulk_' || i, 'client', iif(i <= ?2, ?3, '+1' || (10000000 + i)), ?4, 0, 0, 1, 'resend', 'gsm7',"
            " 0, '{}', 1, 'queued', 0, 0, 0, 0, 0, 1000000000 + i FROM n",
            (blocked + others, blocked, ALICE, SIM),
        )
        tx.db.execute(
            "INSERT INTO segment (message, n, tpdu, state) SELECT seq, 1, zeroblob(150), 'queued' FROM message"
            " WHERE id LIKE 'bulk_%'"
        )
        tx.db.execute(
            "INSERT INTO lane (recipient, imsi, priority, head, begun, ready, due_hub)"
            " SELECT recipient, imsi, 0, seq, 0, 1, 0 FROM message WHERE id LIKE 'bulk_%' AND recipient <> ?",
            (ALICE,),
        )

    store.write(fill)


def test_a_claim_costs_the_same_with_100_000_queued_messages_also_behind_a_blocked_lane(tmp_path: Path) -> None:
    costs = []
    for blocked, others in ((50, 50), (50_000, 50_000)):
        store = Store(tmp_path / f"{blocked}.db")
        queue(store, blocked=blocked, others=others)
        store.send(1)

        def work(store: Store = store) -> None:
            for mr in range(20):
                store.send(mr)
            store.accept(store.message())
            store.write(outbound.claim, SIM)
            store.write(outbound.expire)

        costs.append(steps(store, work))
        assert store.read(outbound.lane_sim, ALICE) == SIM
        assert sum(store.read(outbound.queue_depths).values()) == blocked + others - 20
        store.close()
    small, large = costs
    assert large <= small * 1.2 + 5


def test_the_oldest_go_first_through_a_large_queue(store: Store) -> None:
    queue(store, blocked=100, others=100)
    order = []
    while (claim := store.write(outbound.claim, SIM)) is not None:
        store.write(outbound.submitted, claim.seq, 1, imsi=SIM, mr=0)
        order.append(claim.seq)
    assert order == list(range(102, 202))


def test_a_bite_of_retention_costs_the_same_in_a_large_store(tmp_path: Path) -> None:
    costs = []
    for size in (1_000, 50_000):
        store = Store(tmp_path / f"{size}.db")
        queue(store, blocked=0, others=size)

        def finish(tx: Transaction) -> None:
            tx.db.execute("UPDATE message SET told = 'delivered', updated_hub = seq WHERE id LIKE 'bulk_%'")
            tx.db.execute("UPDATE segment SET state = 'delivered' WHERE message > 1")
            tx.db.execute("DELETE FROM lane WHERE recipient LIKE '+1%'")

        store.write(finish)
        store.machine.forward(1_000_000_000)
        gone: list[int] = []

        def bite(store: Store = store, gone: list[int] = gone) -> None:
            gone.append(store.write(retention.retain, keep_ms=1000, limit=200))

        costs.append(steps(store, bite))
        assert gone == [200]
        store.close()
    small, large = costs
    assert large <= small * 1.2 + 5
