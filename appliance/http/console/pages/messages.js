/** Texts by number, both directions in one thread, live. On a phone the list and a thread are two pages. */

import { call, newKey } from "../api.js";
import { hub, learn, loadOlder, loadTexts, may, nameOf } from "../hub.js";
import { Confirm, Empty, ErrorNote, Heading, Loading, NeedsScope, Pill, useTask } from "../parts/basic.js";
import { useBottom } from "../parts/bottom.js";
import { Composer, sendTo } from "../parts/composer.js";
import { useStore } from "../store.js";
import { html, useEffect, useMemo, useRef, useState } from "../ui.js";
import { count, day, encodingWords, fullTime, messageWords, SEND_AGAIN, sentence, when } from "../words.js";

/** What can be answered: a number with its country code, or a short code. */
const NUMBER = /^\+?\d+$/;

export function Messages({ words }) {
  const me = useStore(hub, (now) => now.me);
  const number = words[0] ?? null;
  if (!may(me, "send", "inbox", "status")) {
    return html`<${Heading}>Messages<//><${NeedsScope} scopes=${["send", "inbox"]} what="see or send texts" />`;
  }
  const detail =
    number === null
      ? null
      : number === "new"
        ? html`<${NewMessage} key="new" me=${me} />`
        : html`<${Thread} key=${number} number=${number} me=${me} />`;
  return html`
    <div class=${detail ? "mail with-thread" : "mail"}>
      <${Threads} chosen=${number} me=${me} first=${!detail} />
      ${detail ?? html`<div class="thread none"><${Empty} title="Choose a thread, or write a new text." /></div>`}
    </div>`;
}

/** Every text as one shape: which number, which direction, when. */
function entries(messages, received) {
  return [
    ...Object.values(messages).map((message) => ({
      ...message,
      number: message.to,
      out: true,
      at: message.accepted_at,
    })),
    ...Object.values(received).map((message) => ({
      ...message,
      number: message.from ?? "unknown",
      out: false,
      at: message.received_at,
    })),
  ].sort((a, b) => (a.at === b.at ? a.seq - b.seq : a.at < b.at ? -1 : 1));
}

function useEntries() {
  const messages = useStore(hub, (now) => now.messages);
  const received = useStore(hub, (now) => now.received);
  return useMemo(() => entries(messages, received), [messages, received]);
}

