/** The first visit: whoever can read the claim token at the hub becomes its owner. */

import { call } from "../api.js";
import { hub, signIn, start } from "../hub.js";
import { ErrorNote, Field, NewToken, useTask } from "../parts/basic.js";
import { useStore } from "../store.js";
import { html, useEffect, useState } from "../ui.js";
import { sentence } from "../words.js";

export function Claim() {
  const why = useStore(hub, (now) => now.why);
  const [where, setWhere] = useState(why);
  const [claim, setClaim] = useState("");
  const [name, setName] = useState("me");
  const [remember, setRemember] = useState(true);
  const [made, setMade] = useState(null);
  const task = useTask();
  useEffect(() => {
    // The refusal of any other route says where the claim token is.
    if (!why)
      call("GET", "/me", { as: "none" }).catch((error) => error.code === "unclaimed" && setWhere(error.message));
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const answer = await task.run(() => call("POST", "/claim", { body: { token: claim.trim(), name: name.trim() } }));
    if (answer) setMade(answer);
  };
  if (made) {
    return html`
      <p role="status">The hub is yours.</p>
      <${NewToken} token=${made.token} name=${made.name} />
      <p>Keep it where you keep passwords. It may do everything; for programs, create tokens that may do less on the page Tokens.</p>
      <label class="tick"><input type="checkbox" checked=${remember}
        onChange=${(event) => setRemember(event.currentTarget.checked)} /> Remember on this device</label>
      <${ErrorNote} error=${task.error} />
      <div class="actions">
        <button type="button" class="primary" disabled=${task.busy}
          onClick=${() => task.run(() => signIn(made.token, remember))}>Go on to the console</button>
      </div>`;
  }
  return html`
    <p>Nobody owns this hub yet, and it does nothing for anybody until it is claimed.</p>
    ${where && html`<p class="note">${sentence(where)}</p>`}
    <form onSubmit=${submit}>
      <${Field} id="claim" label="Claim token"
        hint="It begins with mhc_ and stands in the file CLAIM.txt.">
        <input id="claim" autocomplete="off" autocapitalize="none" spellcheck=${false} required autofocus
          aria-describedby="claim-hint"
          value=${claim} onInput=${(event) => setClaim(event.currentTarget.value)} />
      <//>
      <${Field} id="name" label="Name of your token" hint="So that you know it again in the list of tokens.">
        <input id="name" required maxlength="64" autocomplete="off" aria-describedby="name-hint" value=${name}
          onInput=${(event) => setName(event.currentTarget.value)} />
      <//>
      <${ErrorNote} error=${task.error} />
      ${
        task.error?.code === "already_claimed" &&
        html`<button type="button"
        onClick=${() => start()}>Go to the sign-in</button>`
      }
      <div class="actions"><button class="primary"
        disabled=${task.busy}>${task.busy ? "One moment …" : "Claim this hub"}</button></div>
    </form>`;
}
