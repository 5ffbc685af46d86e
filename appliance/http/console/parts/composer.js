/**
 * Writing a text: what it will cost is asked of the hub while one types (`/messages/preview`), so that the count is that of the
 * hub's own encoder. A text keeps its idempotency key until it is accepted: pressing Send again after a lost answer sends it once.
 */

import { call, newKey } from "../api.js";
import { announce, hub, learn } from "../hub.js";
import { ErrorNote, Field, useTask } from "./basic.js";
import { useStore } from "../store.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { characterWords, count, encodingWords } from "../words.js";

/** Milliseconds after the last key until the hub is asked. */
const TYPED = 250;

/** A number of a range that nobody has (Ofcom's, for drama): previews are about the text only. */
const ANYBODY = "+447700900000";

/** @returns {Promise<any[]>} the accepted messages: one, or several where `to` is a group */
export async function sendTo(to, command, key = newKey()) {
  const answer = await call("POST", "/messages", { body: { to, ...command }, headers: { "Idempotency-Key": key } });
  return (answer.messages ?? [answer]).map((message) => ({ text: command.text, ...message })); // the answer is without it
}

/** @param {{recipient: string | null, onSent: (messages: any[]) => void}} given recipient: null asks for one */
export function Composer({ recipient, onSent }) {
  const contacts = useStore(hub, (now) => now.contacts);
  const [to, setTo] = useState(recipient ?? "");
  const [text, setText] = useState("");
  const [plain, setPlain] = useState(false);
  const key = useRef(newKey());
  const area = useRef(null);
  const task = useTask();
  const encoding = plain ? "translit" : "auto";
  const preview = usePreview(text, encoding);
  const change = (set) => (event) => {
    set(event.currentTarget.type === "checkbox" ? event.currentTarget.checked : event.currentTarget.value);
    key.current = newKey();
    if (task.error) task.clear();
  };
  const submit = async (event) => {
    event.preventDefault();
    const messages = await task.run(() => sendTo(to.trim(), { text, ...(plain ? { encoding } : {}) }, key.current));
    if (!messages) return;
    key.current = newKey();
    learn(messages);
    announce(
      messages.length === 1 ? "The hub has accepted the text." : `The hub has accepted ${messages.length} texts.`,
    );
    setText("");
    area.current?.focus();
    onSent(messages);
  };
  const submitByKey = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form.requestSubmit();
  };
  const wrongNumber = task.error?.pointer === "/to" ? task.error.message : null;
  return html`
    <form class=${recipient === null ? "composer" : "composer reply"} onSubmit=${submit} aria-label="Write a text">
      ${
        recipient === null &&
        html`
        <${Field} id="to" label="To"
          hint="A number with its country code, such as +44 7700 900123, or the name of a contact or group."
          error=${wrongNumber}>
          <input id="to" list="contacts" required autocomplete="off" spellcheck=${false} value=${to} onInput=${change(setTo)}
            aria-invalid=${wrongNumber ? "true" : undefined} aria-describedby=${wrongNumber ? "to-error to-hint" : "to-hint"} />
          <datalist id="contacts">${contacts.map((contact) => html`<option key=${contact.name} value=${contact.name}>${contact.numbers.join(", ")}</option>`)}</datalist>
        <//>`
      }
      <div class="field write">
        <label for="text" class=${recipient === null ? "" : "unseen"}>Text</label>
        <textarea id="text" title="Ctrl and Enter together send it, too" ref=${area}
          rows=${recipient === null ? 4 : 2} required placeholder=${recipient === null ? undefined : "Write a text"}
          value=${text} onInput=${change(setText)} onKeyDown=${submitByKey} aria-describedby="cost"></textarea>
      </div>
      <${Cost} recipient=${recipient} preview=${preview} text=${text} plain=${plain} onPlain=${change(setPlain)} />
      ${!(wrongNumber && recipient === null) && html`<${ErrorNote} error=${task.error} />`}
      ${task.error?.code === "unreachable" && html`<p class="hint">Press Send again when it answers: the hub takes this text once, even if it got it already.</p>`}
      <div class="actions"><button class="primary" disabled=${task.busy}>${task.busy ? "Sending …" : "Send"}</button></div>
    </form>`;
}

/** @returns {{answer: any, error: Error | null}} of the text as it was a moment ago */
function usePreview(text, encoding) {
  const [preview, setPreview] = useState({ answer: null, error: null });
  useEffect(() => {
    if (text === "") {
      setPreview({ answer: null, error: null });
      return undefined;
    }
    const asking = new AbortController();
    const timer = setTimeout(() => {
      call("POST", "/messages/preview", { body: { to: ANYBODY, text, encoding }, signal: asking.signal }).then(
        (answer) => setPreview({ answer, error: null }),
        (error) => error.name !== "AbortError" && setPreview({ answer: null, error }),
      );
    }, TYPED);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [text, encoding]);
  return preview;
}

function Cost({ recipient, preview: { answer, error }, text, plain, onPlain }) {
  const forcing = answer?.forcing ?? [];
  const left = answer ? answer.capacity - answer.units.at(-1) : 0;
  return html`
    <div class="cost" id="cost" aria-live="polite">
      ${!text && recipient === null && html`<p class="hint">160 characters fit into one segment, 70 if it has characters outside the GSM alphabet.</p>`}
      ${text && error && html`<p class="hint bad">${error.message}</p>`}
      ${text && !answer && !error && html`<p class="hint">Counting …</p>`}
      ${
        text &&
        answer &&
        html`<p class="hint"><strong>${count(answer.segments, "segment")}</strong>, ${encodingWords(answer.encoding)}; room for ${left} more in ${answer.segments === 1 ? "it" : "the last one"}.</p>`
      }
      ${text && forcing.length > 0 && html`<p class="hint warn"><strong>UCS-2 because of</strong> ${list(forcing.map((character) => html`<${Character} value=${character} /> ${characterWords(character)}`))}: a segment holds 70 characters then instead of 160.</p>`}
      ${text && plain && answer?.substitutions.length > 0 && html`<p class="hint">Sent as plain characters: ${list(distinct(answer.substitutions).map(({ character, replacement }) => html`<${Character} value=${character} /> as <${Character} value=${replacement} />`))}.</p>`}
    </div>
    ${
      (forcing.length > 0 || plain) &&
      html`<label class="tick"><input type="checkbox" checked=${plain}
      onChange=${onPlain} /> Send plain characters instead</label>`
    }`;
}

function Character({ value }) {
  return html`<span class="character">${value}</span>`;
}

function distinct(substitutions) {
  return [...new Map(substitutions.map((one) => [one.character, one])).values()];
}

/** a, b and c; the first few of many. */
function list(words) {
  const shown = words.length > 5 ? [...words.slice(0, 4), `${words.length - 4} more`] : words;
  return shown.map((word, n) => [n === 0 ? "" : n === shown.length - 1 ? " and " : ", ", word]);
}
