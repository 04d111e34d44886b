"""codex-proxy: OpenAI's Codex CLI, an agent with a sandbox, behind the OpenAI API.

The path of a request through the package:

    web/        auth, limits, body          knows HTTP
    dialects/   bytes -> Turn               pure
    policy      limits, defaults            pure
    jobs        Job on a bounded queue      QueueFull at once when full
    supervisor  one of N takes the job      and handles it to the end
    codex/      worker, process             one warm `codex app-server` per supervisor
    turns       TurnEvent, TurnEvent, …     back through the job's bounded channel
    dialects/   TurnEvent -> frame          pure
    web/sse     frame -> server-sent event
"""

__version__ = "0.1.0"
