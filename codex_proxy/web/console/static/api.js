// The server, as any client sees it. URLs are relative to the page, so that it also works under a path.
// The key is kept in sessionStorage, for this tab only, and sent only in the Authorization header.

const KEY = "codex-proxy.key";

export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string | null} code */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  /** @param {string} value */
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** The base URL for clients. */
export const baseUrl = new URL("v1", document.baseURI).href;

/**
 * @param {string} path
 * @param {{method?: string, body?: unknown, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>} Throws ApiError; TypeError if the server cannot be reached.
 */
export async function request(path, {method = "GET", body, signal} = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = {method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body)};
  const answer = await fetch(new URL(path, document.baseURI), {...options, cache: "no-store", credentials: "same-origin", redirect: "error"});
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new ApiError(answer.status, told?.error?.message ?? `The server answered ${answer.status}.`, told?.error?.code ?? null);
}

/** @param {string} path @param {{method?: string, body?: unknown, signal?: AbortSignal}} [options] @returns {Promise<any>} */
export async function json(path, options) {
  return (await request(path, options)).json();
}

/**
 * Read the server-sent events of an answer.
 * @param {Response} answer
 * @returns {AsyncGenerator<{event: string, data: any}>}
 */
export async function* events(answer) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, event, data] = ["", "message", ""];
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data += line.slice(5).trimStart();
        else if (line === "" && data) {
          yield {event, data: JSON.parse(data)};
          [event, data] = ["message", ""];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** Whether the server could not be reached, as opposed to refusing. @param {unknown} error */
export function isGone(error) {
  return error instanceof TypeError;
}

/** @param {unknown} error @returns {string} */
export function sentence(error) {
  if (error instanceof ApiError) return error.message;
  return isGone(error) ? "The server does not answer." : `Something is wrong with this page: ${error}`;
}

/** @typedef {{response: import("../types").Answer, input: import("../types").Item[]}} KeptTurn */

const LONGEST = 100; // turns of a conversation to show

/** Its address. @param {string} id */
export function pathOf(id) {
  return `v1/responses/${encodeURIComponent(id)}`;
}

/** The items of its input; a page holds only some megabytes. @param {string} id @returns {Promise<import("../types").Item[]>} */
async function inputOf(id) {
  const items = [];
  let page;
  do {
    page = await json(`${pathOf(id)}/input_items?limit=100&order=asc${page ? `&after=${page.last_id}` : ""}`);
    items.push(...page.data);
  } while (page.has_more && items.length < LONGEST);
  return items;
}

/** @param {string} id @returns {Promise<KeptTurn>} */
async function one(id) {
  const [response, input] = await Promise.all([json(pathOf(id)), inputOf(id)]);
  return {response, input};
}

/** Get the conversation up to a response, oldest turn first; its beginning may no longer be stored. @param {string} id @returns {Promise<KeptTurn[]>} */
export async function chain(id) {
  const turns = [await one(id)];
  while (turns.length < LONGEST && turns[0].response.previous_response_id) {
    try {
      turns.unshift(await one(turns[0].response.previous_response_id));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) break;
      throw error;
    }
  }
  return turns;
}
