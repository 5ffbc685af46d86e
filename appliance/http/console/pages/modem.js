/** One modem: its signal over the day, what was done to bring it back, what it stores, who it is, USSD, restart. */

import { call } from "../api.js";
import { hub, may } from "../hub.js";
import {
  Confirm,
  Empty,
  ErrorNote,
  Field,
  Heading,
  Loading,
  NeedsScope,
  Pill,
  useRead,
  useTask,
} from "../parts/basic.js";
import { Bars, SignalPlot, signalSentence, SignalTable, useSignal } from "../parts/signal.js";
import { useStore } from "../store.js";
import { html, useRef, useState } from "../ui.js";
import {
  dbm,
  duration,
  fullTime,
  modemName,
  modemWords,
  outcomeWords,
  registrationWords,
  sentence,
  when,
} from "../words.js";

const BACK = { href: "#/overview", label: "← Overview" };

export function Modem({ imei }) {
  const me = useStore(hub, (now) => now.me);
  const modem = useStore(hub, (now) => now.modems[imei]);
  const known = useStore(hub, (now) => now.modemsKnown);
  if (!may(me, "status"))
    return html`<${Heading} back=${BACK}>Modem<//><${NeedsScope} scopes=${["status"]} what="see how the modems are" />`;
  if (!modem) {
    return html`
      <${Heading} back=${BACK}>Modem<//>
      ${
        known
          ? html`<${Empty} title="There is no modem with the IMEI ${imei}."><p>It has not been seen since the hub was started. Those that were are on the <a href="#/overview">overview</a>.</p><//>`
          : html`<${Loading} what="the modem" />`
      }`;
  }
  return html`
    <${Heading} back=${BACK}>${modemName(modem)}<//>
    <${State} modem=${modem} />
    <div class="columns">
      <div>
        <${Signal} modem=${modem} />
        <${Ussd} modem=${modem} allowed=${may(me, "control")} />
        <${Recoveries} modem=${modem} />
      </div>
      <div>
        <${Identity} modem=${modem} />
        <${Storage} modem=${modem} />
        <${Control} modem=${modem} allowed=${may(me, "control")} />
      </div>
    </div>`;
}

/** What is wrong with it and what is done about it, as the hub says it; where it says nothing, what the state means. */
function State({ modem }) {
  const problems = useStore(hub, (now) => now.status?.problems);
  const mine = (problems ?? []).filter((problem) => problem.subject === modem.imei);
  const { label, tone, text } = modemWords(modem);
  return html`
    <div class="modem-state" role="status">
      <${Pill} tone=${tone} label=${label} />
      ${mine.length === 0 && html`<p>${text}</p>`}
      ${mine.map((problem) => html`<p key=${problem.code}><strong>${sentence(problem.text)}</strong> ${sentence(problem.doing)}</p>`)}
    </div>`;
}

function Signal({ modem }) {
  const samples = useSignal(modem.imei, modem.signal_dbm);
  return html`
    <section class="panel" aria-labelledby="signal">
      <h2 id="signal">Signal</h2>
      <p class="signal-now"><${Bars} value=${modem.signal_dbm} /><span class="figure">${dbm(modem.signal_dbm)}</span></p>
      ${!samples && html`<${Loading} what="the signal" />`}
      ${
        samples &&
        html`
        <figure>
          <${SignalPlot} samples=${samples} />
          <figcaption class="quiet">${signalSentence(samples)} One sample a minute, for up to 24 hours; kept until the hub restarts.</figcaption>
        </figure>
        ${samples.length > 0 && html`<${SignalTable} samples=${samples} />`}`
      }
    </section>`;
}

const USSD_WORDS = {
  answer_expected: "The network waits for your answer.",
  done: "The network has nothing to add.",
  ended: "The dialogue has ended.",
  busy: "The network is busy with another dialogue; try again in a moment.",
  not_supported: "The network does not know this code.",
  timed_out: "The network did not answer in time; try again.",
};

function Ussd({ modem, allowed }) {
  const [turns, setTurns] = useState([]);
  const [text, setText] = useState("");
  const task = useTask();
  const input = useRef(null);
  const open = turns.at(-1)?.status === "answer_expected";
  const ask = async (asked) => {
    const answer = await task.run(() => call("POST", `/modems/${modem.imei}/ussd`, { body: { text: asked } }));
    if (!answer) return;
    setTurns((now) => [...now, { asked, text: answer.text, status: answer.status }]);
    setText("");
    input.current?.focus();
  };
  return html`
    <section class="panel" aria-labelledby="ussd">
      <h2 id="ussd">USSD</h2>
      <p class="quiet">Short codes that the network answers at once, such as the balance of a prepaid SIM (often <code>*100#</code>).</p>
      ${!allowed && html`<p class="note">This token may not: USSD needs the scope <code>control</code>.</p>`}
      ${
        allowed &&
        html`
        <div role="log" aria-label="USSD dialogue"><ol class="dialogue">
          ${turns.map(
            (turn, n) => html`
              <li key=${n}>
                <p class="asked"><span class="unseen">You: </span>${turn.asked ?? "(ended)"}</p>
                ${turn.text && html`<p class="answered"><span class="unseen">Network: </span>${turn.text}</p>`}
                <p class="quiet small-text">${USSD_WORDS[turn.status] ?? turn.status}</p>
              </li>`,
          )}
        </ol></div>
        <form class="inline-form" onSubmit=${(event) => (event.preventDefault(), ask(text.trim()))}>
          <${Field} id="ussd-text" label=${open ? "Your answer" : "Code"}>
            <input id="ussd-text" ref=${input} required maxlength="182" autocomplete="off" spellcheck=${false} value=${text}
              onInput=${(event) => setText(event.currentTarget.value)} />
          <//>
          <button class="primary" disabled=${task.busy}>${task.busy ? "Asking …" : open ? "Answer" : "Ask"}</button>
          ${open && html`<button type="button" disabled=${task.busy} onClick=${() => ask(null)}>End</button>`}
        </form>
        <${ErrorNote} error=${task.error} />`
      }
    </section>`;
}

function Recoveries({ modem }) {
  const [older, setOlder] = useState([]);
  const [next, setNext] = useState(undefined);
  const page = (before) => call("GET", `/modems/${modem.imei}/recoveries?limit=20${before ? `&before=${before}` : ""}`);
  const { value, error } = useRead(() => page(null), [modem.imei, modem.state, modem.recovery]);
  const task = useTask();
  const newest = value?.recoveries ?? [];
  const list = [...newest, ...older.filter((step) => step.seq < newest.at(-1).seq)];
  const before = next === undefined ? (value?.next ?? null) : next;
  const more = () =>
    task.run(async () => {
      const found = await page(before);
      setOlder((now) => [...now, ...found.recoveries]);
      setNext(found.next);
    });
  return html`
    <section class="panel" aria-labelledby="recoveries">
      <h2 id="recoveries">Recovery</h2>
      <${ErrorNote} error=${error} />
      ${value && list.length === 0 && html`<${Empty} title="Nothing was ever done to bring it back."><p>When the modem falls silent, each step that the hub takes is listed here with its outcome.</p><//>`}
      ${
        list.length > 0 &&
        html`
        <ol class="taken" aria-label="Steps taken, newest first">
          ${list.map(
            (step) => html`
              <li key=${step.seq}>
                <time class="quiet small-text" datetime=${step.at} title=${fullTime(step.at)}>${when(step.at)}</time>
                <p><strong>${step.name}</strong> <${Pill} tone=${step.outcome === "helped" ? "good" : step.outcome === "begun" ? "busy" : "warn"}
                  label=${outcomeWords(step.outcome)} /></p>
                <p class="quiet small-text">because ${step.reason}${step.seconds !== null && `; ${duration(step.seconds)}`}${step.detail && `; ${step.detail}`}</p>
              </li>`,
          )}
        </ol>`
      }
      ${before && html`<button type="button" disabled=${task.busy} onClick=${more}>Show older</button>`}
      <${ErrorNote} error=${task.error} />
    </section>`;
}

function Identity({ modem }) {
  const rows = [
    ["Network", registrationWords(modem.registration)],
    ["Operator", modem.operator],
    ["Technology", modem.technology],
    ["Number", modem.number],
    ["SIM", modem.iccid],
    ["IMSI", modem.sim],
    ["IMEI", modem.imei],
    ["Firmware", modem.revision],
    ["Profile", modem.profile],
    ["Port", modem.port],
    ["Place", modem.place === modem.port ? null : modem.place],
    ["Waiting", `${modem.queue} ${modem.queue === 1 ? "segment" : "segments"}`],
  ];
  return html`
    <section class="panel" aria-labelledby="identity">
      <h2 id="identity">Who it is</h2>
      <dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="breakable">${value}</dd></div>`)}</dl>
    </section>`;
}

const STORE = { SM: "on the SIM", ME: "in the modem", MT: "SIM and modem", SR: "delivery reports" };

function Storage({ modem }) {
  const stores = Object.entries(modem.storage);
  return html`
    <section class="panel" aria-labelledby="storage">
      <h2 id="storage">Storage</h2>
      ${stores.length === 0 && html`<p class="quiet">The modem has not told what it stores.</p>`}
      ${stores.map(
        ([store, { used, total }]) => html`
          <div class="storage" key=${store}>
            <label for="store-${store}">${store} <span class="quiet">${STORE[store] ?? ""}</span></label>
            <meter id="store-${store}" min="0" max=${total} high=${total * 0.8} optimum="0"
              value=${used}>${used} of ${total}</meter>
            <span>${used} of ${total} used</span>
          </div>`,
      )}
      ${modem.storage_full.length > 0 && html`<p class="note warn">${modem.storage_full.join(" and ")} is full: the network holds back new texts until the hub has emptied it.</p>`}
      ${modem.unreadable.length > 0 && html`<p class="note warn">Places ${modem.unreadable.join(", ")} hold something that the modem cannot read out; they are left alone.</p>`}
      <p class="quiet small-text">A text is deleted from the modem as soon as the hub holds it safely.</p>
    </section>`;
}

function Control({ modem, allowed }) {
  const [asked, setAsked] = useState(null);
  const [done, setDone] = useState("");
  const doing = (path, words) => async () => {
    const answer = await call("POST", `/modems/${modem.imei}/${path}`);
    setDone(answer.done ? `${words}: ${answer.done}.` : `${words}.`);
  };
  return html`
    <section class="panel" aria-labelledby="control">
      <h2 id="control">Restart</h2>
      ${!allowed && html`<p class="note">This token may not: it needs the scope <code>control</code>.</p>`}
      ${
        allowed &&
        html`
        <p class="quiet">The hub does this by itself when it has to. Queued texts wait meanwhile and are not lost.</p>
        <div class="actions">
          <button type="button" onClick=${() => setAsked("restart")}>Restart</button>
          <button type="button" onClick=${() => setAsked("power_cycle")}>Power cycle</button>
        </div>
        <p role="status" class="small-text">${done}</p>`
      }
      ${
        asked === "restart" &&
        html`
        <${Confirm} title="Restart this modem?" action="Restart"
          onConfirm=${doing("restart", "The modem was told to restart")} onClose=${() => setAsked(null)}>
          <p>It restarts by its own command and is back within about half a minute. Until then it neither sends nor receives; the network keeps what comes in.</p>
        <//>`
      }
      ${
        asked === "power_cycle" &&
        html`
        <${Confirm} title="Switch this modem off and on?" action="Power cycle" danger=${true}
          onConfirm=${doing("power_cycle", "It was switched off and on")} onClose=${() => setAsked(null)}>
          <p>The hub takes the strongest means that this modem has: its supply, its USB port or its reset line. It is back within about a minute.</p>
        <//>`
      }
    </section>`;
}
