// The Vercel AI SDK with its default settings: three turns, the second one with a tool. Prints what it got as one JSON object.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const sent = [];
const asked = async (url, init) => {
  sent.push(JSON.parse(init.body));
  return fetch(url, init);
};
const model = createOpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", fetch: asked })("gpt-5.5");
const weather = tool({
  description: "The weather in a city.",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false }),
  execute: async ({ city }) => `It is sunny in ${city}.`,
});
const messages = [];
const said = [];
const steps = stepCountIs(5);

async function turn(content, run, options = {}) {
  messages.push({ role: "user", content });
  const result = await run({ model, messages, maxRetries: 0, stopWhen: steps, ...options });
  const text = await result.text;
  said.push(text);
  messages.push(...(await result.response).messages);
}

await turn("Remember the number 7.", generateText);
await turn("Rome?", streamText, { tools: { get_weather: weather } });
await turn("Which number?", generateText);

const references = sent.map((body) => body.input.filter((item) => item.type === "item_reference").length);
console.log(JSON.stringify({ said, references }));
