/**
 * The hub as this page knows it: who we are, the modems, the texts, kept up to date by the event stream.
 *
 * Lists are read once and after each break of the stream; in between, events change single entries. An event of a message
 * carries no text: an entry keeps the one it has, and one that is new is asked for.
 */

import { call, onProblem, Problem } from "./api.js";
import { createStore } from "./store.js";
import { forget, keep, token } from "./session.js";
import { follow } from "./stream.js";
import { messageWords, modemName, modemWords } from "./words.js";

/** How many events the page keeps: an hour or two of a busy hub, and still quick to draw. */
const EVENTS = 400;

/** How many messages of a list are read at once; the API's own limit. */
const PAGE = 200;

/** Milliseconds between looks at `/status` while nothing happens. */
const STATUS_EVERY = 10_000;

const NOBODY = {
  me: null,
  line: "connecting",
  status: null,
  modems: {},
  modemsKnown: false,
  contacts: [],
  messages: {},
  received: {},
  textsKnown: false,
  older: { messages: null, inbox: null },
  events: [],
};

/**
 * `phase`: starting, unreachable, unclaimed, signed_out, ready. `line`: connecting, live, lost, none (the token may see no event).
 */
export const hub = createStore({ phase: "starting", why: "", said: "", ...NOBODY });

let session = null;

/** @param {...string} scopes any of them */
export function may(me, ...scopes) {
  return me !== null && (me.scopes.includes("admin") || scopes.some((scope) => me.scopes.includes(scope)));
}

/** Tell a screen reader. */
export function announce(text) {
  hub.set({ said: text });
}

/** Find out where we stand: claimed or not, signed in or not. */
export async function start() {
  end();
  if (hub.get().phase !== "unreachable") hub.set({ phase: "starting", why: "" });
  try {
    if (token()) {
      await enter();
      return;
    }
    const { claimed } = await call("GET", "/claim");
    hub.set({ phase: claimed ? "signed_out" : "unclaimed", why: "" });
  } catch (error) {
    if (error instanceof Problem && error.status === 401)
      signOut("The token is not valid any more: it was revoked. Sign in with another one.");
    else if (error.code === "unclaimed") hub.set({ phase: "unclaimed", why: error.message });
    else if (error instanceof Problem) hub.set({ phase: "signed_out", why: error.message });
    else {
      hub.set({ phase: "unreachable" });
      setTimeout(start, 2000);
    }
  }
}

/**
 * @param {string} value a token
 * @param {boolean} remember on this device
 * @throws {Problem | Unreachable} it is not valid; nothing is kept then
 */
export async function signIn(value, remember) {
  await call("GET", "/me", { as: value });
  keep(value, remember);
  await enter();
}

/** @param {string} why in words, for the page that comes then */
export function signOut(why = "") {
  forget();
  end();
  hub.set({ ...NOBODY, phase: "signed_out", why });
}

function end() {
  session?.abort();
  session = null;
}

async function enter() {
  const me = await call("GET", "/me", { as: token() });
  end();
  session = new AbortController();
  const { signal } = session;
  hub.set({ ...NOBODY, me, phase: "ready", why: "" });
  if (may(me, "status")) {
    const timer = setInterval(refreshStatus, STATUS_EVERY);
    signal.addEventListener("abort", () => clearInterval(timer));
  }
  if (!may(me, "send", "inbox", "status")) {
    hub.set({ line: "none" });
    return;
  }
  await loadContacts().catch(() => {}); // first, so that nothing is told without its name
  let opened = false;
  void follow({
    signal,
    onEvent: heard,
    onOpen() {
      if (hub.get().line === "lost") announce("The hub answers again.");
      hub.set({ line: "live" });
      opened = true;
      void load();
    },
    onLost() {
      if (hub.get().line === "live") announce("The hub does not answer; trying again.");
      hub.set({ line: "lost" });
      if (!opened) void load(); // there may be too many streams, and yet answers
    },
  });
}

onProblem((problem) => {
  if (hub.get().phase !== "ready") return;
  if (problem.status === 401) signOut("The token is not valid any more: it was revoked. Sign in with another one.");
  else if (problem.code === "unclaimed") start();
});

/**
 * Read all lists that the token may see: whenever the stream has opened, so that what comes meanwhile is an event. A hub that is
 * just going away is asked again when its stream is back.
 */
async function load() {
  const { me } = hub.get();
  await Promise.allSettled([
    may(me, "status") && Promise.all([refreshStatus(), loadModems()]),
    may(me, "send", "inbox", "status") && loadContacts(),
    may(me, "send", "status", "inbox") && loadTexts(),
  ]);
}

