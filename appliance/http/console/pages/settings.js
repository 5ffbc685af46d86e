/** What this hub is set to, and where each value comes from. It is changed in files, not here. */

import { call } from "../api.js";
import { hub, may } from "../hub.js";
import { ErrorNote, Heading, Loading, NeedsScope, useRead } from "../parts/basic.js";
import { useStore } from "../store.js";
import { html, useState } from "../ui.js";

const SOURCE = { default: "default", file: "settings file", environment: "environment", secrets: "secrets directory" };

export function Settings() {
  const me = useStore(hub, (now) => now.me);
  return html`
    <${Heading}>Settings<//>
    ${may(me, "admin") ? html`<${Table} />` : html`<${NeedsScope} scopes=${["admin"]} what="see the settings" />`}`;
}

function Table() {
  const { value, error } = useRead(() => call("GET", "/settings"), []);
  const [word, setWord] = useState("");
  const [set, setSet] = useState(false);
  if (error) return html`<${ErrorNote} error=${error} />`;
  if (!value) return html`<${Loading} what="the settings" />`;
  const wanted = word.trim().toLowerCase();
  const rows = value.settings.filter(
    (row) =>
      (!set || row.source !== "default") &&
      (!wanted || `${row.key} ${row.description ?? ""} ${written(row.value)}`.toLowerCase().includes(wanted)),
  );
  const sections = new Map();
  for (const row of rows) {
    const [section, ...rest] = row.key.split(".");
    if (!sections.has(section)) sections.set(section, []);
    sections.get(section).push({ ...row, name: rest.join(".") || "all" });
  }
  return html`
    <p>They are changed in <code>modemhub.toml</code>, the environment (<code>MODEMHUB_SECTION__KEY</code>) or the secrets directory, and hold from the next start of the hub. <code>modemhub config check</code> says whether they are right.</p>
    <div class="toolbar">
      <div class="field inline"><label class="unseen" for="setting">Filter</label><input id="setting" type="search"
        placeholder="Filter settings" value=${word} onInput=${(event) => setWord(event.currentTarget.value)} /></div>
      <label class="tick"><input type="checkbox" checked=${set}
        onChange=${(event) => setSet(event.currentTarget.checked)} /> Only what was set</label>
    </div>
    ${rows.length === 0 && html`<p class="quiet" role="status">No setting fits.</p>`}
    ${[...sections].map(
      ([section, list]) => html`
        <section class="panel settings" key=${section} aria-labelledby="s-${section}">
          <h2 id="s-${section}"><code>[${section}]</code></h2>
          <dl>
            ${list.map(
              (row) => html`
                <div key=${row.key} class=${row.source}>
                  <dt><code>${row.name}</code></dt>
                  <dd>
                    <code class="breakable value">${written(row.value)}</code>
                    <span class="source">${SOURCE[row.source] ?? row.source}</span>${row.secret && row.value !== null && html` <span class="source">secret, hidden</span>`}
                    ${row.description && html`<p class="quiet small-text">${marked(row.description)}</p>`}
                  </dd>
                </div>`,
            )}
          </dl>
        </section>`,
    )}`;
}

/** As it would stand in the file, or nearly; a long one on several lines. */
function written(value) {
  if (value === null) return "not set";
  if (typeof value === "string") return value;
  const given = (_, inner) => inner ?? undefined;
  const line = JSON.stringify(value, given);
  return line.length > 60 ? JSON.stringify(value, given, 2) : line;
}

/** Words in backquotes are code. */
function marked(text) {
  return text.split("`").map((part, n) => (n % 2 === 1 ? html`<code>${part}</code>` : part));
}
