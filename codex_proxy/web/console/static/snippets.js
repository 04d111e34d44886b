// Requests and configurations as text: the latest request as curl and as Python, and the settings of other clients.

import {baseUrl, key} from "./api.js";

/** Quote a word for a POSIX shell. @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {unknown} value JSON @returns {string} the same as a Python literal */
export function python(value, indent = "    ") {
  if (typeof value === "string") return pythonText(value);
  if (value === null || typeof value !== "object") return {null: "None", true: "True", false: "False"}[String(value)] ?? String(value);
  const deeper = `${indent}    `;
  if (Array.isArray(value)) return value.length ? `[\n${value.map((one) => `${deeper}${python(one, deeper)},\n`).join("")}${indent}]` : "[]";
  return `{\n${Object.entries(value).map(([name, one]) => `${deeper}${pythonText(name)}: ${python(one, deeper)},\n`).join("")}${indent}}`;
}

/** Quote a text: JSON's escapes are valid in Python, except for the slash and lone surrogates. @param {string} text */
function pythonText(text) {
  return JSON.stringify(text).replace(/[\u007f-\u00a0\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The options of curl for a JSON body. */
function posting() {
  return `${key.get() ? ` \\\n  -H "Authorization: Bearer $PROXY_API_KEY"` : ""} \\\n  -H 'Content-Type: application/json' \\\n  -d`;
}

/** The request a person would send: without the console's own background and stream. @param {import("../types").Body} body */
export function asCurl(body) {
  return `curl -sS ${quoted(`${baseUrl}/responses`)}${posting()} ${quoted(JSON.stringify(body, null, 2))}`;
}

/** @param {import("../types").Body} body */
export function asPython(body) {
  const {x_codex: extra, ...rest} = body;
  const members = Object.entries(rest).map(([name, value]) => `    ${name}=${python(value)},\n`);
  if (Object.keys(extra).length) members.push(`    extra_body=${python({x_codex: extra})},\n`);
  const secret = key.get() ? `os.environ["PROXY_API_KEY"]` : `"unused"`;
  const imports = key.get() ? "import os\n\n" : "";
  return `${imports}from openai import OpenAI

client = OpenAI(base_url=${pythonText(baseUrl)}, api_key=${secret})
response = client.responses.create(
${members.join("")})
print(response.output_text)
`;
}

/** The configurations of clients. @param {string} model @returns {{name: string, hint: string, code: string}[]} */
export function clients(model) {
  const secret = key.get() ? "YOUR_KEY" : "unused";
  const alone = `${model}:chat`; // the bare model, for clients with their own agent and tools
  return [
    {name: "Python", hint: "pip install openai", code: `from openai import OpenAI\n\nclient = OpenAI(base_url="${baseUrl}", api_key="${secret}")\nresponse = client.responses.create(model="${model}", input="What is in this directory?")\nprint(response.output_text)`},
    {name: "Node.js", hint: "npm install openai", code: `import OpenAI from "openai";\n\nconst client = new OpenAI({baseURL: "${baseUrl}", apiKey: "${secret}"});\nconst response = await client.responses.create({model: "${model}", input: "What is in this directory?"});\nconsole.log(response.output_text);`},
    {name: "curl", hint: "streams as it comes", code: `curl -N ${baseUrl}/chat/completions${posting()} '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'`},
    {name: "LangChain", hint: "pip install langchain-openai", code: `from langchain_openai import ChatOpenAI\n\nmodel = ChatOpenAI(base_url="${baseUrl}", api_key="${secret}", model="${model}")\nprint(model.invoke("What is in this directory?").content)`},
    {name: "Codex CLI", hint: "~/.codex/config.toml on the client's machine", code: `model = "${alone}"\nmodel_provider = "codex-proxy"\n\n[model_providers.codex-proxy]\nname = "codex-proxy"\nbase_url = "${baseUrl}"\nwire_api = "responses"\nhttp_headers = { Authorization = "Bearer ${secret}" }`},
    {name: "Continue", hint: "VS Code and JetBrains: ~/.continue/config.yaml", code: `name: codex-proxy\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: Codex\n    provider: openai\n    model: "${alone}"\n    apiBase: "${baseUrl}"\n    apiKey: "${secret}"\n    roles: [chat, edit, apply]`},
    {name: "Zed", hint: "settings.json; the key is asked for in the Agent panel", code: JSON.stringify({language_models: {openai_compatible: {"codex-proxy": {api_url: baseUrl, available_models: [{name: alone, display_name: alone, max_tokens: 200000}]}}}}, null, 2)},
    {name: "Open WebUI", hint: "its environment; inside a container, use the host's address instead of 127.0.0.1", code: `OPENAI_API_BASE_URL=${baseUrl}\nOPENAI_API_KEY=${secret}\nENABLE_OLLAMA_API=False\nDEFAULT_MODELS=${model}\nTASK_MODEL_EXTERNAL=${alone}`},
  ];
}
