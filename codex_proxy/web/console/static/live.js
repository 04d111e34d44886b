// The server's live status: /x_codex/events, reopened whenever it ends. Not while the tab is in the background: a browser has six
// connections to a server for all its tabs, and without a free one not even a turn can be stopped.

import {ApiError, events, isGone, key, request, sentence} from "./api.js";

/** @typedef {import("../types").Status} Status */
/** @typedef {import("../types").Live} Live */

const FIRST_WAIT = 500; // milliseconds; doubled after each failure
const LAST_WAIT = 10_000;

/** @type {Live} */
export const live = {link: "connecting", status: null, offset: 0, problem: "", wrongKey: false};
/** @type {Set<() => void>} */
const listeners = new Set();
let control = new AbortController();
/** @type {() => void} */
let wake = () => undefined;

/** Call a function now and on every change. @param {() => void} listener */
export function watch(listener) {
  listeners.add(listener);
  listener();
}

/** The server's clock, in seconds since the epoch. */
export function serverNow() {
  return Date.now() / 1000 + live.offset;
}

/** Reconnect at once: the key has changed, or the user pressed the button. */
export function again() {
  control.abort();
  wake();
}

document.addEventListener("visibilitychange", () => document.hidden && control.abort());

/** Follow the server until the page is closed. */
export async function follow() {
  let wait = FIRST_WAIT;
  for (;;) {
    if (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, {once: true}));
    control = new AbortController();
    let heard = false;
    try {
      for await (const {event, data} of events(await request("x_codex/events", {signal: control.signal}))) {
        take(event, data);
        heard = true;
        wait = FIRST_WAIT;
      }
      if (!heard || live.status?.reason === "shutting down") throw new TypeError("it is not there, or is being stopped");
      continue; // it ends from time to time
    } catch (error) {
      if (control.signal.aborted) {
        change({link: "connecting"});
        continue;
      }
      fail(error);
    }
    const waiting = live.link === "refused" ? 3_600_000 : wait;
    await new Promise((done) => {
      const timer = setTimeout(done, waiting);
      wake = () => (clearTimeout(timer), done(undefined));
    });
    wait = Math.min(wait * 2, LAST_WAIT);
  }
}

/** @param {unknown} error */
function fail(error) {
  const tooOften = error instanceof ApiError && error.status === 429 && live.wrongKey; // too many wrong keys
  if (error instanceof ApiError && (error.status === 401 || tooOften)) {
    const wrongKey = Boolean(key.get());
    change({link: "refused", status: null, wrongKey, problem: tooOften ? error.message : ""});
  } else {
    change({link: "lost", problem: isGone(error) ? "" : sentence(error)});
  }
}

/** @param {string} event @param {any} data */
function take(event, data) {
  const offset = data.now - Date.now() / 1000;
  if (event === "status") {
    change({link: "open", status: data, offset, problem: "", wrongKey: false});
  } else if (live.status) {
    const {turns = [], ended = [], now, ...rest} = data;
    const known = new Map(live.status.turns.map((turn) => [turn.id, turn]));
    for (const turn of turns) known.set(turn.id, turn);
    for (const id of ended) known.delete(id);
    change({offset, status: {...live.status, ...rest, now, turns: [...known.values()]}});
  }
}

/** @param {Partial<Live>} what */
function change(what) {
  Object.assign(live, what);
  for (const listener of listeners) listener();
}