function Threads({ chosen, me, first }) {
  const all = useEntries();
  const contacts = useStore(hub, (now) => now.contacts);
  const known = useStore(hub, (now) => now.textsKnown);
  const older = useStore(hub, (now) => now.older);
  const [wanted, setWanted] = useState("");
  const task = useTask();
  const threads = useMemo(() => {
    const newest = new Map();
    for (const entry of all) newest.set(entry.number, entry);
    return [...newest.values()].sort((a, b) => (a.at < b.at ? 1 : -1));
  }, [all]);
  const word = wanted.trim().toLowerCase();
  const shown = threads.filter(
    (entry) => !word || `${entry.number} ${nameOf(contacts, entry.number)}`.toLowerCase().includes(word),
  );
  return html`
    <section class="threads" aria-label="Threads">
      <div class="threads-head">
        ${first ? html`<${Heading}>Messages<//>` : html`<h2 class="as-h1">Messages</h2>`}
        ${may(me, "send") && html`<a class="button primary" href="#/messages/new">New text</a>`}
      </div>
      ${!may(me, "inbox") && html`<p class="note small-text">Received texts are not shown: this token lacks the scope <code>inbox</code>.</p>`}
      ${
        threads.length > 6 &&
        html`<div class="field"><label class="unseen" for="find">Find a thread</label><input id="find" type="search"
          placeholder="Name or number" value=${wanted} onInput=${(event) => setWanted(event.currentTarget.value)} /></div>`
      }
      ${!known && html`<${Loading} what="the texts" />`}
      ${
        known &&
        threads.length === 0 &&
        html`<${Empty} title="No text yet.">${may(me, "send") ? html`<p>Send the first one with “New text”. What comes in appears here by itself.</p>` : html`<p>What comes in appears here by itself.</p>`}<//>`
      }
      ${word && shown.length === 0 && html`<p class="quiet">No thread has “${wanted}”.</p>`}
      <ul class="thread-list">
        ${shown.map(
          (entry) => html`
            <li key=${entry.number}>
              <a href="#/messages/${encodeURIComponent(entry.number)}"
                aria-current=${entry.number === chosen ? "true" : undefined}>
                <span class="who">${nameOf(contacts, entry.number)}</span>
                <time class="quiet small-text" datetime=${entry.at}>${when(entry.at)}</time>
                <span class="snippet">${entry.out && html`<span class="quiet">You: </span>`}${content(entry)}</span>
                ${entry.out && !["delivered", "cancelled"].includes(entry.state) && html`<${Pill} ...${messageWords(entry)} />`}
              </a>
            </li>`,
        )}
      </ul>
      ${
        (older.messages || older.inbox) &&
        html`<button type="button" disabled=${task.busy}
        onClick=${() => task.run(loadOlder)}>Look further back</button>`
      }
      <${ErrorNote} error=${task.error} />
    </section>`;
}

/** @returns {string} a text in one line, or what it is instead */
function content(entry) {
  if (entry.text !== undefined) return entry.text || "(an empty text)";
  if (entry.undecodable) return "(cannot be read)";
  return entry.data === undefined ? "…" : `(data, ${count(atob(entry.data).length, "octet")})`;
}

function NewMessage({ me }) {
  return html`
    <section class="thread new" aria-label="New text">
      <${Heading} back=${{ href: "#/messages", label: "← Messages" }}>New text<//>
      ${
        may(me, "send")
          ? html`<${Composer} recipient=${null}
            onSent=${(messages) => (location.hash = messages.length === 1 ? `#/messages/${encodeURIComponent(messages[0].to)}` : "#/messages")} />`
          : html`<${NeedsScope} scopes=${["send"]} what="send texts" />`
      }
    </section>`;
}

function Thread({ number, me }) {
  const all = useEntries();
  const contacts = useStore(hub, (now) => now.contacts);
  const known = useStore(hub, (now) => now.textsKnown);
  const mine = useMemo(() => all.filter((entry) => entry.number === number), [all, number]);
  const task = useTask();
  const log = useRef(null);
  const name = nameOf(contacts, number);
  useEffect(() => void task.run(() => loadTexts(number)), [number]);
  useBottom(log, mine);
  const days = new Map();
  for (const entry of mine) {
    const named = day(entry.at);
    if (!days.has(named)) days.set(named, []);
    days.get(named).push(entry);
  }
  return html`
    <section class="thread" aria-label="Thread with ${name}">
      <${Heading} back=${{ href: "#/messages", label: "← Messages" }}>${name}<//>
      ${name !== number && html`<p class="quiet thread-number">${number}</p>`}
      <${ErrorNote} error=${task.error?.code === "unreachable" ? null : task.error} />
      <div class="log" role="log" aria-label="Texts" tabindex="0" ref=${log}>
        ${!known && html`<${Loading} what="the texts" />`}
        ${known && mine.length === 0 && !task.busy && html`<${Empty} title="No text to or from ${number} yet." />`}
        ${[...days].map(
          ([named, list]) => html`
            <h2 class="day" key=${named}>${named}</h2>
            <ol>${list.map((entry) => html`<${Text} key=${entry.id} entry=${entry} me=${me} />`)}</ol>`,
        )}
      </div>
      ${
        !may(me, "send")
          ? html`<p class="note">To answer, this token would need the scope <code>send</code>.</p>`
          : NUMBER.test(number)
            ? html`<${Composer} recipient=${number} onSent=${() => {}} />`
            : html`<p class="note">This sender has a name instead of a number: it cannot be answered.</p>`
      }
    </section>`;
}

function Text({ entry, me }) {
  const [asked, setAsked] = useState(false);
  const key = useRef(newKey());
  const task = useTask();
  const path = `/messages/${encodeURIComponent(entry.id)}`;
  const cancel = () => task.run(async () => learn([await call("DELETE", path)]));
  const again = async () => {
    learn(await sendTo(entry.to, { text: entry.text }, key.current));
    key.current = newKey();
  };
  if (!entry.out) {
    return html`
      <li class="text in">
        <p class="bubble">${content(entry)}</p>
        ${entry.undecodable && html`<p class="note warn small-text">The hub could not read this text: ${entry.undecodable.detail}. It is kept as it came.</p>`}
        ${!entry.complete && html`<p class="note warn small-text">Incomplete: ${entry.missing?.length ? `segment ${entry.missing.join(", ")} of ${entry.segments} has not come` : "a part has not come"}. It is shown as soon as it does.</p>`}
        <p class="meta"><span class="unseen">Received </span><time datetime=${entry.at}
          title=${fullTime(entry.at)}>${when(entry.at)}</time></p>
      </li>`;
  }
  const state = messageWords(entry);
  const segments = Array.isArray(entry.segments) ? entry.segments.length : entry.segments;
  return html`
    <li class="text out">
      <p class="bubble">${content(entry)}</p>
      <details class="about">
        <summary>
          <time datetime=${entry.at} title=${fullTime(entry.at)}>${when(entry.at)}</time>
          ${segments > 1 && html`<span>${count(segments, "segment")}</span>`}
          <${Pill} tone=${state.tone} label=${state.label} title=${state.text} />
          <span class="unseen">Details</span>
        </summary>
        <dl class="facts">
          <div><dt>State</dt><dd>${state.text}</dd></div>
          <div><dt>Changed</dt><dd>${fullTime(entry.updated_at)}</dd></div>
          <div><dt>Encoding</dt><dd>${encodingWords(entry.encoding)}, ${count(segments, "segment")}</dd></div>
          <div><dt>Attempts</dt><dd>${entry.attempts}</dd></div>
          <div><dt>Sent by</dt><dd class="breakable">${entry.client}</dd></div>
          <div><dt>By SIM</dt><dd class="breakable">${entry.sim ?? "none yet"}</dd></div>
          <div><dt>Id</dt><dd class="breakable">${entry.id}</dd></div>
          ${entry.reason && html`<div><dt>Code</dt><dd>${entry.reason.code}</dd></div>`}
        </dl>
      </details>
      ${
        (state.tone === "bad" || state.tone === "warn" || (entry.reason && !entry.final)) &&
        html`<p class="why small-text">${entry.reason ? `${state.tone === "busy" ? "" : `${state.text} `}${sentence(entry.reason.text)}` : state.text}</p>`
      }
      ${entry.maybe_duplicate && html`<p class="why small-text">It was sent again after a doubt: it may have arrived twice.</p>`}
      ${
        may(me, "send") &&
        html`
        ${
          entry.state === "queued" &&
          html`<div class="actions end"><button type="button" class="small"
          disabled=${task.busy} onClick=${cancel}>Cancel</button></div>`
        }
        ${
          SEND_AGAIN.has(entry.state) &&
          entry.text !== undefined &&
          html`<div class="actions end"><button type="button" class="small" disabled=${task.busy}
            onClick=${() => (entry.state === "in_doubt" ? setAsked(true) : task.run(again))}>Send again</button></div>`
        }`
      }
      <${ErrorNote} error=${task.error} />
      ${
        asked &&
        html`<${Confirm} title="Send it again?" action="Send again" onConfirm=${again} onClose=${() => setAsked(false)}>
        <p>Nobody can know whether the first one was sent. If it was, ${entry.to} gets this text twice.</p>
      <//>`
      }
    </li>`;
}
