"""codex-proxy: OpenAI's Codex CLI, an agent with a sandbox, behind the OpenAI API.

How a request passes through the package:

    web/        auth, limits, body          knows HTTP
    dialects/   bytes -> Turn               pure
    policy      may this turn run like this?    pure
    jobs        Job on a bounded queue      full = QueueFull at once
    supervisor  one of N takes it           each sees one job to its end
    codex/      worker, process             one warm `codex app-server` for each supervisor
    turns       TurnEvent, TurnEvent, …     back through the job's bounded channel
    dialects/   TurnEvent -> frame          pure
    web/sse     frame -> server-sent event
"""

__version__ = "0.1.0"
