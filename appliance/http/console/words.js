/**
 * What the hub's words mean to a person: states, tones and times. Tones are `good`, `busy`, `warn`, `bad`, `idle`; a tone never
 * stands alone, its word is always beside it.
 */

/** @typedef {{label: string, tone: "good" | "busy" | "warn" | "bad" | "idle", text: string}} Words */

/** @type {Record<string, Words>} */
const MESSAGE = {
  queued: { label: "Queued", tone: "busy", text: "Waits for its turn at a modem." },
  submitting: { label: "Sending", tone: "busy", text: "A modem is handing it to the network." },
  submitted: { label: "Sent", tone: "busy", text: "The network has it; the delivery report is awaited." },
  delivered: { label: "Delivered", tone: "good", text: "The phone has it." },
  undelivered: { label: "Not delivered", tone: "bad", text: "The network gave up delivering it." },
  failed: { label: "Failed", tone: "bad", text: "The network or the modem refused it." },
  expired: { label: "Expired", tone: "bad", text: "It could not be sent in its time." },
  cancelled: { label: "Cancelled", tone: "idle", text: "It was taken back before it was sent." },
  in_doubt: {
    label: "In doubt",
    tone: "warn",
    text: "Nobody can know whether it was sent. Sent again, it may arrive twice.",
  },
};

/** @returns {Words} */
export function messageWords(message) {
  if (message.state === "submitted" && message.final) {
    return {
      label: "Sent",
      tone: "good",
      text: message.report ? "The network has it; no delivery report came." : "The network has it.",
    };
  }
  return MESSAGE[message.state] ?? { label: message.state, tone: "idle", text: "" };
}

/** States in which the same text may be sent once more. */
export const SEND_AGAIN = new Set(["undelivered", "failed", "expired", "cancelled", "in_doubt"]);

/** @type {Record<string, Words>} */
const MODEM = {
  opening: { label: "Opening", tone: "busy", text: "The hub opens the port and asks who is there." },
  bringing_up: { label: "Setting up", tone: "busy", text: "The modem is being set up." },
  sim_missing: {
    label: "No SIM",
    tone: "bad",
    text: "No SIM card is read. Put one in, or reseat it: the hub sees it by itself.",
  },
  pin_required: {
    label: "PIN needed",
    tone: "bad",
    text: "The SIM wants its PIN. Set it in the settings (sims, pin) and restart the hub; a PIN is tried once only.",
  },
  puk_required: {
    label: "PUK needed",
    tone: "bad",
    text: "The SIM is blocked and the hub leaves it alone. Unblock it with its PUK in a phone, then put it back.",
  },
  searching: {
    label: "Searching",
    tone: "warn",
    text: "The modem looks for a network. Check the antenna if this lasts.",
  },
  ready: { label: "Ready", tone: "good", text: "It can send and receive." },
  recovering: { label: "Recovering", tone: "warn", text: "The hub is bringing the modem back." },
  needs_hands: {
    label: "Needs you",
    tone: "bad",
    text: "All that the hub can do by itself was tried. Check power, cable and antenna; it keeps trying, ever less often.",
  },
  gone: {
    label: "Unplugged",
    tone: "bad",
    text: "The modem is not there. Plug it in again: the hub finds it by itself, and its queue waits.",
  },
};

/** @returns {Words} */
export function modemWords(modem) {
  return MODEM[modem.state] ?? { label: modem.state, tone: "idle", text: "" };
}

const REGISTRATION = {
  not_registered: "not registered",
  home: "in its home network",
  searching: "searching",
  denied: "refused by the network: is the SIM active?",
  unknown: "not known",
  roaming: "roaming",
  sms_only_home: "in its home network, texts only",
  sms_only_roaming: "roaming, texts only",
  emergency_only: "emergency calls only: is the SIM active?",
  home_no_csfb: "in its home network, data preferred",
  roaming_no_csfb: "roaming, data preferred",
  rlos: "restricted service",
};

