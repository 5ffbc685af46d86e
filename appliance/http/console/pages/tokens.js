/** Who may use this hub: one token for each person and program, with what it may do and how much. */

import { call } from "../api.js";
import { hub, may } from "../hub.js";
import { Confirm, ErrorNote, Field, Heading, Loading, NeedsScope, NewToken, useRead, useTask } from "../parts/basic.js";
import { useStore } from "../store.js";
import { html, useState } from "../ui.js";
import { fullTime, when } from "../words.js";

const SCOPES = [
  ["send", "send texts and see its own"],
  ["inbox", "read received texts and calls"],
  ["status", "see modems, the queue and all sent texts"],
  ["control", "restart modems, USSD"],
  ["admin", "everything, tokens and settings too"],
];

export function Tokens() {
  const me = useStore(hub, (now) => now.me);
  return html`
    <${Heading}>Tokens<//>
    ${may(me, "admin") ? html`<${Manage} me=${me} />` : html`<${NeedsScope} scopes=${["admin"]} what="manage tokens" />`}`;
}

function Manage({ me }) {
  const { value, error, reload } = useRead(() => call("GET", "/tokens"), []);
  const [made, setMade] = useState(null);
  const [doomed, setDoomed] = useState(null);
  const revoke = async () => {
    await call("DELETE", `/tokens/${encodeURIComponent(doomed.name)}`);
    if (made?.name === doomed.name) setMade(null);
    reload();
  };
  return html`
    <p class="quiet">Give each person and each program a token of its own, with no more than it needs: then one can be revoked without the others.</p>
    ${made && html`<div role="status"><${NewToken} token=${made.token} name=${made.name} /></div>`}
    <${ErrorNote} error=${error} />
    ${!value && !error && html`<${Loading} what="the tokens" />`}
    ${
      value &&
      html`
      <section aria-labelledby="all-tokens">
        <h2 id="all-tokens">Tokens of this hub</h2>
        <ul class="token-list">
          ${value.tokens.map(
            (token) => html`
              <li key=${token.name}>
                <div>
                  <p class="token-name"><strong>${token.name}</strong>${token.name === me.name && html` <span class="source">this is you</span>`}</p>
                  <p>${token.scopes.map((scope) => html`<span class="scope" key=${scope}>${scope}</span> `)}</p>
                  <p class="quiet small-text">${[token.created_at && `created ${when(token.created_at)}`, token.per_minute && `${token.per_minute} texts a minute`, token.daily_cap && `${token.daily_cap} segments a day`].filter(Boolean).join(" · ")}</p>
                </div>
                <button type="button" aria-label="Revoke ${token.name}"
                  title=${token.created_at ? fullTime(token.created_at) : undefined}
                  onClick=${() => setDoomed(token)}>Revoke</button>
              </li>`,
          )}
        </ul>
      </section>`
    }
    <${Create} onMade=${(token) => (setMade(token), reload())} />
    ${
      doomed &&
      html`
      <${Confirm} title="Revoke “${doomed.name}”?" action="Revoke" danger=${true} onConfirm=${revoke}
        onClose=${() => setDoomed(null)}>
        <p>Whatever uses it is refused from now on${doomed.name === me.name ? ": that is this page itself; you will have to sign in with another token" : ""}. This cannot be taken back.</p>
      <//>`
    }`;
}

function Create({ onMade }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState(["send"]);
  const [perMinute, setPerMinute] = useState("");
  const [dailyCap, setDailyCap] = useState("");
  const task = useTask();
  const toggle = (scope) =>
    setScopes((now) => (now.includes(scope) ? now.filter((one) => one !== scope) : [...now, scope]));
  const submit = async (event) => {
    event.preventDefault();
    const body = {
      name: name.trim(),
      scopes,
      ...(perMinute ? { per_minute: Number(perMinute) } : {}),
      ...(dailyCap ? { daily_cap: Number(dailyCap) } : {}),
    };
    const token = await task.run(() => call("POST", "/tokens", { body }));
    if (!token) return;
    setName("");
    setPerMinute("");
    setDailyCap("");
    onMade(token);
    window.scrollTo(0, 0);
  };
  return html`
    <section class="panel" aria-labelledby="new-one">
      <h2 id="new-one">New token</h2>
      <form onSubmit=${submit}>
        <${Field} id="token-name" label="Name" hint="Who or what will use it, such as “home-assistant”.">
          <input id="token-name" required maxlength="64" autocomplete="off" spellcheck=${false}
            aria-describedby="token-name-hint" value=${name} onInput=${(event) => setName(event.currentTarget.value)} />
        <//>
        <fieldset class="scopes">
          <legend>It may</legend>
          ${SCOPES.map(
            ([scope, words]) =>
              html`<label class="tick" key=${scope}><input type="checkbox" checked=${scopes.includes(scope)}
                onChange=${() => toggle(scope)} /> <span><code>${scope}</code> <span class="quiet">${words}</span></span></label>`,
          )}
        </fieldset>
        <div class="pair">
          <${Field} id="per-minute" label="Texts a minute, at most" hint="Empty: the hub's own limit.">
            <input id="per-minute" type="number" min="1" inputmode="numeric" aria-describedby="per-minute-hint"
              value=${perMinute} onInput=${(event) => setPerMinute(event.currentTarget.value)} />
          <//>
          <${Field} id="daily-cap" label="Segments in 24 hours, at most" hint="Empty: the hub's own limit.">
            <input id="daily-cap" type="number" min="1" inputmode="numeric" aria-describedby="daily-cap-hint"
              value=${dailyCap} onInput=${(event) => setDailyCap(event.currentTarget.value)} />
          <//>
        </div>
        <${ErrorNote} error=${task.error} />
        <div class="actions"><button class="primary"
          disabled=${task.busy || scopes.length === 0}>${task.busy ? "One moment …" : "Create token"}</button>
          ${scopes.length === 0 && html`<span class="hint">Tick at least one.</span>`}</div>
      </form>
    </section>`;
}
