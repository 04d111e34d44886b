// The official OpenAI SDK for Node.js: conversations, token counts, compaction and the WebSocket. Prints one JSON object.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0 });
const model = "gpt-5.5 chat";

const conversation = await client.conversations.create({ items: [{ role: "user", content: "hello" }] });
await client.responses.create({ model, input: "again", conversation: conversation.id });
const kinds = [];
for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) kinds.push(item.role);
const deleted = await client.conversations.delete(conversation.id);

const { input_tokens: tokens } = await client.responses.inputTokens.count({ model, input: "hello world" });
const compacted = await client.responses.compact({ model, input: "hello world" });

const socket = new ResponsesWS(client);
const told = [];
let first;
socket.send({ type: "response.create", model, input: "one", store: false });
for await (const message of socket.stream()) {
  if (message.type !== "message") continue;
  const event = message.message;
  if (event.type !== "response.completed") continue;
  told.push([event.response.output_text ?? event.response.output.at(-1).content[0].text, event.response.previous_response_id === first]);
  if (told.length === 2) break;
  first = event.response.id;
  socket.send({ type: "response.create", model, input: "two", store: false, previous_response_id: first });
}
socket.close();

console.log(
  JSON.stringify({ kinds, deleted: deleted.deleted, tokens, compacted: compacted.output.map((item) => item.type), told }),
);
