/** The small parts that every page is made of. */

import { html, useEffect, useRef, useState } from "../ui.js";

/** A state: a dot of its tone and its word. */
export function Pill({ tone, label, title }) {
  return html`<span class="pill ${tone}" title=${title}><span class="dot" aria-hidden="true"></span>${label}</span>`;
}

/** What went wrong, told at once to a screen reader. */
export function ErrorNote({ error }) {
  return error ? html`<p class="note bad" role="alert">${error.message}</p>` : null;
}

/** Nothing is here yet, and what to do about it. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

export function Loading({ what }) {
  return html`<p class="quiet" role="status">Reading ${what} …</p>`;
}

/** Instead of a page that the token may not see. */
export function NeedsScope({ scopes, what }) {
  const names = scopes.map((scope, n) => html`${n > 0 && " or "}<code>${scope}</code>`);
  return html`
    <${Empty} title="This token may not ${what}.">
      <p>It needs the scope ${names}. Somebody with the scope <code>admin</code> can create such a token on the page Tokens, or at the hub:</p>
      <pre class="line"><code>modemhub token create --name NAME --scope ${scopes[0]}</code></pre>
    <//>`;
}

/** Run a request of a form or button once at a time: `run(doing)` resolves to its value, or undefined where it failed. */
export function useTask() {
  const [state, setState] = useState({ busy: false, error: null });
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  const run = async (doing) => {
    setState({ busy: true, error: null });
    try {
      const value = await doing();
      if (alive.current) setState({ busy: false, error: null });
      return value ?? null;
    } catch (error) {
      if (alive.current) setState({ busy: false, error });
      return undefined;
    }
  };
  return { ...state, run, clear: () => setState({ busy: false, error: null }) };
}

/** A value that is read when the page opens, and again by `reload`. */
export function useRead(read, keys) {
  const [state, setState] = useState({ value: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    read().then(
      (value) => wanted && setState({ value, error: null }),
      (error) => wanted && setState((now) => ({ ...now, error })),
    );
    return () => (wanted = false);
  }, [...keys, turn]);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}

/** A labelled input; `hint` and `error` are tied to it. */
export function Field({ id, label, hint, error, children }) {
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children}
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
      ${error && html`<p class="hint bad" id="${id}-error" role="alert">${error}</p>`}
    </div>`;
}

/** Copies a text; where the page came without TLS there is no clipboard API, and the old way is taken. */
export function Copy({ text, what = "" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 2500);
  };
  return html`
    <button type="button" class="small" onClick=${copy}
      aria-label=${what ? `Copy ${what}` : undefined}>${done ? "Copied" : "Copy"}</button>
    <span class="unseen" role="status">${done ? `${what || "It"} was copied.` : ""}</span>`;
}

/** A line to paste elsewhere. */
export function Line({ text, what }) {
  return html`
    <div class="paste">
      <pre class="line"><code>${text}</code></pre>
      <${Copy} text=${text} what=${what} />
    </div>`;
}

/** A question before something that cannot be taken back; open while it is drawn. The browser keeps the focus inside. */
export function Confirm({ title, children, action, danger = false, onConfirm, onClose }) {
  const dialog = useRef(null);
  const task = useTask();
  useEffect(() => {
    const before = /** @type {HTMLElement} */ (document.activeElement);
    dialog.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  const confirm = async () => {
    if ((await task.run(onConfirm)) !== undefined) onClose();
  };
  return html`
    <dialog ref=${dialog} class="dialog" aria-labelledby="confirm-title" onClose=${onClose} onCancel=${onClose}>
      <h2 id="confirm-title">${title}</h2>
      ${children}
      <${ErrorNote} error=${task.error} />
      <div class="actions">
        <button type="button" class=${danger ? "danger" : "primary"} disabled=${task.busy} onClick=${confirm}>
          ${task.busy ? "One moment …" : action}
        </button>
        <button type="button" onClick=${onClose}>Back</button>
      </div>
    </dialog>`;
}

/** A token that is shown this once. */
export function NewToken({ token, name }) {
  return html`
    <div class="new-token">
      <p><strong>This is the token of “${name}”. It is shown this once:</strong> the hub keeps only a fingerprint of it.</p>
      <div class="paste">
        <pre class="line"><code id="new-token">${token}</code></pre>
        <${Copy} text=${token} what="the token" />
      </div>
    </div>`;
}

/** A heading that takes the focus when its page opens, so that keyboard and screen reader begin there. */
export function Heading({ children, back }) {
  const heading = useRef(null);
  useEffect(() => {
    if (document.documentElement.dataset.moved) heading.current.focus({ preventScroll: true });
    document.documentElement.dataset.moved = "yes";
    window.scrollTo(0, 0);
  }, []);
  return html`
    ${back && html`<a class="back" href=${back.href}>${back.label}</a>`}
    <h1 ref=${heading} tabindex="-1">${children}</h1>`;
}
