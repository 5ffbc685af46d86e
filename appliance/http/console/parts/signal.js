/** The signal of a modem: bars, a plot, and the same in words and as a table for those who do not see a plot. */

import { call } from "../api.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../ui.js";
import uPlot from "../vendor/uplot.js";
import { dbm, signalWords } from "../words.js";

/** Milliseconds between readings of a plot that is on screen; the hub takes a sample each minute. */
const EVERY = 60_000;

/** dBm at the ends of every plot, so that two can be compared. */
const RANGE = [-115, -50];

/** Points of a small plot: as many as its pixels can show. */
const FEW = 80;

/**
 * @param {string} imei
 * @param {number | null} now dBm, as it was told last
 * @returns {{at: string, dbm: number | null, state: string}[] | null} up to 24 hours, oldest first; null: not read yet
 */
export function useSignal(imei, now) {
  const [samples, setSamples] = useState(null);
  useEffect(() => {
    const reading = new AbortController();
    const read = () =>
      call("GET", `/modems/${imei}/signal`, { signal: reading.signal }).then(
        (answer) => setSamples(answer.samples),
        () => {},
      );
    void read();
    const timer = setInterval(read, EVERY);
    return () => {
      clearInterval(timer);
      reading.abort();
    };
  }, [imei]);
  return useMemo(
    () =>
      samples === null || now === null
        ? samples
        : [...samples, { at: new Date().toISOString(), dbm: now, state: "ready" }],
    [samples, now],
  );
}

export function Bars({ value }) {
  const { bars, label } = signalWords(value);
  return html`
    <svg class="bars" viewBox="0 0 20 14" role="img" aria-label="Signal ${label}">
      ${[0, 1, 2, 3].map(
        (n) => html`<rect key=${n} class=${n < bars ? "on" : ""} x=${n * 5} y=${9 - n * 3} width="3.5"
        height=${5 + n * 3} rx="1" />`,
      )}
    </svg>`;
}

/** The samples of a plot in one sentence. */
export function signalSentence(samples) {
  const known = samples.filter((sample) => sample.dbm !== null);
  if (known.length === 0) return "No signal has been measured yet.";
  const values = known.map((sample) => sample.dbm);
  const last = samples.at(-1).dbm;
  const span = (new Date(samples.at(-1).at) - new Date(samples[0].at)) / 60_000;
  const over =
    span < 3 ? "so far" : span < 120 ? `in ${Math.round(span)} minutes` : `in ${Math.round(span / 60)} hours`;
  const least = Math.min(...values);
  const most = Math.max(...values);
  const range = least === most ? `steady ${over}` : `between ${dbm(least)} and ${dbm(most)} ${over}`;
  return `${last === null ? "No signal now" : `${dbm(last)}, ${signalWords(last).label}`}; ${range}.`;
}

function colour(element, name) {
  element.style.color = `var(${name})`;
  const resolved = getComputedStyle(element).color;
  element.style.color = "";
  return resolved;
}

/** Of so many samples in a row, the middle one. */
function thinned(samples) {
  const each = Math.ceil(samples.length / FEW);
  if (each < 2) return samples;
  const shown = [];
  for (let n = 0; n < samples.length; n += each) {
    const some = samples.slice(n, n + each).sort((a, b) => (a.dbm ?? -Infinity) - (b.dbm ?? -Infinity));
    shown.push({ at: samples[n].at, dbm: some[some.length >> 1].dbm });
  }
  return shown;
}

/** @param {{samples: any[], small?: boolean}} given small: no axes, for a card */
export function SignalPlot({ samples, small = false }) {
  const place = useRef(null);
  const plot = useRef(null);
  const data = useRef(null);
  const shown = small ? thinned(samples) : samples;
  data.current = [shown.map((sample) => new Date(sample.at) / 1000), shown.map((sample) => sample.dbm)];
  useLayoutEffect(() => {
    const element = place.current;
    const draw = () => {
      plot.current?.destroy();
      const accent = colour(element, "--accent");
      const wash = colour(element, "--accent-wash");
      const quiet = colour(element, "--quiet");
      const line = colour(element, "--line");
      const font = `12px ${getComputedStyle(element).fontFamily}`;
      const axis = {
        stroke: quiet,
        font,
        grid: { stroke: line, width: 1 },
        ticks: { stroke: line, width: 1, size: 4 },
      };
      plot.current = new uPlot(
        {
          width: element.clientWidth,
          height: small ? 44 : 220,
          padding: small ? [4, 0, 4, 0] : [10, 12, 0, 0],
          legend: { show: false },
          cursor: { show: false },
          scales: { y: { range: RANGE } },
          axes: small
            ? [{ show: false }, { show: false }]
            : [
                { ...axis, values: (_, ticks) => ticks.map((t) => new Date(t * 1000).toTimeString().slice(0, 5)) },
                { ...axis, size: 52, values: (_, ticks) => ticks.map((t) => String(t).replace("-", "−")) },
              ],
          series: [
            {},
            {
              stroke: accent,
              fill: wash,
              fillTo: RANGE[0],
              width: small ? 1.5 : 2,
              points: { show: samples.length < 3, size: 5, fill: accent },
            },
          ],
        },
        data.current,
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current.setSize({ width: element.clientWidth, height: small ? 44 : 220 }),
    );
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const switched = new MutationObserver(draw);
    switched.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      resized.disconnect();
      dark.removeEventListener("change", draw);
      switched.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [small, samples.length < 3]);
  useLayoutEffect(() => plot.current.setData(data.current), [samples]);
  return html`<div class=${small ? "plot small-plot" : "plot"} ref=${place} aria-hidden="true"></div>`;
}

const number = (value) => dbm(value).replace(" dBm", "");

/** One row for each hour: what the plot shows, in numbers. */
export function SignalTable({ samples }) {
  const hours = new Map();
  for (const { at, dbm: value } of samples) {
    const hour = `${at.slice(0, 13)}:00:00Z`;
    if (!hours.has(hour)) hours.set(hour, { values: [], without: 0 });
    if (value === null) hours.get(hour).without += 1;
    else hours.get(hour).values.push(value);
  }
  const rows = [...hours].reverse().map(([hour, { values, without }]) => {
    values.sort((a, b) => a - b);
    return { hour, least: values[0], middle: values[values.length >> 1], most: values.at(-1), without };
  });
  return html`
    <details class="table-details">
      <summary>The same as a table</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Signal by hour">
        <table>
          <caption>Signal by hour, in dBm; minutes with none</caption>
          <thead><tr><th scope="col">From</th><th scope="col">Weakest</th><th scope="col">Median</th><th scope="col">Strongest</th><th scope="col">None</th></tr></thead>
          <tbody>
            ${rows.map(
              (row) => html`<tr key=${row.hour}>
                <th scope="row">${new Date(row.hour).toTimeString().slice(0, 5)}</th>
                <td>${number(row.least)}</td><td>${number(row.middle)}</td><td>${number(row.most)}</td><td>${row.without}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>`;
}
