/** Where one comes without a valid token, and where one waits for a hub that does not answer. */

import { hub, signIn } from "../hub.js";
import { ErrorNote, Field, useTask } from "../parts/basic.js";
import { useStore } from "../store.js";
import { html, useState } from "../ui.js";

export function SignIn() {
  const why = useStore(hub, (now) => now.why);
  const [token, setToken] = useState("");
  const [remember, setRemember] = useState(false);
  const task = useTask();
  const submit = (event) => {
    event.preventDefault();
    void task.run(() => signIn(token.trim(), remember));
  };
  return html`
    ${why && !task.error && html`<p class="note warn" role="alert">${why}</p>`}
    <form onSubmit=${submit}>
      <${Field} id="token" label="Token" hint="It begins with mh_ and was shown once when it was created.">
        <input id="token" type="password" autocomplete="current-password" spellcheck=${false} required autofocus
          aria-describedby="token-hint" value=${token} onInput=${(event) => setToken(event.currentTarget.value)} />
      <//>
      <label class="tick"><input type="checkbox" checked=${remember}
        onChange=${(event) => setRemember(event.currentTarget.checked)} />
        <span>Remember on this device <span class="quiet">(else until this tab is closed)</span></span></label>
      <${ErrorNote} error=${task.error && signInError(task.error)} />
      <div class="actions"><button class="primary"
        disabled=${task.busy}>${task.busy ? "Asking the hub …" : "Sign in"}</button></div>
    </form>
    <details class="aside">
      <summary>No token at hand?</summary>
      <p>Create one at the hub's own command line, for example over SSH:</p>
      <pre class="line"><code>modemhub token create --name me --scope admin</code></pre>
    </details>`;
}

function signInError(error) {
  return error.code === "unauthorized"
    ? { message: "The hub does not know this token. Check that all of it was pasted; it may also have been revoked." }
    : error;
}

export function Unreachable() {
  return html`
    <p role="status">No answer came from <strong>${location.host}</strong>. The hub may be starting: this page goes on by itself as soon as it answers.</p>
    <p class="quiet">If this lasts, see whether the device has power and is in your network.</p>`;
}
