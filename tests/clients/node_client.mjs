// The official OpenAI SDK for Node.js against the server at BASE_URL. Prints what it got as one JSON object.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", maxRetries: 0 });
const model = "gpt-5.5";
const messages = [{ role: "user", content: "Rome?" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const pieces = [];
const chunks = await client.chat.completions.create({ model, messages, stream: true });
for await (const chunk of chunks) pieces.push(chunk.choices[0].delta.content ?? "");

const weather = { type: "function", function: { name: "get_weather", parameters } };
const completion = await client.chat.completions.create({ model, messages, tools: [weather] });

const events = [];
const stream = client.responses.stream({ model, input: "Rome?" });
for await (const event of stream) events.push(event.type);
const response = await stream.finalResponse();

console.log(
  JSON.stringify({
    pieces: pieces.filter((piece) => piece),
    call: completion.choices[0].message.tool_calls[0],
    first: events[0],
    last: events.at(-1),
    numberOfDeltas: events.filter((type) => type === "response.output_text.delta").length,
    text: response.output_text,
    types: response.output.map((item) => item.type),
    usage: response.usage.total_tokens,
  }),
);
