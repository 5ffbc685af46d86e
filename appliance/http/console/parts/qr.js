/** A QR code as an image of rectangles; the text stands beside it. */

import { html, useMemo } from "../ui.js";
import qrcode from "../vendor/qrcode.js";

/** Modules of white around it; the standard (ISO/IEC 18004) wants four. */
const MARGIN = 4;

export function QrCode({ text, label }) {
  const { path, side } = useMemo(() => {
    const code = qrcode(0, "M");
    code.addData(text);
    code.make();
    const n = code.getModuleCount();
    let drawn = "";
    for (let row = 0; row < n; row += 1) {
      for (let column = 0; column < n; column += 1) {
        if (code.isDark(row, column)) drawn += `M${column + MARGIN} ${row + MARGIN}h1v1h-1z`;
      }
    }
    return { path: drawn, side: n + 2 * MARGIN };
  }, [text]);
  return html`<svg class="qr" viewBox="0 0 ${side} ${side}" role="img" aria-label=${label}
    shape-rendering="crispEdges"><rect width=${side} height=${side} fill="#fff" /><path d=${path} fill="#000" /></svg>`;
}
