"""The hub: the one object that the doors know, and the host that the modems report to.

It owns no policy of its own beyond the order of steps; that stands in the modules beside it. Everything that a door is
told "accepted" about has been committed (promise S1); everything it reads comes from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from appliance import __version__, sms
from appliance.errors import ModemError, Rejected, SmsEncodeError
from appliance.hub.clients import Clients
from appliance.hub.command import MAX_RECIPIENTS
from appliance.hub.contacts import Contacts
from appliance.hub.countries import home_country
from appliance.hub.debts import Debts
from appliance.hub.destinations import check_allowed, normalise
from appliance.hub.diagnosis import Circumstances, problems
from appliance.hub.figures import Counts
from appliance.hub.fleet import Fleet
from appliance.hub.inbound import Inbound
from appliance.hub.last_resort import LastResort
from appliance.hub.outbound import Dispatcher
from appliance.hub.roster import Roster
from appliance.hub.settings import DetectSettings
from appliance.hub.signals import EVERY, Signals
from appliance.modem import Memory
from appliance.store import events, identity, inbound, outbound, reports, retention, sims, troubles
from appliance.store.clock import rfc3339
from appliance.types import Iccid, Imei, Imsi, MessageId, ModemState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
    from sqlite3 import Connection

    from appliance.hub.claim import Claim
    from appliance.hub.command import SendCommand
    from appliance.hub.settings import ModemSettings, PolicySettings, SimSettings
    from appliance.modem import ArrivedPdu, Modem, ModemStatus, RungTaken
    from appliance.store import HubClock, Journal
    from appliance.supervisor import Supervisor

__all__ = ["Event", "Hub", "Page", "Sent"]

log = logging.getLogger(__name__)

UPKEEP_EVERY = 30.0
"""Seconds between rounds of upkeep: nothing in them is urgent, and an idle hub is to sleep."""

RETAIN_EVERY = 3600.0
"""Seconds between looks for rows that are old enough to go."""

RETAIN_BITE = 200
"""Rows forgotten in one transaction: short enough that no accept waits noticeably."""

QUEUE_TOLD_AFTER = 1.0
"""Seconds that queue lengths are gathered before they are told: they change with every segment."""

COUNTED = ("submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt")
"""States of a message that are counted when it reaches them."""

USSD_STATES = {0: "done", 1: "answer_expected", 2: "ended", 3: "busy", 4: "not_supported", 5: "timed_out"}
"""<m> of +CUSD (27.007 §7.15) in words."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event table, ready to be told."""

    seq: int
    kind: str
    subject: str
    at: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a list, and the cursor that the next piece starts from."""

    items: list[dict[str, Any]]
    next: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a command: accepted, durably."""

    ids: tuple[MessageId, ...]
    single: bool
    """Whether it went to one number and is answered as one message; a list or a group is answered as a list."""
    duplicate: bool
    messages: tuple[dict[str, Any], ...]


class Hub:
    """Accepts, dispatches, receives and reports. Build it, then :meth:`start` it once."""

    def __init__(
        self,
        journal: Journal,
        clock: HubClock,
        supervisor: Supervisor,
        *,
        policy: PolicySettings,
        modems: Sequence[ModemSettings] = (),
        detect: DetectSettings | None = None,
        hang_up: bool = True,
        reboot: Callable[[], Awaitable[None]] | None = None,
        sim_settings: Mapping[str, SimSettings] | None = None,
        contacts: Contacts | None = None,
        retention_days: float = 30.0,
        public_settings: Mapping[str, Any] | None = None,
        claim: Claim | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.hub_id = ""
        self.version = __version__
        self.contacts = contacts or Contacts({})
        self.claim = claim
        """How a hub that nobody owns gets its owner; None: it is never asked."""
        self.mqtt: Callable[[], Mapping[str, Any]] | None = None
        """How the MQTT door is (``connected``, ``url``, ``last_error``, …), where there is one: set by who built it."""
        self.webhooks: Callable[[], Sequence[Mapping[str, Any]]] | None = None
        """How each webhook is (``name``, ``pending``, ``last_error``), where there are some."""
        self._journal = journal
        self._clock = clock
        self._supervisor = supervisor
        self._policy = policy
        self._sim_settings = sim_settings or {}
        self._retention_ms = int(retention_days * 86_400_000)
        self._public_settings = public_settings or {}
        self._sleep = sleep
        self._inbound = Inbound(journal, sleep=sleep)
        self.clients = Clients(journal, clock)
        """Who may ask by HTTP."""
        self.counts = Counts(journal, clock)
        """What is counted."""
        self.debts = Debts(journal, clock)
        """What the webhooks owe."""
        self._roster = Roster()
        self._signals = Signals()
        self._fleet = Fleet(
            self,
            supervisor,
            modems=modems,
            detect=detect or DetectSettings(udev=False),
            pin=self._pin,
            idle=lambda modem: self._roster.queue(modem.status.imsi) == 0,
            remarked=self._roster.touch,
            hang_up=hang_up,
        )
        self._last_resort = LastResort(journal, clock, states=lambda: self._fleet.states, reboot=reboot)
        self._dispatchers: dict[Imsi, Dispatcher] = {}
        self._seen: dict[Imsi, Iccid | None] = {}
        self._last_modem: dict[Imsi, Imei | None] = {}
        self._unable_since: dict[Imsi, int] = {}
        self._reference = 0
        self._queues_stale = asyncio.Event()
        self._calls: asyncio.Queue[tuple[Imei, dict[str, Any]]] = asyncio.Queue()

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Settle what a crash left, then start what runs: decoder, dispatchers, upkeep, modems."""
        self.hub_id = await self._journal.write(identity.hub_id)
        settled = await self._journal.write(outbound.recover, wait_ms=int(self._policy.in_doubt_wait * 1000))
        if settled.in_doubt or settled.put_back:
            log.warning("after the last end: %d segments put back, %d in doubt", settled.put_back, settled.in_doubt)
        self._reference = await self._journal.read(outbound.last_seq)
        for sim in await self._journal.read(sims.sims):
            self._seen[sim.imsi] = sim.iccid
            self._last_modem[sim.imsi] = sim.imei
            self._unable_since[sim.imsi] = self._clock.now()
            self._dispatcher(sim.imsi)
        self._supervisor.vital("inbound", self._inbound.run)
        self._supervisor.tend("upkeep", self._upkeep)
        self._supervisor.tend("queue lengths", self._tell_queues)
        self._supervisor.tend("calls", self._tell_calls)
        self._fleet.start()

    async def breathe(self) -> None:
        """Return once the event loop and the journal's writer have both turned: the proof of life."""
        await self._journal.write(identity.breathe)

    def _dispatcher(self, imsi: Imsi) -> Dispatcher:
        if imsi not in self._dispatchers:
            dispatcher = Dispatcher(
                imsi,
                self._journal,
                self._clock,
                in_doubt_wait=self._policy.in_doubt_wait,
                drained=self._queues_stale.set,
                sleep=self._sleep,
            )
            self._dispatchers[imsi] = dispatcher
            self._supervisor.tend(f"dispatcher {len(self._dispatchers)} of SIM {_hide(imsi)}", dispatcher.run)
        return self._dispatchers[imsi]

    async def _upkeep(self) -> None:
        retained_at = self._clock.now()
        sampled_at = -(1 << 62)
        while True:
            if self._clock.now() - sampled_at >= EVERY * 1000:
                sampled_at = self._clock.now()
                self._signals.sample(rfc3339(self._clock.wall_ms()), self._roster.statuses)
            await self._sleep(UPKEEP_EVERY)
            if self._journal.full:
                await self._journal.restore_ballast()
            if await self._journal.write(outbound.expire):
                self._queues_stale.set()
            for imsi in self._roster.able_sims():
                if await self._journal.write(outbound.assign, imsi, sim_cap=self._policy.sim_daily_cap):
                    self._wake(imsi)
            await self._journal.write(inbound.give_up, window_ms=int(self._policy.incomplete_after * 1000))
            await self._fail_over()
            await self._last_resort.look()
            await self.counts.catch_up()
            if self._clock.now() - retained_at >= RETAIN_EVERY * 1000:
                retained_at = self._clock.now()
                window_ms = int(self._policy.report_wait * 1000)
                while await self._journal.write(reports.overdue, window_ms=window_ms, limit=RETAIN_BITE):
                    pass
                while await self._journal.write(retention.retain, keep_ms=self._retention_ms, limit=RETAIN_BITE):
                    pass

    async def _fail_over(self) -> None:
        """Give a missing SIM's untouched, unpinned messages to one that can send them."""
        now = self._clock.now()
        for imsi, since in list(self._unable_since.items()):
            able = next(self._roster.able_sims(), None)
            if able is not None and now - since >= self._policy.failover_after * 1000:
                moved = await self._journal.write(
                    outbound.reassign, imsi, able, limit=RETAIN_BITE, sim_cap=self._policy.sim_daily_cap
                )
                if moved:
                    log.warning("%d messages of SIM %s go out by SIM %s", moved, _hide(imsi), _hide(able))
                    self._wake(able)

    async def _tell_calls(self) -> None:
        while True:
            imei, call = await self._calls.get()
            await self._journal.write(events.record, "call", imei, call)

    async def _tell_queues(self) -> None:
        while True:
            self._queues_stale.clear()
            self._roster.queues(await self._journal.read(outbound.queue_depths))
            await self._queues_stale.wait()
            await self._sleep(QUEUE_TOLD_AFTER)

    # ------------------------------------------------------------------ the modems' host

    async def attached(self, modem: Modem) -> None:
        """A modem and its SIM can submit."""
        status = modem.status
        imsi = status.imsi
        if imsi is None:
            return
        self._seen[imsi] = status.iccid
        self._last_modem[imsi] = status.imei
        await self._journal.write(sims.seen, imsi=imsi, iccid=status.iccid, imei=status.imei, number=status.number)
        await self._journal.write(outbound.assign, imsi, sim_cap=self._policy.sim_daily_cap)
        self._roster.able(imsi, modem)
        self._unable_since.pop(imsi, None)
        self._dispatcher(imsi).use(modem)
        self._queues_stale.set()

    async def detached(self, modem: Modem, reason: str) -> None:
        """A modem cannot submit any more."""
        for imsi in self._roster.unable(modem):
            log.warning("SIM %s cannot send: %s", _hide(imsi), reason)
            self._unable_since[imsi] = self._clock.now()
            self._dispatchers[imsi].use(None)

    def changed(self, status: ModemStatus) -> None:
        """A modem's status is another one."""
        self._roster.tell(status)

    async def arrived(self, pdu: ArrivedPdu) -> None:
        """A PDU was read; returns after its commit (promise R1)."""
        await self._inbound.arrived(pdu)

    async def removed(self, pdu: ArrivedPdu) -> None:
        """A PDU was deleted on the modem."""
        await self._inbound.removed(pdu)

    def called(self, imei: Imei, imsi: Imsi, number: str | None) -> None:
        """Somebody rings."""
        self._calls.put_nowait((imei, {"modem": imei, "sim": imsi, "from": number}))

    async def may_try_pin(self, iccid: Iccid, pin: str) -> bool:
        """Whether this PIN may be tried on this SIM: once, also after a restart, unless it was right (promise M2)."""
        return await self._journal.write(sims.may_try_pin, iccid=iccid, pin_digest=_pin_digest(iccid, pin))

    async def pin_taken(self, iccid: Iccid, pin: str) -> None:
        """The SIM has taken this PIN, and will want it again after each loss of power."""
        await self._journal.write(sims.pin_taken, iccid=iccid, pin_digest=_pin_digest(iccid, pin))

    async def troubles(self, place: str, imei: Imei | None) -> Memory | None:
        """What is remembered of a modem's troubles; a later version, rolled back, may have remembered more."""
        known = await self._journal.read(troubles.remembered, place=place, imei=imei)
        if known is None:
            return None
        kept = {field.name: known[field.name] for field in fields(Memory) if field.name in known}
        return Memory(**{**kept, "tried": tuple(kept.get("tried", ()))})

    async def recovering(self, place: str, imei: Imei | None, memory: Memory, taken: RungTaken | None) -> None:
        """Something was done against a modem's trouble, or is about to be."""
        told = None if taken is None else {"modem": imei, "place": place, **asdict(taken)}
        if taken is not None:
            log.warning("modem at %s: rung %d, %s: %s", place, taken.rung, taken.name, taken.detail or taken.outcome)
        await self._journal.write(troubles.remember, place=place, imei=imei, memory=asdict(memory), told=told)

    def _pin(self, iccid: Iccid) -> str | None:
        sim = self._sim_settings.get(iccid) or self._sim_settings.get("*")
        return sim.pin.get_secret_value() if sim is not None and sim.pin is not None else None

    # ------------------------------------------------------------------ sending

    async def send(
        self,
        command: SendCommand,
        *,
        client: str,
        client_daily_cap: int | None = None,
        key: str | None = None,
        reusable_key: bool = False,
        expires_in: float | None = None,
    ) -> Sent:
        """Accept a command; when this returns, it is durable (promise S1).

        Args:
            command: what to send, to whom.
            client: who asks: the owner of idempotency keys and caps.
            client_daily_cap: segments in 24 hours; None: the policy's.
            key: idempotency key of the door (HTTP header, MQTT correlation); ``command.id`` is one too.
            reusable_key: the key's space is small and used over and over (MQTT packet ids): an older message gives it
            up.
            expires_in: seconds that the door still grants (MQTT Message Expiry Interval).

        Raises:
            Rejected: with the codes of the table in ``appliance/hub/__init__.py``.
            StoreFull: nothing can be accepted now.
        """
        if command.id is not None and key is not None and key != command.id and not reusable_key:
            raise Rejected(
                "invalid",
                "the id in the body and the idempotency key outside it differ: give one of them",
                pointer="/id",
            )
        lifetime = min(seconds for seconds in (command.ttl or self._policy.ttl, expires_in) if seconds is not None)
        if lifetime <= 0:
            raise Rejected("expired", "the command's time was over before it arrived")
        single, recipients = self._recipients(command)
        pinned = self._pinned_sim(command)
        plan = self._segment(command)
        validity = min(
            (seconds for seconds in (command.validity, command.ttl, expires_in) if seconds is not None), default=None
        )
        report = self._policy.report if command.report is None else command.report
        on_in_doubt = command.on_in_doubt or self._policy.on_in_doubt
        fingerprint = command.fingerprint()
        content = command.content()
        messages = []
        for recipient, given in recipients.items():
            imsi = pinned or self._route(len(plan.parts))
            tpdus = self._submits(plan, recipient, command, report=report, validity=validity)
            messages.append(
                outbound.NewMessage(
                    id=MessageId("out_" + secrets.token_hex(10)),
                    client=client,
                    idempotency_key=command.id or key,
                    fingerprint=fingerprint,
                    recipient=recipient,
                    imsi=imsi,
                    pinned=pinned is not None,
                    priority=command.priority,
                    report=report,
                    on_in_doubt=on_in_doubt,
                    encoding=plan.encoding.value,
                    text=command.text,
                    data=content if isinstance(content, bytes) else None,
                    port=command.port,
                    flash=command.flash,
                    ttl_ms=int(lifetime * 1000),
                    segments=tpdus,
                    replaces_key=reusable_key and command.id is None,
                    extra={} if given == recipient else {"to_given": given},
                )
            )
        accepted = await self._journal.write(
            outbound.accept,
            messages,
            client_cap=self._policy.client_daily_cap if client_daily_cap is None else client_daily_cap,
            sim_cap=self._policy.sim_daily_cap,
        )
        for row in accepted:
            self._wake(row.view.get("sim"))
        ids = tuple(row.id for row in accepted)
        return Sent(
            ids,
            single=single,
            duplicate=all(row.duplicate for row in accepted),
            messages=tuple(row.view for row in accepted),
        )

    def preview(self, command: SendCommand) -> dict[str, Any]:
        """How a text would be sent: encoding, segments, what forces UCS-2, what a transliteration loses."""
        plan = self._segment(command)
        recipients = self.numbers(command)
        return {
            "encoding": plan.encoding.value,
            "segments": len(plan.parts),
            "units": list(plan.units),
            "capacity": plan.capacity,
            "forcing": list(plan.forcing),
            "substitutions": [
                {"character": was, "replacement": now, "position": position}
                for was, now, position in plan.substitutions
            ],
            "recipients": recipients,
            "cost_segments": len(plan.parts) * recipients,
        }

    def numbers(self, command: SendCommand) -> int:
        """How many numbers a command names, contacts and groups resolved: so many messages it would be."""
        return len({self.spelled(number) for number, _, _ in self._addressed(command)[1]})

    async def cancel(self, message_id: str, *, client: str | None) -> dict[str, Any]:
        """Cancel what was not handed to a modem yet.

        Raises:
            Rejected: ``not_found`` or ``not_cancellable``.
        """
        return await self._journal.write(outbound.cancel, MessageId(message_id), client=client)

    def _addressed(self, command: SendCommand) -> tuple[bool, list[tuple[str, str, str]]]:
        """Names resolved: whether one number is meant, and of each its number, what was given, a pointer to that."""
        addressed: list[tuple[str, str, str]] = []
        single = isinstance(command.to, str)
        for place, given in enumerate(command.recipients):
            pointer = "/to" if isinstance(command.to, str) else f"/to/{place}"
            contact = self.contacts.get(given)
            single = single and (contact is None or not contact.group)
            addressed += [(number, given, pointer) for number in ((given,) if contact is None else contact.numbers)]
        return single, addressed

    def _recipients(self, command: SendCommand) -> tuple[bool, dict[str, str]]:
        """Whether one number is meant, and the numbers to text, each once, with what was given for it.

        Raises:
            Rejected: ``invalid``, ``destination_not_allowed``, ``no_sim``.
        """
        single, addressed = self._addressed(command)
        recipients: dict[str, str] = {}
        for number, given, pointer in addressed:
            recipients.setdefault(self._recipient(number, pointer=pointer), given)
        if len(recipients) > MAX_RECIPIENTS:
            raise Rejected("invalid", f"these are {len(recipients)} numbers, more than {MAX_RECIPIENTS}", pointer="/to")
        return single, recipients

    def _recipient(self, given: str, *, pointer: str) -> str:
        recipient = normalise(given, region=self._region(), pointer=pointer)
        check_allowed(recipient, allowed=self._policy.allowed_destinations, sims=self._seen, pointer=pointer)
        return recipient

    def _region(self) -> str | None:
        """The region in which numbers without a country code are read."""
        if self._policy.region is not None:
            return self._policy.region
        home = next((country for imsi in self._seen if (country := home_country(imsi)) is not None), None)
        return home.region if home else None

    def _pinned_sim(self, command: SendCommand) -> Imsi | None:
        """The SIM that the client insists on."""
        if command.sim is not None:
            known = next((imsi for imsi, iccid in self._seen.items() if command.sim in {imsi, iccid}), None)
            if known is None:
                raise Rejected(
                    "no_sim", f"no SIM {_hide(command.sim)} has been seen: give its ICCID or IMSI", pointer="/sim"
                )
            return known
        if command.modem is not None:
            status = self._roster.status(command.modem)
            if status is None or status.imsi is None:
                raise Rejected(
                    "no_such_modem", f"no modem {command.modem} with a SIM is here: give its IMEI", pointer="/modem"
                )
            return status.imsi
        return None

    def _route(self, segments: int) -> Imsi | None:
        """The SIM for an unpinned message: the able one with the shortest queue, else any ever seen, else None.

        The store overrules it where another SIM still has texts for the same recipient.
        """
        imsi = next(self._roster.able_sims(), None) or next(iter(self._seen), None)
        if imsi is not None:
            self._roster.expect(imsi, segments)
        return imsi

    def _segment(self, command: SendCommand) -> sms.Segmentation:
        self._reference = (self._reference + 1) % 256
        try:
            return sms.segment(
                command.content(),
                encoding=sms.Encoding(command.encoding),
                reference=self._reference,
                port=command.port,
            )
        except SmsEncodeError as error:
            raise Rejected("not_encodable", str(error), pointer="/text" if command.data is None else "/data") from error

    def _submits(
        self, plan: sms.Segmentation, recipient: str, command: SendCommand, *, report: bool, validity: float | None
    ) -> tuple[bytes, ...]:
        return tuple(
            sms.SmsSubmit(
                destination=sms.Address.parse(recipient),
                user_data=part,
                message_class=0 if command.flash else None,
                status_report_request=report,
                validity=None if validity is None else timedelta(seconds=validity),
            ).encode()
            for part in plan.parts
        )

    def _wake(self, imsi: str | None) -> None:
        if imsi is not None and imsi in self._dispatchers:
            self._dispatchers[Imsi(imsi)].wake()
        self._queues_stale.set()

    # ------------------------------------------------------------------ reading

    async def message(self, message_id: str) -> dict[str, Any] | None:
        """One outbound message with its text, or None."""
        return await self._journal.read(outbound.message_view, MessageId(message_id), text=True)

    def spelled(self, number: str) -> str:
        """A number as the journal spells it, to look for it; what is no number stays as it is (a sender's name)."""
        contact = self.contacts.get(number)
        if contact is not None and len(contact.numbers) == 1:
            number = contact.numbers[0]
        try:
            return normalise(number, region=self._region(), pointer="")
        except Rejected:
            return number

    async def messages(
        self,
        *,
        state: str | None = None,
        to: str | None = None,
        client: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Outbound messages, the newest first; ``next`` is the ``before`` of the following page."""
        rows = await self._journal.read(
            outbound.messages, state=state, to=to, client=client, before_seq=before, limit=limit
        )
        return Page(rows, rows[-1]["seq"] if len(rows) == limit else None)

    async def inbox(self, *, since_seq: int = 0, sender: str | None = None, limit: int = 50) -> Page:
        """Received messages from ``since_seq`` (exclusive) on, the oldest first."""
        rows = await self._journal.read(inbound.inbox, since_seq=since_seq, sender=sender, limit=limit)
        return Page(rows, rows[-1]["seq"] if len(rows) == limit else None)

    async def inbox_before(self, before: int = 0, *, sender: str | None = None, limit: int = 50) -> Page:
        """Received messages before the seq ``before`` (0: all), the newest first."""
        rows = await self._journal.read(inbound.inbox_before, before=before, sender=sender, limit=limit)
        return Page(rows, rows[-1]["seq"] if len(rows) == limit else None)

    async def received(self, message_id: str) -> dict[str, Any] | None:
        """One received message, or None."""
        return await self._journal.read(inbound.received_view, MessageId(message_id))

    async def replay(self, since_seq: int) -> AsyncIterator[dict[str, Any]]:
        """The inbox after ``since_seq`` again, marked ``replayed``."""
        while True:
            page = await self.inbox(since_seq=since_seq, limit=200)
            for item in page.items:
                yield item | {"replayed": True}
            if page.next is None:
                return
            since_seq = page.next

    def signal(self, imei: str) -> list[dict[str, Any]]:
        """A modem's signal over the last day, one sample for each ``signals.EVERY`` seconds, oldest first."""
        return [
            {"at": sample.at, "dbm": sample.dbm, "state": sample.state.value} for sample in self._signals.of(Imei(imei))
        ]

    async def recoveries(self, imei: str, *, before: int = 0, limit: int = 50) -> Page:
        """What was done against a modem's troubles, the newest first; ``next`` is the ``before`` of the next page."""
        rows = await self._journal.read(events.recoveries, imei, before=before, limit=limit)
        told = ("rung", "name", "reason", "seconds", "outcome", "detail")
        items = [{"seq": row.seq, "at": row.at, **{name: row.body.get(name) for name in told}} for row in rows]
        return Page(items, rows[-1].seq if len(rows) == limit else None)

    def modems(self) -> dict[str, dict[str, Any]]:
        """IMEI → the JSON of ``modemhub/modem/<imei>/state``, with ``available``."""
        return self._roster.views()

    @property
    def modems_version(self) -> int:
        """Which version of the roster :meth:`modems` tells."""
        return self._roster.version

    async def modems_changed(self, version: int) -> int:
        """Wait until the roster is at another version than ``version`` (-1: returns at once); returns it."""
        return await self._roster.changed(version)

    def modem_of(self, sim: str | None) -> str | None:
        """The IMEI of the modem in which this SIM (IMSI) is, or was seen last."""
        return None if sim is None else self._last_modem.get(Imsi(sim))

    async def latest(self, imei: str) -> dict[str, Any] | None:
        """What this modem received last, or None."""
        return await self._journal.read(inbound.latest, modem=imei)

    def time(self) -> str:
        """The time of now as it is shown: RFC 3339, UTC."""
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC).isoformat(timespec="milliseconds")

    def forget_modem(self, imei: str) -> None:
        """A modem that is not here will not come back: it is told of no more.

        Raises:
            Rejected: ``not_possible``: it is here.
        """
        status = self._roster.status(imei)
        if status is not None and status.state is not ModemState.GONE:
            raise Rejected("not_possible", "this modem is here: unplug it first", pointer="/modem")
        self._roster.forget(imei)

    async def restart_modem(self, imei: str) -> None:
        """Restart a modem by its own command.

        Raises:
            Rejected: ``no_such_modem``, ``modem_failed``.
        """
        await _refusing(self._fleet.find(imei).restart())

    async def power_cycle_modem(self, imei: str) -> str:
        """Switch a modem off and on by the strongest means that can be used; the name of what was done.

        Raises:
            Rejected: ``no_such_modem``, ``modem_failed``.
        """
        return await _refusing(self._fleet.find(imei).power_cycle())

    async def ussd(self, imei: str, text: str | None) -> dict[str, Any]:
        """Ask the network by USSD, or answer what it asked; None ends the session.

        Returns:
            ``status`` (``done``, ``answer_expected``, ``ended``, ``busy``, ``not_supported``, ``timed_out``), ``text``.

        Raises:
            Rejected: ``no_such_modem``, ``modem_failed``, ``not_encodable``.
        """
        modem = self._fleet.find(imei)
        if text is None:
            await _refusing(modem.end_ussd())
            return {"status": USSD_STATES[2], "text": None}
        try:
            written = sms.encode_ussd(text, packed=modem.writes_ussd_packed)
        except SmsEncodeError as error:
            raise Rejected("not_encodable", str(error), pointer="/text") from error
        answer = await _refusing(modem.ussd(written))
        shown = None if answer.text is None else sms.decode_ussd(answer.text, answer.dcs, packed=answer.packed)
        return {"status": USSD_STATES.get(answer.status, "ended"), "text": shown}

    def rescan(self) -> None:
        """Look for modems now.

        Raises:
            Rejected: ``not_possible``.
        """
        self._fleet.rescan()

    def info(self) -> dict[str, Any]:
        """The payload of ``modemhub/info``."""
        return {
            "hub_id": self.hub_id,
            "version": self.version,
            "modems": sorted(self._roster.views()),
            "plugged_in": self._fleet.remarks,
            "settings": dict(self._public_settings),
        }

    def health(self) -> dict[str, Any]:
        """``ok`` when every configured modem can send and nothing is wrong with the store."""
        problems = [
            f"{tended.name}: {tended.last_error}" for tended in self._supervisor.tended.values() if tended.waiting
        ]
        if self._journal.full:
            problems.append("the disk is full: nothing new is accepted")
        able = len(list(self._roster.able_sims()))
        if able < self._fleet.expected:
            problems.append(f"{able} of {self._fleet.expected} modems can send")
        problems += self._fleet.remarks
        return {
            "status": "degraded" if problems else "ok",
            "problems": problems,
            "version": self.version,
            "hub_id": self.hub_id,
        }

    async def status(self) -> dict[str, Any]:
        """How the hub is, what is wrong in plain words and what is done about it; the JSON of ``GET /status``."""
        figures = await self.counts.figures()
        statuses = self._fleet.statuses
        mqtt = None if self.mqtt is None else dict(self.mqtt())
        webhooks = [] if self.webhooks is None else [dict(each) for each in self.webhooks()]
        quarantined = self._journal.quarantined
        wrong = problems(
            Circumstances(
                modems=statuses,
                remarks=self._fleet.remarks,
                detects=self._fleet.detects,
                failing={
                    tended.name: tended.last_error or ""
                    for tended in self._supervisor.tended.values()
                    if tended.waiting
                },
                unassigned=figures.queues.get("", 0),
                full=figures.full,
                free=figures.room.free or None,
                quarantined=None if quarantined is None else f"corrupt/{quarantined.name}",
                mqtt=mqtt,
                webhooks=webhooks,
            )
        )
        return {
            "hub_id": self.hub_id,
            "version": self.version,
            "started_at": figures.since,
            "uptime_seconds": int(figures.uptime),
            "status": "degraded" if wrong else "ok",
            "problems": [asdict(problem) for problem in wrong],
            "modems": {
                "ready": sum(status.state is ModemState.READY for status in statuses),
                "known": len(statuses),
            },
            "queue": sum(figures.queues.values()),
            "store": {
                "bytes": figures.room.taken,
                "free_bytes": figures.room.free,
                "full": figures.full,
            },
            "counters": {
                "since": figures.since,
                "accepted": figures.events.get(("message", "queued"), 0),
                "received": figures.events.get(("received", ""), 0),
                "calls": figures.events.get(("call", ""), 0),
                **{state: figures.events.get(("message", state), 0) for state in COUNTED},
            },
            "mqtt": mqtt,
            "webhooks": webhooks,
        }

    # ------------------------------------------------------------------ events and cursors

    async def events(self, after: int, *, limit: int = 100, kinds: Collection[str] | None = None) -> list[Event]:
        """Events with a higher seq than ``after``, in order; received ones with their text, as the row has it now."""
        return await self._journal.read(_events, after, limit=limit, kinds=kinds)

    @property
    def newest(self) -> int:
        """The seq of the newest event; 0 when there was never one."""
        return self._journal.newest

    async def wait_event(self, after: int) -> None:
        """Return as soon as an event with a higher seq than ``after`` is committed."""
        await self._journal.committed(after)

    async def cursor(self, door: str, *, begin: int | None = None) -> int:
        """How far a door has told; a new door begins at the newest event, or at ``begin``."""
        known = await self._journal.read(events.cursor, door)
        if known is None:
            known = await self._journal.read(events.last) if begin is None else begin
            await self._journal.write(events.advance, door, known)
        return known

    async def advance(self, door: str, seq: int) -> None:
        """A door has told everything up to ``seq``; durable."""
        await self._journal.write(events.advance, door, seq)

    async def stale(self, seq: int, *, seconds: float) -> int:
        """The seq up to which everything after ``seq`` is older than so many seconds."""
        return await self._journal.read(events.stale, seq, before_hub=self._clock.now() - int(seconds * 1000))

    async def forget_door(self, door: str) -> None:
        """A door is switched off: nothing is kept for it any more."""
        if await self._journal.read(events.cursor, door) is not None:
            await self._journal.write(events.forget, door)


def _events(db: Connection, after: int, *, limit: int, kinds: Collection[str] | None) -> list[Event]:
    told = []
    for row in events.after(db, after, kinds=kinds, limit=limit):
        body = row.body
        if row.kind == "message":  # by this number a repetition is known; ``seq`` is the message's own
            body = {**body, "event": row.seq}
        if row.kind == "received":
            body = inbound.received_view(db, MessageId(row.subject)) or body
        told.append(Event(row.seq, row.kind, row.subject, row.at, body))
    return told


async def _refusing(doing: Awaitable[T]) -> T:
    """Do what a client asked of a modem; what the modem says to it is the client's to know.

    Raises:
        Rejected: ``modem_failed``.
    """
    try:
        return await doing
    except ModemError as error:
        raise Rejected("modem_failed", str(error)) from error


def _pin_digest(iccid: Iccid, pin: str) -> bytes:
    """What is remembered of a PIN that was tried."""
    return hashlib.sha256(f"{iccid}:{pin}".encode()).digest()


def _hide(identity: str) -> str:
    """An identity for a log line: its end is enough to tell one from another (promise C1)."""
    return f"…{identity[-4:]}"
