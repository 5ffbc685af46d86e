/** How everything is: what is wrong and what is done about it, the queue, each modem on a card. */

import { hub, may } from "../hub.js";
import { Empty, Heading, Loading, NeedsScope, Pill } from "../parts/basic.js";
import { Bars, SignalPlot, signalSentence, useSignal } from "../parts/signal.js";
import { useStore } from "../store.js";
import { html } from "../ui.js";
import { count, dbm, modemName, modemWords, registrationWords, rounded, sentence, size } from "../words.js";

export function Overview() {
  const me = useStore(hub, (now) => now.me);
  if (!may(me, "status")) {
    return html`
      <${Heading}>Overview<//>
      <${NeedsScope} scopes=${["status"]} what="see how the modems are" />
      ${may(me, "send", "inbox") && html`<p>What it may do is on the page <a href="#/messages">Messages</a>.</p>`}`;
  }
  return html`
    <${Heading}>Overview<//>
    <${Health} />
    <${Numbers} />
    <${Modems} />
    <${Doors} />`;
}

function Health() {
  const status = useStore(hub, (now) => now.status);
  if (!status) return html`<${Loading} what="how the hub is" />`;
  const { problems } = status;
  return html`
    <section class="health ${problems.length > 0 ? "bad" : "good"}" aria-labelledby="health" aria-live="polite">
      <h2 id="health">${problems.length === 0 ? "All is well." : problems.length === 1 ? "One thing is wrong." : `${problems.length} things are wrong.`}</h2>
      ${
        problems.length > 0 &&
        html`<ul class="problems">
        ${problems.map(
          (problem) => html`
            <li key="${problem.code} ${problem.subject}">
              <p class="problem">${sentence(problem.text)}</p>
              ${problem.doing && html`<p class="doing">${sentence(problem.doing)}</p>`}
            </li>`,
        )}
      </ul>`
      }
    </section>`;
}

function Numbers() {
  const status = useStore(hub, (now) => now.status);
  if (!status) return null;
  const { counters, modems, queue, store } = status;
  const [running, unit] = rounded(status.uptime_seconds);
  return html`
    <dl class="numbers" aria-label="Figures of this hub">
      <div><dt>Modems ready</dt><dd>${modems.ready}<span class="of">of ${modems.known}</span></dd></div>
      <div><dt>In the queue</dt><dd>${queue}<span class="of">${queue === 1 ? "segment" : "segments"}</span></dd></div>
      ${
        counters &&
        html`
        <div><dt>Received</dt><dd>${counters.received}<span class="of">since start</span></dd></div>
        <div><dt>Delivered</dt><dd>${counters.delivered}<span class="of">since start</span></dd></div>`
      }
      <div><dt>Free disk</dt><dd>${size(store.free_bytes)}<span class="of">${store.full ? "full: nothing new is accepted" : `database ${size(store.bytes)}`}</span></dd></div>
      <div><dt>Running for</dt><dd>${running}<span class="of">${running === 1 ? unit : `${unit}s`}</span></dd></div>
    </dl>`;
}

function Modems() {
  const modems = useStore(hub, (now) => now.modems);
  const known = useStore(hub, (now) => now.modemsKnown);
  const list = Object.values(modems).sort((a, b) => (a.imei < b.imei ? -1 : 1));
  return html`
    <section aria-labelledby="modems">
      <h2 id="modems">Modems</h2>
      ${!known && html`<${Loading} what="the modems" />`}
      ${
        known &&
        list.length === 0 &&
        html`
        <${Empty} title="No modem has been seen yet.">
          <p>Above stands how one is added. To see what is plugged in, and what each port answers, run this at the hub:</p>
          <pre class="line"><code>modemhub doctor</code></pre>
        <//>`
      }
      <ul class="cards">${list.map((modem) => html`<${Card} key=${modem.imei} modem=${modem} />`)}</ul>
    </section>`;
}

function Card({ modem }) {
  const { label, tone, text } = modemWords(modem);
  const samples = useSignal(modem.imei, modem.signal_dbm);
  const here = modem.state === "ready" || modem.state === "searching";
  return html`
    <li class="card modem ${tone}">
      <h3><a href="#/modems/${modem.imei}">${modemName(modem)}</a></h3>
      <div class="card-head">
        <${Pill} tone=${tone} label=${label} />
        ${here && html`<span class="signal-now"><${Bars} value=${modem.signal_dbm} /><span class="figure">${dbm(modem.signal_dbm)}</span></span>`}
      </div>
      <p class="quiet small-text">${[modem.number, modem.operator, modem.technology].filter(Boolean).join(" · ") || `IMEI ${modem.imei}`}</p>
      ${!here && html`<p class="card-text">${text}</p>`}
      ${modem.recovery && html`<p class="card-text"><strong>Now:</strong> ${modem.recovery}.</p>`}
      ${modem.last_error && modem.state !== "ready" && html`<p class="quiet small-text">Last error: ${modem.last_error}</p>`}
      ${modem.storage_full.length > 0 && html`<p class="card-text">The storage ${modem.storage_full.join(" and ")} is full: the network holds back new texts.</p>`}
      ${modem.unreadable.length > 0 && html`<p class="card-text">${count(modem.unreadable.length, "stored text")} cannot be read and is left alone.</p>`}
      <figure class="card-signal">
        ${samples && samples.length > 0 && html`<${SignalPlot} samples=${samples} small=${true} />`}
        <figcaption class="quiet small-text">${samples ? signalSentence(samples) : "Reading the signal …"}</figcaption>
      </figure>
      <dl class="facts">
        <div><dt>Network</dt><dd>${registrationWords(here ? modem.registration : null)}</dd></div>
        <div><dt>Waiting</dt><dd>${count(modem.queue, "segment")}</dd></div>
      </dl>
    </li>`;
}

/** Whom the hub tells beside this page. */
function Doors() {
  const status = useStore(hub, (now) => now.status);
  if (!status || (!status.mqtt && status.webhooks.length === 0)) return null;
  const { mqtt, webhooks } = status;
  return html`
    <section class="panel" aria-labelledby="doors">
      <h2 id="doors">Connections</h2>
      <ul class="doors">
        ${
          mqtt &&
          html`<${Door} name="MQTT broker" where=${mqtt.url} well=${mqtt.connected}
          label=${mqtt.connected ? "Connected" : "No connection"} error=${mqtt.connected ? null : mqtt.last_error} />`
        }
        ${webhooks.map(
          ({ name, pending, last_error: error }) =>
            html`<${Door} key=${name} name="Webhook ${name}"
              where=${pending > 0 ? `${count(pending, "event")} to be told` : null} well=${error === null}
              label=${error === null ? "Told" : "Failing"} error=${error} />`,
        )}
      </ul>
    </section>`;
}

function Door({ name, where, well, label, error }) {
  return html`
    <li>
      <p><strong>${name}</strong> ${where && html`<span class="quiet breakable">${where}</span>`}</p>
      <${Pill} tone=${well ? "good" : "bad"} label=${label} />
      ${error && html`<p class="quiet small-text">${sentence(error)}</p>`}
    </li>`;
}
