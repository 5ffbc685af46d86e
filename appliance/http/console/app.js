/** The console: which page stands behind the address, and the frame around it. */

import { hub, signOut, start } from "./hub.js";
import { Icon } from "./parts/icon.js";
import { ThemeSwitch } from "./parts/theme.js";
import { Claim } from "./pages/claim.js";
import { Events } from "./pages/events.js";
import { Help } from "./pages/help.js";
import { Messages } from "./pages/messages.js";
import { Modem } from "./pages/modem.js";
import { Overview } from "./pages/overview.js";
import { Settings } from "./pages/settings.js";
import { SignIn, Unreachable } from "./pages/signin.js";
import { Tokens } from "./pages/tokens.js";
import { useStore } from "./store.js";
import { html, render, useEffect, useState } from "./ui.js";

/** @type {{path: string, label: string, icon: string, page: any, more?: boolean}[]} `more`: behind “More” on a phone */
const PAGES = [
  { path: "overview", label: "Overview", icon: "overview", page: Overview },
  { path: "messages", label: "Messages", icon: "messages", page: Messages },
  { path: "events", label: "Events", icon: "events", page: Events },
  { path: "setup", label: "Set-up", icon: "setup", page: Help },
  { path: "tokens", label: "Tokens", icon: "tokens", page: Tokens, more: true },
  { path: "settings", label: "Settings", icon: "settings", page: Settings, more: true },
];

/** `#/messages/%2B4477…` → `["messages", "+4477…"]`; what is not known is the overview. */
function route() {
  const words = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  const known = words[0] === "modems" ? words.length > 1 : PAGES.some(({ path }) => path === words[0]);
  return known ? words : ["overview"];
}

function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

function useRoute() {
  const [words, setWords] = useState(route);
  useEffect(() => {
    const moved = () => setWords(route());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return words;
}

function Console() {
  const phase = useStore(hub, (now) => now.phase);
  useEffect(() => void start(), []);
  switch (phase) {
    case "ready":
      return html`<${Frame} />`;
    case "unclaimed":
      return html`<${Gate} title="Claim this hub"><${Claim} /><//>`;
    case "signed_out":
      return html`<${Gate} title="Sign in"><${SignIn} /><//>`;
    case "unreachable":
      return html`<${Gate} title="The hub does not answer"><${Unreachable} /><//>`;
    default:
      return html`<${Gate} title="One moment"><p class="quiet">Asking the hub …</p><//>`;
  }
}

/** What is seen before one is in. */
function Gate({ title, children }) {
  useEffect(() => void (document.title = `${title} · modemhub`), [title]);
  return html`
    <main class="gate">
      <p class="brand"><${Icon} name="brand" /> modemhub</p>
      <h1>${title}</h1>
      ${children}
      <footer class="gate-foot"><${ThemeSwitch} /></footer>
    </main>`;
}

function Frame() {
  const words = useRoute();
  const [more, setMore] = useState(false);
  const place = words[0] === "modems" ? "overview" : words[0];
  const { label, page } = PAGES.find(({ path }) => path === place);
  useEffect(() => {
    document.title = `${words[0] === "modems" ? "Modem" : label} · modemhub`;
    setMore(false);
  }, [words.join("/")]);
  const closed = (event) => {
    if (event.key !== "Escape" || !more) return;
    setMore(false);
    document.getElementById("more").focus();
  };
  const shown =
    words[0] === "modems"
      ? html`<${Modem} key=${words[1]} imei=${words[1]} />`
      : html`<${page} key=${place} words=${words.slice(1)} />`;
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <div class="frame">
      <header class="side">
        <p class="brand"><${Icon} name="brand" /> modemhub</p>
        <nav aria-label="Pages" onKeyDown=${closed}>
          <ul class=${more ? "pages open" : "pages"} id="pages">
            ${PAGES.map(
              ({ path, label: name, icon, more: late }) => html`
                <li key=${path} class=${late ? "late" : ""}>
                  <a href="#/${path}" aria-current=${path === place ? "page" : undefined}><${Icon} name=${icon} />${name}</a>
                </li>`,
            )}
            <li class="late foot"><${Me} /><${ThemeSwitch} /></li>
            <li class="more">
              <button type="button" id="more" aria-expanded=${more} aria-controls="pages" onClick=${() => setMore(!more)}>
                <${Icon} name="more" />${more ? "Less" : "More"}
              </button>
            </li>
          </ul>
        </nav>
      </header>
      <div class="body">
        <${LineNotice} />
        <main id="main" tabindex="-1">${shown}</main>
      </div>
    </div>
    <${Said} />`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Me() {
  const me = useStore(hub, (now) => now.me);
  const version = useStore(hub, (now) => now.status?.version);
  return html`
    <div class="me">
      <p>Signed in as <strong>${me.name}</strong></p>
      <p class="quiet">${me.scopes.join(", ")}</p>
      ${version && html`<p class="quiet">modemhub ${version}</p>`}
      <button type="button" class="small" onClick=${() => signOut()}>Sign out</button>
    </div>`;
}

/** Whether what is shown is what is. */
function LineNotice() {
  const line = useStore(hub, (now) => now.line);
  return html`<div role="status">
    ${
      line === "lost" &&
      html`<p class="banner">
      <strong>The hub does not answer.</strong> It may be restarting: this page goes on by itself as soon as it is back. What is shown is the last that was known.
    </p>`
    }
  </div>`;
}

function Said() {
  const said = useStore(hub, (now) => now.said);
  return html`<p class="unseen" aria-live="polite">${said}</p>`;
}

render(html`<${Console} />`, document.getElementById("app"));
