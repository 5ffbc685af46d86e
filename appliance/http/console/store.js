/** A value that pages watch. Every change is a new object, so that a selection that is the same value draws nothing anew. */

import { useLayoutEffect, useState } from "./ui.js";

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
  const selected = select(store.get());
  const [, redraw] = useState(0);
  useLayoutEffect(() => {
    let drawn = select(store.get());
    if (!Object.is(drawn, selected)) redraw((n) => n + 1);
    return store.watch(() => {
      const now = select(store.get());
      if (Object.is(now, drawn)) return;
      drawn = now;
      redraw((n) => n + 1);
    });
  }, [store]);
  return selected;
}
