/** The few pictures, drawn on a grid of 24; never the only sign of anything. */

import { html } from "../ui.js";

const PATHS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  messages:
    "M4 6.5A2.5 2.5 0 0 1 6.5 4h11A2.5 2.5 0 0 1 20 6.5v7a2.5 2.5 0 0 1-2.5 2.5H11l-4.5 4v-4A2.5 2.5 0 0 1 4 13.5z",
  events: "M3 12h4l2.5-7 5 14L17 12h4",
  setup: "M8 8l-4 4 4 4M16 8l4 4-4 4M13.5 5l-3 14",
  tokens: "M3.5 12a3.75 3.75 0 1 0 7.5 0a3.75 3.75 0 1 0-7.5 0M11 12h9.5M20.5 12v3M16.5 12v2.5",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h9M17 17h3M15 5v4M9 10v4M15 15v4",
  more: "M4 7h16M4 12h16M4 17h16",
};

export function Icon({ name }) {
  if (name === "brand") {
    return html`
      <svg class="icon brand-icon" viewBox="0 0 32 32" aria-hidden="true">
        <rect class="brand-ground" width="32" height="32" rx="8" />
        <path class="brand-bubble"
          d="M7 10.5A2.5 2.5 0 0 1 9.5 8h13A2.5 2.5 0 0 1 25 10.5v8a2.5 2.5 0 0 1-2.5 2.5H14l-4.5 4v-4A2.5 2.5 0 0 1 7 18.5z" />
        <g class="brand-ground"><rect x="11" y="15" width="2.5" height="3" rx=".6" /><rect x="14.75" y="13"
          width="2.5" height="5" rx=".6" /><rect x="18.5" y="11" width="2.5" height="7" rx=".6" /></g>
      </svg>`;
  }
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
