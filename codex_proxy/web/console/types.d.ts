// The types that the console's modules name in their JSDoc: what the server sends, as /openapi.json has it.

export type Doing = {
  kind: "starting" | "waiting" | "retrying" | "thinking" | "writing" | "command" | "patch" | "mcp_call" | "search" | "tool_call";
  text: string;
  since: number;
};
export type TurnNow = {
  id: string;
  key: string;
  own: boolean;
  state: "queued" | "running" | "stopping";
  model: string;
  effort: string | null;
  mode: "agent" | "chat";
  sandbox: string | null;
  network: boolean;
  directory: string;
  submitted_at: number;
  started_at: number | null;
  doing: Doing | null;
};
export type Login = {usable: boolean; account: string | null; plan: string | null; provider: string | null; local: boolean};
export type QuotaWindow = {limit: string | null; used_percent: number; minutes: number | null; resets_at: number | null};
export type You = {
  name: string;
  operator: boolean;
  needs_key: boolean;
  default_mode: string;
  default_effort: string;
  sandboxes: string[];
  workspaces: string[];
  turn_timeout: number;
};
export type Status = {
  now: number;
  started_at: number;
  version: string;
  cli_version: string;
  ready: boolean;
  reason: string | null;
  login: Login | null;
  quota: QuotaWindow[];
  workers: {parallel: number; starting: number; idle: number; busy: number};
  queue: {waiting: number; limit: number};
  you: You;
  turns: TurnNow[];
};
export type Live = {
  link: "connecting" | "open" | "lost" | "refused";
  status: Status | null;
  offset: number;
  problem: string;
  wrongKey: boolean;
};
export type Usage = {input_tokens: number; output_tokens: number; input_tokens_details: {cached_tokens: number}};
export type Item = {
  type: string;
  id: string;
  status?: string;
  role?: string;
  phase?: string;
  content?: string | {type: string; text?: string; refusal?: string; image_url?: string}[];
  summary?: {text: string}[];
  name?: string;
  arguments?: string;
  output?: unknown;
  error?: {content: {text: string}[]} | null;
  action?: {type: string; query?: string; url?: string};
};
export type Answer = {
  id: string;
  created_at: number;
  completed_at: number | null;
  status: string;
  model: string;
  background: boolean;
  output: Item[];
  usage: Usage | null;
  error: {code: string; message: string} | null;
  incomplete_details: {reason: string} | null;
  max_output_tokens: number | null;
  previous_response_id: string | null;
};
export type Kept = {
  id: string;
  created_at: number;
  status: string;
  model: string;
  title: string;
  previous_response_id: string | null;
  usage: Usage | null;
};
export type Place = {node: HTMLElement; show: (rest: string) => void; hide?: () => void};
export type Body = {
  model?: string;
  input: unknown;
  reasoning?: {effort?: string; summary: string};
  previous_response_id?: string;
  x_codex: {mode?: string; sandbox?: string; cwd?: string};
};
