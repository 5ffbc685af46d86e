/** What every page is written with: elements as tagged templates, and the hooks. One place that names the vendored modules. */

import { Fragment, h, render } from "./vendor/preact.js";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

const html = htm.bind(h);

export { Fragment, html, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };
