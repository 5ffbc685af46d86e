/**
 * The hub's event stream, followed for ever. `EventSource` cannot send a token, so the lines are read from a fetch
 * (HTML Living Standard, section 9.2.6); after a break it goes on behind the last event that came (`Last-Event-ID`).
 */

import { Problem, request } from "./api.js";

/** Milliseconds until the next attempt, the last one repeats; the hub needs about two seconds to start. */
const WAITS = [500, 1000, 2000, 5000];

/** Milliseconds of silence after which the line is tried anew: the hub says something every 15 seconds, if it is not set otherwise. */
const SILENCE = 45_000;

/**
 * @param {{
 *   onEvent: (event: {id: number | null, kind: string, body: any}) => void,
 *   onOpen: () => void,
 *   onLost: () => void,
 *   signal: AbortSignal,
 * }} told `onOpen`: events flow, for the first time or after a break
 */
export async function follow({ onEvent, onOpen, onLost, signal }) {
  let last = null;
  let failures = 0;
  while (!signal.aborted) {
    const line = new AbortController();
    let silent = false;
    const end = () => line.abort();
    signal.addEventListener("abort", end);
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": String(last) }) };
      const response = await request("GET", "/events", { headers, signal: line.signal });
      onOpen();
      failures = 0;
      for await (const event of events(response.body, () => ((silent = true), end()))) {
        if (event.id !== null) last = event.id;
        if (event.kind) onEvent(event); // else it only says where the stream begins
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && [401, 403].includes(error.status)) return;
    } finally {
      signal.removeEventListener("abort", end);
    }
    if (silent) continue; // a line without a word may be dead, or only quiet: another one tells which
    onLost();
    await pause(WAITS[Math.min(failures++, WAITS.length - 1)], signal);
  }
}

async function* events(body, onSilence) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let silent = setTimeout(onSilence, SILENCE);
  let rest = "";
  let event = { id: null, kind: "", data: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silent);
      silent = setTimeout(onSilence, SILENCE);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const [name, content] = field(line);
        if (line === "") {
          if (event.data) yield { id: event.id, kind: event.kind, body: JSON.parse(event.data) };
          else if (event.id !== null) yield { id: event.id, kind: "", body: null };
          event = { id: null, kind: "", data: "" };
        } else if (name === "id") event.id = Number(content);
        else if (name === "event") event.kind = content;
        else if (name === "data") event.data += content;
      }
    }
  } finally {
    clearTimeout(silent);
  }
}

function field(line) {
  const colon = line.indexOf(":");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}

function pause(milliseconds, signal) {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
