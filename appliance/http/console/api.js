/** The hub's public API: one function, two kinds of failure. */

import { token } from "./session.js";

export const BASE = "/api/v1";

/** What the hub refuses (RFC 9457): `detail` is for a person, `code` is stable. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The hub answered ${status}.`);
    this.status = status;
    this.code = document.code ?? "";
    this.pointer = document.pointer ?? null;
    this.retryAfter = document.retry_after ?? null;
  }
}

/** No answer came; whether the hub got the request, nobody knows. */
export class Unreachable extends Error {
  constructor() {
    super(
      "The hub does not answer. It may be restarting, or this device is not in its network. Try again in a moment.",
    );
    this.code = "unreachable";
  }
}

const listeners = new Set();

/**
 * Be told of every refusal: one place decides what a revoked token means.
 * @param {(problem: Problem) => void} listener
 */
export function onProblem(listener) {
  listeners.add(listener);
}

/**
 * @param {string} method
 * @param {string} path below `/api/v1`
 * @param {{body?: unknown, headers?: Record<string, string>, as?: string, signal?: AbortSignal}} [more] `as`: another token
 *   than the one that is held; nobody but the caller is told of a refusal then
 * @returns {Promise<any>} the JSON of the answer
 * @throws {Problem | Unreachable}
 */
export async function call(method, path, { body, headers = {}, as, signal } = {}) {
  const response = await request(method, path, { body, headers, as, signal });
  try {
    return await response.json();
  } catch {
    throw new Unreachable();
  }
}

/**
 * As `call`, but the response itself, once it is known to be no refusal.
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, headers?: Record<string, string>, as?: string, signal?: AbortSignal}} [more]
 * @returns {Promise<Response>}
 */
export async function request(method, path, { body, headers = {}, as, signal } = {}) {
  /** @type {Record<string, string>} */
  const sent = { Accept: "application/json", ...headers };
  const bearer = as ?? token();
  if (bearer) sent.Authorization = `Bearer ${bearer}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(BASE + path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (response.ok) return response;
  const problem = new Problem(response.status, await response.json().catch(() => ({})));
  if (as === undefined) for (const listener of listeners) listener(problem);
  throw problem;
}

/** A key that makes a repeated POST the same one. `crypto.randomUUID` is missing where the page came without TLS. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (octet) => octet.toString(16).padStart(2, "0")).join(
    "",
  );
}
