"""The console's routes in /openapi.json."""

from collections.abc import Callable
from typing import Any

from codex_proxy.web.console.events import Change
from codex_proxy.web.console.kept import KeptPage
from codex_proxy.web.console.status import Status
from codex_proxy.web.console.turns import Stopping

TYPES = (Status, Change, Stopping, KeptPage)
_QUERY = (
    *({"name": name, "in": "query", "schema": {"type": "string"}} for name in ("search", "model", "after")),
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
)

Operation = Callable[..., dict[str, Any]]  # Any: JSON, as everywhere in this module


def paths(schema: dict[Any, dict[str, Any]], operation: Operation, name: dict[str, Any]) -> dict[str, Any]:
    """Return the paths. `operation` builds one from a name, a summary, its answer's content, etc.; `name` is an id in a path."""

    def json(type_: Any) -> dict[str, Any]:
        return {"application/json": {"schema": schema[type_]}}

    told = {"type": "string"}
    events = {"text/event-stream": {"schema": told, "x-event-schema": {"anyOf": [schema[Status], schema[Change]]}}}
    return {
        "/x_codex/status": {"get": operation("getStatus", "Whether turns can run, and the running turns", json(Status))},
        "/x_codex/events": {"get": operation("streamStatus", "The status, then what changes", events)},
        "/x_codex/turns/{id}/cancel": {
            "post": operation("cancelTurn", "Stop a running or waiting turn", json(Stopping), parameters=[name])
        },
        "/x_codex/responses": {
            "get": operation("listKept", "The caller's stored responses, latest first", json(KeptPage), parameters=[*_QUERY])
        },
    }
