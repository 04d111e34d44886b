"""Ready configurations for third-party clients, each with the place where it belongs.

In a text, URL, KEY, MODEL (Codex as the agent) and CHAT (the bare model, for clients that bring their own tools) are written
between at signs; they become JSON strings, which are also valid TOML, YAML, Python and JavaScript; @=URL@ etc. become bare words.
"""

import re

import msgspec

_HOLE = re.compile(r"@(=?)(URL|KEY|MODEL|CHAT)@")


class ClientConfig(msgspec.Struct, frozen=True):
    """A client's configuration. `kind` is the syntax of `text`, `where` the place it belongs, `note` what else to know."""

    kind: str
    where: str
    text: str
    note: str = ""

    def filled(self, values: dict[str, str]) -> str:
        """Return the text with the address, key and model names filled in."""
        return _HOLE.sub(lambda hole: values[hole[2]] if hole[1] else msgspec.json.encode(values[hole[2]]).decode(), self.text)


CONFIGS = {
    "aider": ClientConfig(
        "yaml",
        "~/.aider.conf.yml",
        """\
openai-api-base: @URL@
openai-api-key: @KEY@
model: "openai/@=CHAT@"
show-model-warnings: false
""",
    ),
    "cline": ClientConfig(
        "text",
        "Cline's settings, API Configuration",
        """\
API Provider: OpenAI Compatible
Base URL: @=URL@
OpenAI Compatible API Key: @=KEY@
Model ID: @=CHAT@
""",
        "Roo Code and Kilo Code have the same fields.",
    ),
    "codex": ClientConfig(
        "toml",
        "~/.codex/config.toml (not in the Codex home that the server uses)",
        """\
model = @CHAT@
model_provider = "codex-proxy"

[model_providers.codex-proxy]
name = "codex-proxy"
base_url = @URL@
wire_api = "responses"
http_headers = { Authorization = "Bearer @=KEY@" }
""",
        "The agent and its sandbox run on the client's side; the server provides the model alone.",
    ),
    "continue": ClientConfig(
        "yaml",
        "~/.continue/config.yaml",
        """\
name: codex-proxy
version: 1.0.0
schema: v1
models:
  - name: Codex
    provider: openai
    model: @CHAT@
    apiBase: @URL@
    apiKey: @KEY@
    roles: [chat, edit, apply]
""",
    ),
    "curl": ClientConfig(
        "sh",
        "a shell",
        """\
curl -N @=URL@/chat/completions -H "Authorization: Bearer @=KEY@" -H "Content-Type: application/json" \\
  -d '{"model": @MODEL@, "stream": true, "messages": [{"role": "user", "content": "What is in this directory?"}]}'
""",
    ),
    "langchain": ClientConfig(
        "python",
        "a Python program; pip install langchain-openai",
        """\
from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url=@URL@, api_key=@KEY@, model=@MODEL@)
print(model.invoke("What is in this directory?").content)
""",
    ),
    "librechat": ClientConfig(
        "yaml",
        "librechat.yaml",
        """\
version: 1.2.8
endpoints:
  custom:
    - name: codex-proxy
      baseURL: @URL@
      apiKey: @KEY@
      models:
        default: [@MODEL@, @CHAT@]
        fetch: true
      titleConvo: true
      titleModel: @CHAT@
""",
        "In a container, the server has a different address: see PROXY_HOST and PROXY_ALLOWED_HOSTS in docs/ENV.md.",
    ),
    "litellm": ClientConfig(
        "yaml",
        "config.yaml of LiteLLM's proxy",
        """\
model_list:
  - model_name: codex
    litellm_params:
      model: "openai/@=MODEL@"
      api_base: @URL@
      api_key: @KEY@
""",
    ),
    "llm": ClientConfig(
        "yaml",
        "extra-openai-models.yaml in the directory of: llm logs path",
        """\
- model_id: codex
  model_name: @MODEL@
  api_base: @URL@
  api_key_name: codex-proxy
  can_stream: true
  supports_schema: true
  supports_tools: true
  vision: true
""",
        "Then: llm keys set codex-proxy --value @=KEY@, and: llm -m codex 'What is in this directory?'",
    ),
    "node": ClientConfig(
        "javascript",
        "a JavaScript module; npm install openai",
        """\
import OpenAI from "openai";

const client = new OpenAI({baseURL: @URL@, apiKey: @KEY@});
const response = await client.responses.create({model: @MODEL@, input: "What is in this directory?"});
console.log(response.output_text);
""",
    ),
    "open-webui": ClientConfig(
        "env",
        "the environment of open-webui serve (or: docker run --env-file)",
        """\
OPENAI_API_BASE_URL=@=URL@
OPENAI_API_KEY=@=KEY@
ENABLE_OLLAMA_API=False
DEFAULT_MODELS=@=MODEL@
TASK_MODEL_EXTERNAL=@=CHAT@
""",
        "In a container, the server has a different address: see PROXY_HOST and PROXY_ALLOWED_HOSTS in docs/ENV.md.",
    ),
    "openai": ClientConfig(
        "python",
        "a Python program; pip install openai",
        """\
from openai import OpenAI

client = OpenAI(base_url=@URL@, api_key=@KEY@)
response = client.responses.create(model=@MODEL@, input="What is in this directory?")
print(response.output_text)
""",
    ),
    "opencode": ClientConfig(
        "json",
        "opencode.json in a project, or ~/.config/opencode/opencode.json",
        """\
{
  "$schema": "https://opencode.ai/config.json",
  "model": "codex-proxy/@=CHAT@",
  "provider": {
    "codex-proxy": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "codex-proxy",
      "options": {"baseURL": @URL@, "apiKey": @KEY@},
      "models": {@CHAT@: {"name": @CHAT@}}
    }
  }
}
""",
    ),
    "qwen-code": ClientConfig(
        "env",
        "the environment of qwen, or .env in the project",
        """\
OPENAI_BASE_URL=@=URL@
OPENAI_API_KEY=@=KEY@
OPENAI_MODEL=@=CHAT@
""",
    ),
    "zed": ClientConfig(
        "json",
        "settings.json of Zed",
        """\
{
  "language_models": {
    "openai_compatible": {
      "codex-proxy": {
        "api_url": @URL@,
        "available_models": [
          {"name": @CHAT@, "display_name": @CHAT@, "max_tokens": 200000}
        ]
      }
    }
  }
}
""",
        "Zed asks for the key in its Agent settings; it is @=KEY@",
    ),
}
