// Stored responses: one with its input, and the conversation that it ends.

import {ApiError, json} from "./api.js";

/** @typedef {{response: import("../types").Answer, input: import("../types").Item[]}} KeptTurn */

const LONGEST = 100; // turns of a conversation to show

/** Its address. @param {string} id */
export function pathOf(id) {
  return `v1/responses/${encodeURIComponent(id)}`;
}

/** @param {string} id @returns {Promise<KeptTurn>} */
async function one(id) {
  const [response, items] = await Promise.all([json(pathOf(id)), json(`${pathOf(id)}/input_items?limit=100&order=asc`)]);
  return {response, input: items.data};
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
