/** Set-up help: the exact lines for this hub, to paste elsewhere. */

import { hub, may } from "../hub.js";
import { Heading, Line } from "../parts/basic.js";
import { QrCode } from "../parts/qr.js";
import { token } from "../session.js";
import { useStore } from "../store.js";
import { html, useState } from "../ui.js";

/** A number of a range that nobody has (Ofcom's, for drama). */
const SOMEBODY = "+447700900123";

const LOOPBACK = new Set(["127.0.0.1", "localhost", "::1", "[::1]"]);

/** One word of a POSIX shell. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Where the broker is as seen from elsewhere, or null where the hub has none. */
function broker(status) {
  if (!status?.mqtt?.url) return null;
  const url = new URL(status.mqtt.url.replace(/^mqtt/, "http"));
  const tls = status.mqtt.url.startsWith("mqtts");
  const local = LOOPBACK.has(url.hostname);
  return {
    host: local ? location.hostname : url.hostname,
    port: url.port || (tls ? "8883" : "1883"),
    tls,
    local,
    user: decodeURIComponent(url.username),
    topic: status.mqtt.base_topic,
    discovers: status.mqtt.discovery_prefix !== null,
  };
}

export function Help() {
  const me = useStore(hub, (now) => now.me);
  const status = useStore(hub, (now) => now.status);
  const contacts = useStore(hub, (now) => now.contacts);
  const [own, setOwn] = useState(false);
  const bearer = own ? token() : "TOKEN";
  const to = contacts.find((contact) => !contact.group)?.numbers[0] ?? SOMEBODY;
  const command = JSON.stringify({ to, text: "Hello" });
  const api = `${location.origin}/api/v1`;
  const authorised = `-H ${quoted(`Authorization: Bearer ${bearer}`)}`;
  const address = broker(status);
  const mqtt =
    address &&
    [
      "-h",
      address.host,
      "-p",
      address.port,
      ...(address.user ? ["-u", address.user, "-P", "PASSWORD"] : []),
      ...(address.tls ? ["--tls-use-os-certs"] : []),
    ]
      .map(quoted)
      .join(" ");
  const fingerprint = status?.tls?.fingerprint;
  return html`
    <${Heading}>Set-up<//>
    <p>Lines for this hub, ready to be pasted. <code>TOKEN</code> stands for a token; give each program one of its own${may(me, "admin") ? html`, made on the page <a href="#/tokens">Tokens</a>` : ""}.</p>
    <label class="tick"><input type="checkbox" checked=${own}
      onChange=${(event) => setOwn(event.currentTarget.checked)} /> <span>Put my own token into the lines <span class="quiet">(it becomes readable on this screen)</span></span></label>

    <section class="panel qr-panel" aria-labelledby="phone">
      <div>
        <h2 id="phone">On a phone</h2>
        <p>Point its camera here to open this console; it asks for a token then. The phone has to be in the same network.</p>
        <p class="breakable"><code>${location.origin}/</code></p>
        ${LOOPBACK.has(location.hostname) && html`<p class="note warn small-text">This page was opened as ${location.hostname}, which a phone takes for itself. Open it by the hub's address in your network first.</p>`}
        ${fingerprint && html`<p class="small-text quiet">The hub made its certificate itself: a browser warns once. Compare its SHA-256 fingerprint:<br /><code class="breakable">${fingerprint}</code></p>`}
      </div>
      <${QrCode} text="${location.origin}/" label="QR code of this console's address" />
    </section>

    <section class="panel" aria-labelledby="curl">
      <h2 id="curl">Shell and HTTP</h2>
      <p>Send a text, and wait up to 30 seconds for what becomes of it:</p>
      <${Line} what="curl line that sends"
        text=${`curl -sS ${authorised} -H 'Content-Type: application/json' -d ${quoted(command)} ${quoted(`${api}/messages?wait=30`)}`} />
      <p>Read what came in, or follow all that happens:</p>
      <${Line} what="curl line that reads the inbox" text=${`curl -sS ${authorised} ${quoted(`${api}/inbox`)}`} />
      <${Line} what="curl line that follows events" text=${`curl -sSN ${authorised} ${quoted(`${api}/events`)}`} />
      <p>At the hub itself, without a token of your own:</p>
      <${Line} what="command line at the hub" text=${`modemhub send ${quoted(to)} Hello`} />
      <p class="quiet small-text">All routes: <a href="/docs">/docs</a>, machine-readable: <a href="/openapi.json">/openapi.json</a>. The browser asks for a name and password there: any name, and the token as password.</p>
    </section>

    <section class="panel" aria-labelledby="mqtt">
      <h2 id="mqtt">MQTT</h2>
      ${!may(me, "status") && html`<p class="note">The broker's address is known to tokens with the scope <code>status</code>.</p>`}
      ${
        may(me, "status") &&
        !address &&
        html`
        <p>This hub has no MQTT broker set. Name one in <code>modemhub.toml</code> and restart the hub:</p>
        <${Line} what="settings for MQTT" text=${'[mqtt]\nurl = "mqtt://BROKER:1883"'} />`
      }
      ${
        address &&
        html`
        ${address.local && html`<p class="quiet small-text">The broker runs on the hub itself${LOOPBACK.has(address.host) ? "; from another device, put the hub's address instead" : ""}.</p>`}
        <p>Send a text, with JSON or, from a device that can only publish a string, with the number in the topic:</p>
        <${Line} what="mosquitto_pub line with JSON"
          text=${`mosquitto_pub ${mqtt} -q 1 -t ${quoted(`${address.topic}/send`)} -m ${quoted(command)}`} />
        <${Line} what="mosquitto_pub line with a plain string"
          text=${`mosquitto_pub ${mqtt} -q 1 -t ${quoted(`${address.topic}/send/${to.replace("+", "")}`)} -m Hello`} />
        <p>Follow received texts and what becomes of sent ones:</p>
        <${Line} what="mosquitto_sub line"
          text=${`mosquitto_sub ${mqtt} -v -t ${quoted(`${address.topic}/received`)} -t ${quoted(`${address.topic}/message/+`)}`} />`
      }
    </section>

    <section class="panel" aria-labelledby="ha">
      <h2 id="ha">Home Assistant</h2>
      ${address && !address.discovers && html`<p class="note warn">Discovery is switched off on this hub: set <code>discovery = true</code> under <code>[homeassistant]</code>, or nothing will appear by itself.</p>`}
      <ol class="steps">
        <li>Add the integration <strong>MQTT</strong> in Home Assistant, with the same broker${address ? html` (<code>${address.host}</code>, port <code>${address.port}</code>)` : ""}. Hub, modems and contacts appear by themselves.</li>
        <li>A contact in the hub's settings becomes a notify entity:
          <${Line} what="settings for a contact" text=${`[contacts]\nanna = "${to}"`} /></li>
        <li>Send to it from an automation (choose the entity that is named after your contact):
          <${Line} what="Home Assistant action"
            text=${"action: notify.send_message\ntarget:\n  entity_id: notify.CONTACT\ndata:\n  message: Hello"} /></li>
        <li>Send to any number:
          <${Line} what="Home Assistant action for any number"
            text=${`action: mqtt.publish\ndata:\n  topic: ${address?.topic ?? "modemhub"}/send\n  qos: 1\n  payload: '${command}'`} /></li>
        <li>
          <p>Two blueprints come with modemhub, in its folder <code>appliance/mqtt/examples/homeassistant</code>. Copy them into Home Assistant's configuration:</p>
          <p><code>on_text.yaml</code>, an automation for each text that comes, to <code>blueprints/automation/modemhub/</code>;</p>
          <p><code>send_text.yaml</code>, a script with number and text, to <code>blueprints/script/modemhub/</code>.</p>
        </li>
      </ol>
    </section>

    <section class="panel" aria-labelledby="nodered">
      <h2 id="nodered">Node-RED</h2>
      <ol class="steps">
        <li>Menu → Import → select a file: <code>modemhub-flow.json</code> from modemhub's folder <code>appliance/mqtt/examples/node-red</code>.</li>
        <li>Open one of its MQTT nodes, and with the pencil its broker${address ? html`: server <code>${address.host}</code>, port <code>${address.port}</code>` : ""}.</li>
        <li>Or build it yourself: an <em>inject</em> node with this JSON, wired to an <em>mqtt out</em> node with the topic <code>${address?.topic ?? "modemhub"}/send</code>:
          <${Line} what="payload for Node-RED" text=${command} /></li>
      </ol>
    </section>`;
}