export function registrationWords(registration) {
  return registration === null ? "not known" : (REGISTRATION[registration] ?? registration);
}

/**
 * dBm, from which on, in words; what a phone shows as bars.
 * @type {[number, string, number][]}
 */
const SIGNAL = [
  [-73, "excellent", 4],
  [-83, "good", 3],
  [-93, "fair", 2],
  [-103, "weak", 1],
];

/** @param {number | null | undefined} dbm */
export function signalWords(dbm) {
  if (dbm === null || dbm === undefined) return { label: "not known", bars: 0 };
  const found = SIGNAL.find(([from]) => dbm >= from);
  return found ? { label: found[1], bars: found[2] } : { label: "very weak", bars: 0 };
}

/** −71 dBm, with a minus sign that is one. */
export function dbm(value) {
  return value === null || value === undefined ? "—" : `${String(value).replace("-", "−")} dBm`;
}

/** Maker and model as people write them (modules tell `SIMCOM INCORPORATED`, `SIMCOM_SIM7600E-H`), and which one of two alike. */
export function modemName(modem) {
  const maker = (modem.manufacturer ?? "").split(/[\s,]/)[0];
  const model = (modem.model ?? "").replaceAll("_", " ");
  const name = model.toLowerCase().startsWith(maker.toLowerCase()) ? model : `${maker} ${model}`.trim();
  return `${name.charAt(0).toUpperCase() + name.slice(1) || "Modem"} …${modem.imei.slice(-4)}`;
}

const OUTCOME = { helped: "it helped", no_effect: "no effect", failed: "could not be done", begun: "begun" };

export function outcomeWords(outcome) {
  return OUTCOME[outcome] ?? outcome;
}

const ENCODING = { gsm7: "GSM 7-bit", ucs2: "UCS-2", data: "8-bit data", "8bit": "8-bit data" };

export function encodingWords(encoding) {
  return ENCODING[encoding] ?? encoding;
}

const CHARACTERS = {
  "\u2018": "curly apostrophe",
  "\u2019": "curly apostrophe",
  "\u201a": "low quotation mark",
  "\u201c": "curly quotation mark",
  "\u201d": "curly quotation mark",
  "\u201e": "low quotation mark",
  "\u2013": "dash",
  "\u2014": "long dash",
  "\u2026": "ellipsis",
  "\u2022": "bullet",
  "\u00a0": "no-break space",
  "\u202f": "narrow no-break space",
  "\u2009": "thin space",
  "\t": "tab",
};

/** What a character is, where it may not be seen. */
export function characterWords(character) {
  if (CHARACTERS[character]) return CHARACTERS[character];
  if (/\p{Extended_Pictographic}/u.test(character)) return "emoji";
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const sameDay = (a, b) => a.toDateString() === b.toDateString();

/** The time, with the day where it is not today. */
export function when(at) {
  const date = new Date(at);
  return sameDay(date, new Date()) ? TIME.format(date) : `${DAY.format(date)}, ${TIME.format(date)}`;
}

export const clock = (at) => SECONDS.format(new Date(at));

export const fullTime = (at) => FULL.format(new Date(at));

export function day(at) {
  const date = new Date(at);
  const yesterday = new Date();
  yesterday.setDate(yesterday.getDate() - 1);
  if (sameDay(date, new Date())) return "Today";
  return sameDay(date, yesterday) ? "Yesterday" : DAY.format(date);
}

/** @param {number} seconds @returns {[number, string]} how many of which unit, the unit in the singular */
export function rounded(seconds) {
  if (seconds < 90) return [Math.round(seconds), "second"];
  if (seconds < 5400) return [Math.round(seconds / 60), "minute"];
  if (seconds < 172_800) return [Math.round(seconds / 3600), "hour"];
  return [Math.round(seconds / 86_400), "day"];
}

/** @param {number} seconds */
export function duration(seconds) {
  return count(...rounded(seconds));
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let n = bytes;
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[unit]}`;
}

/** The hub's words begin small, as in a log; on a page they stand as sentences. */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
