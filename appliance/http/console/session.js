/**
 * The token that this browser holds. It lives as long as the tab, or on this device where its owner ticked that.
 * Storage may be forbidden altogether (private windows): then it lives as long as the page.
 */

const KEY = "modemhub.token";

let held = null;

function from(storage) {
  try {
    return storage().getItem(KEY);
  } catch {
    return null;
  }
}

function put(storage, token) {
  try {
    if (token === null) storage().removeItem(KEY);
    else storage().setItem(KEY, token);
  } catch {
    // no storage here: the page remembers
  }
}

const tab = () => sessionStorage;
const device = () => localStorage;

/** @returns {string | null} */
export function token() {
  held ??= from(tab) ?? from(device);
  return held;
}

/** @param {string} value @param {boolean} remember on this device */
export function keep(value, remember) {
  forget();
  held = value;
  put(remember ? device : tab, value);
}

export function forget() {
  held = null;
  put(tab, null);
  put(device, null);
}
