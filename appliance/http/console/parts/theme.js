/** Dark or light: as the system has it, unless one says otherwise on this device. */

import { html, useState } from "../ui.js";

const KEY = "modemhub.theme";

function kept() {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

apply(kept());

export function ThemeSwitch() {
  const [theme, setTheme] = useState(kept);
  const choose = (event) => {
    const chosen = event.currentTarget.value;
    setTheme(chosen);
    apply(chosen);
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // no storage here: it holds as long as the page
    }
  };
  return html`
    <label class="theme">Colours
      <select value=${theme} onChange=${choose}>
        <option value="auto">as the system</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
    </label>`;
}
