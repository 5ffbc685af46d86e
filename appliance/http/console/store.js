/** A value that pages watch. Every change is a new object, so that a selection that is the same value draws nothing anew. */

import { useLayoutEffect, useRef, useState } from "./ui.js";

/**
 * @template T
 * @param {T} initial
 */
export function createStore(initial) {
  let value = initial;
  const watchers = new Set();
  return {
    get: () => value,
    /** @param {Partial<T> | ((value: T) => Partial<T>)} change */
    set(change) {
      value = { ...value, ...(typeof change === "function" ? change(value) : change) };
      for (const watcher of [...watchers]) watcher();
    },
    /** @param {() => void} watcher @returns {() => void} ends it */
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

/**
 * The selected part of a store, drawn anew when it is another.
 * @template T, R
 * @param {ReturnType<typeof createStore<T>>} store
 * @param {(value: T) => R} select
 * @returns {R}
 */
export function useStore(store, select) {
  const [, redraw] = useState(0);
  const drawn = useRef(null);
  drawn.current = { select, value: select(store.get()) };
  useLayoutEffect(() => {
    const look = () => {
      if (!Object.is(drawn.current.select(store.get()), drawn.current.value)) redraw((n) => n + 1);
    };
    look();
    return store.watch(look);
  }, [store]);
  return drawn.current.value;
}