async function loadModems() {
  const { modems } = await call("GET", "/modems");
  hub.set({ modems: Object.fromEntries(modems.map((modem) => [modem.imei, modem])), modemsKnown: true });
}

async function loadContacts() {
  const { contacts } = await call("GET", "/contacts");
  hub.set({ contacts });
}

let asking = false;
let askAgain = false;

/** Ask for `/status`; asked ten times at once it is read twice. */
export async function refreshStatus() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  try {
    do {
      askAgain = false;
      const status = await call("GET", "/status");
      if (hub.get().phase === "ready") hub.set({ status });
    } while (askAgain);
  } catch {
    // the stream's notice says that the hub does not answer
  } finally {
    asking = false;
  }
}

const byId = (items) => Object.fromEntries(items.map((item) => [item.id, item]));

/** Answers and events overtake each other: of two accounts of a message the later one holds. */
function later(known, told) {
  if (!known) return told;
  const older =
    told.updated_at < known.updated_at || (told.updated_at === known.updated_at && known.final && !told.final);
  return older ? { ...told, ...known } : { ...known, ...told };
}

/** @param {any[]} told messages of an answer or of an event */
export function learn(told) {
  hub.set(({ messages }) => ({
    messages: { ...messages, ...byId(told.map((message) => later(messages[message.id], message))) },
  }));
}

/** The newest texts of both directions, of everybody or of one number. */
export async function loadTexts(number = null) {
  const { me } = hub.get();
  const nothing = { messages: [], next: null };
  const to = number === null ? "" : `&to=${encodeURIComponent(number)}`;
  const sender = number === null ? "" : `&sender=${encodeURIComponent(number)}`;
  const [sent, got] = await Promise.all([
    may(me, "send", "status") ? call("GET", `/messages?limit=${PAGE}${to}`) : nothing,
    may(me, "inbox") ? call("GET", `/inbox?before=0&limit=${PAGE}${sender}`) : nothing,
  ]);
  learn(sent.messages);
  hub.set((now) => ({
    received: { ...now.received, ...byId(got.messages) },
    ...(number === null ? { textsKnown: true, older: { messages: sent.next, inbox: got.next } } : {}),
  }));
}

/** The page of texts before those that are known. */
export async function loadOlder() {
  const { older } = hub.get();
  const [sent, got] = await Promise.all([
    older.messages && call("GET", `/messages?limit=${PAGE}&before=${older.messages}`),
    older.inbox && call("GET", `/inbox?limit=${PAGE}&before=${older.inbox}`),
  ]);
  learn(sent?.messages ?? []);
  hub.set((now) => ({
    received: { ...now.received, ...byId(got?.messages ?? []) },
    older: { messages: sent?.next ?? null, inbox: got?.next ?? null },
  }));
}

/** @returns {string} a number's contact, or the number; a text may come without either */
export function nameOf(contacts, number) {
  if (number === null) return "Nobody";
  return contacts.find((contact) => !contact.group && contact.numbers.includes(number))?.name ?? number;
}

// What the stream tells.

let serial = 0;

function heard({ id, kind, body }) {
  const event = {
    key: (serial += 1),
    id,
    kind,
    body,
    at: body.updated_at ?? body.received_at ?? body.at ?? new Date().toISOString(),
  };
  const before = hub.get().modems[body.imei];
  if (kind !== "modem" || before === undefined || changedInWords(before, body)) {
    hub.set((now) => ({ events: [event, ...now.events].slice(0, EVENTS) }));
  }
  switch (kind) {
    case "message":
      return void heardOfMessage(body);
    case "received":
      hub.set((now) => ({ received: { ...now.received, [body.id]: body } }));
      announce(`New text from ${nameOf(hub.get().contacts, body.from)}.`);
      return;
    case "modem":
      hub.set((now) => ({ modems: { ...now.modems, [body.imei]: body }, modemsKnown: true }));
      if (before && before.state !== body.state) announce(`${modemName(body)}: ${modemWords(body).label}.`);
      return void refreshStatus();
    default:
      return void refreshStatus();
  }
}

/** A modem tells its signal every few seconds: no news for a list of events. */
function changedInWords(before, now) {
  return ["state", "registration", "operator", "technology", "last_error", "recovery", "sim"].some(
    (key) => before[key] !== now[key],
  );
}

async function heardOfMessage(body) {
  const known = hub.get().messages[body.id];
  const whole = known && (known.text ?? known.data) !== undefined;
  learn([whole ? body : await call("GET", `/messages/${encodeURIComponent(body.id)}`).catch(() => body)]);
  if (body.final && !known?.final)
    announce(`Text to ${nameOf(hub.get().contacts, body.to)}: ${messageWords(body).label}.`);
  if (body.final || body.state === "queued") void refreshStatus();
}
