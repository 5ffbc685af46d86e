/**
 * A list whose end is what one wants to see: it stays at its end while it grows, unless one has scrolled up to read. Where there
 * is room the list scrolls by itself, else the page does; `style.css` decides, and this asks what it decided.
 */

import { useEffect, useRef } from "../ui.js";

/** Pixels from the end that still count as there. */
const NEAR = 60;

/** @param {{current: HTMLElement}} list @param {unknown} content drawn last */
export function useBottom(list, content) {
  const below = useRef(true);
  useEffect(() => {
    let before = 0;
    const scrolled = () => {
      if (list.current === null) return; // the page is just being left
      const { scrollHeight, scrollTop, clientHeight } = scroller(list.current);
      if (scrollHeight - scrollTop - clientHeight < NEAR) below.current = true;
      else if (scrollTop < before) below.current = false; // not by the list's growing: that moves nothing up
      before = scrollTop;
    };
    addEventListener("scroll", scrolled, { capture: true, passive: true });
    return () => removeEventListener("scroll", scrolled, { capture: true });
  }, []);
  useEffect(() => {
    if (!below.current) return;
    const box = scroller(list.current);
    box.scrollTop = box.scrollHeight;
  }, [content]);
}

function scroller(list) {
  return list.scrollHeight > list.clientHeight + 1 ? list : document.scrollingElement;
}
