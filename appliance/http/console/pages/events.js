/** What happens, as it happens. */

import { hub, may, nameOf } from "../hub.js";
import { Empty, Heading, NeedsScope, Pill } from "../parts/basic.js";
import { useStore } from "../store.js";
import { html, useState } from "../ui.js";
import { clock, dbm, fullTime, messageWords, modemName, modemWords, outcomeWords } from "../words.js";

const KINDS = [
  { kind: "message", label: "Sent texts" },
  { kind: "received", label: "Received texts" },
  { kind: "call", label: "Calls" },
  { kind: "modem", label: "Modems" },
  { kind: "recovery", label: "Recovery" },
  { kind: "store", label: "Disk" },
];

export function Events() {
  const me = useStore(hub, (now) => now.me);
  const line = useStore(hub, (now) => now.line);
  const live = useStore(hub, (now) => now.events);
  const contacts = useStore(hub, (now) => now.contacts);
  const modems = useStore(hub, (now) => now.modems);
  const [hidden, setHidden] = useState(new Set());
  const [word, setWord] = useState("");
  const [held, setHeld] = useState(null);
  if (!may(me, "send", "inbox", "status")) {
    return html`<${Heading}>Events<//><${NeedsScope} scopes=${["status", "inbox", "send"]} what="follow events" />`;
  }
  const wanted = word.trim().toLowerCase();
  const rows = (held ?? live)
    .filter((event) => !hidden.has(event.kind))
    .map((event) => ({ ...event, ...words(event, contacts, modems) }))
    .filter(
      (event) => !wanted || `${event.who} ${event.what} ${JSON.stringify(event.body)}`.toLowerCase().includes(wanted),
    );
  const toggle = (kind) =>
    setHidden((now) => (now.has(kind) ? new Set([...now].filter((one) => one !== kind)) : new Set([...now, kind])));
  const missed = held === null ? 0 : live.findIndex((event) => event.key === held[0]?.key);
  return html`
    <${Heading}>Events<//>
    <p class="quiet">${line === "live" ? "Live since this page was opened; the newest is on top." : "The stream is interrupted; it goes on where it was as soon as the hub answers."}</p>
    <div class="toolbar">
      <fieldset class="chips">
        <legend class="unseen">Kinds to show</legend>
        ${KINDS.map(
          ({ kind, label }) => html`<label class="chip" key=${kind}><input type="checkbox"
          checked=${!hidden.has(kind)} onChange=${() => toggle(kind)} />${label}</label>`,
        )}
      </fieldset>
      <div class="field inline"><label class="unseen" for="word">Filter</label><input id="word" type="search"
        placeholder="Filter by any word" value=${word} onInput=${(event) => setWord(event.currentTarget.value)} /></div>
      <button type="button" aria-pressed=${held !== null}
        onClick=${() => setHeld(held === null ? live : null)}>${held === null ? "Pause" : missed > 0 ? `Go on (${missed} new)` : "Go on"}</button>
    </div>
    ${
      rows.length === 0 &&
      html`<${Empty} title=${live.length === 0 ? "Nothing has happened since this page was opened." : "No event fits the filter."}>
      <p>${live.length === 0 ? html`Send a text on the page <a href="#/messages/new">Messages</a>, and watch its states come by here.` : "Show more kinds, or clear the filter."}</p>
    <//>`
    }
    <ol class="events" aria-label="Events, newest first">
      ${rows.map(
        (event) => html`
          <li key=${event.key}>
            <time datetime=${event.at} title=${fullTime(event.at)}>${clock(event.at)}</time>
            <span class="kind">${KINDS.find(({ kind }) => kind === event.kind)?.label ?? event.kind}</span>
            <span class="event-text"><strong>${event.who}</strong> ${event.state && html`<${Pill} ...${event.state} /> `}${event.what}</span>
            <details><summary>JSON</summary><pre class="line"><code>${JSON.stringify(event.body, null, 2)}</code></pre></details>
          </li>`,
      )}
    </ol>`;
}

function words({ kind, body }, contacts, modems) {
  const modem = (imei) =>
    imei && modems[imei] ? modemName(modems[imei]) : imei ? `Modem …${imei.slice(-4)}` : "The hub";
  switch (kind) {
    case "message": {
      const { label, tone } = messageWords(body);
      return { who: nameOf(contacts, body.to), state: { label, tone }, what: body.reason?.text ?? "" };
    }
    case "received":
      return { who: nameOf(contacts, body.from), what: body.text ?? "(data)" };
    case "call":
      return { who: body.from ? nameOf(contacts, body.from) : "Somebody", what: `calls ${modem(body.modem)}` };
    case "recovery":
      return {
        who: modem(body.modem ?? body.imei),
        state: { label: outcomeWords(body.outcome), tone: body.outcome === "helped" ? "good" : "warn" },
        what: [body.name, body.detail].filter(Boolean).join(", "),
      };
    case "modem": {
      const { label, tone } = modemWords(body);
      return {
        who: modemName(body),
        state: { label, tone },
        what: [body.recovery, body.operator, body.signal_dbm === null ? "" : dbm(body.signal_dbm)]
          .filter(Boolean)
          .join(", "),
      };
    }
    default:
      return {
        who: "The hub",
        what: body.moved_to ? `began a fresh database; the damaged one is kept in ${body.moved_to}` : kind,
      };
  }
}
