"""GET /metrics: the server's metrics in Prometheus format. Each application has its own registry.

Turns and answers are counted as they end; the rest is read on request. No label holds a value that clients can invent: models come
from the catalogue, routes are patterns, and unknown methods and terms of the CLI are combined.
"""

import functools
import ipaddress
from collections import Counter
from collections.abc import Iterator

import prometheus_client
from aiohttp import hdrs, web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from codex_proxy import __version__
from codex_proxy.codex.worker_counts import WorkerCounts
from codex_proxy.errors import Forbidden
from codex_proxy.outcome import Outcome
from codex_proxy.web.server import SERVER, Server

_FIRST_TEXT = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120)  # seconds, like the two below
_TURN = (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
_QUEUE = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
_METHODS = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_DELETE, hdrs.METH_OPTIONS)
_UNKNOWN_AT_MOST = 30  # of the CLI's methods; the rest is "other"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")

prometheus_client.disable_created_metrics()  # they would be a second series for each metric


class Metrics:
    """The registry, and the metrics counted as things happen."""

    def __init__(self, cli_version: str) -> None:
        self.registry = registry = CollectorRegistry()
        counter = functools.partial(prometheus_client.Counter, registry=registry)
        histogram = functools.partial(prometheus_client.Histogram, registry=registry)
        prometheus_client.ProcessCollector(registry=registry)
        build = prometheus_client.Info("codex_proxy_build", "The versions of codex-proxy and of the Codex CLI.", registry=registry)
        build.info({"version": __version__, "cli_version": cli_version})
        self._turns = counter("codex_proxy_turns", "Ended turns, by outcome.", ("outcome", "model", "mode"))
        told = "Tokens of ended turns. Input includes cached tokens, output includes reasoning tokens."
        self._tokens = counter("codex_proxy_tokens", told, ("kind", "model"))
        told = "Turns that were begun, by what became of the conversation that they continue: live, resumed, rebuilt, or new."
        self._conversations = counter("codex_proxy_conversations", told, ("continuation", "mode"))
        told = "From the start of a turn by a worker to its first text."
        self._first_text = histogram("codex_proxy_turn_first_text_seconds", told, ("mode",), buckets=_FIRST_TEXT)
        told = "From the start of a turn by a worker to its end."
        self._duration = histogram("codex_proxy_turn_duration_seconds", told, ("mode",), buckets=_TURN)
        told = "How long turns waited for a worker, or gave up waiting."
        self._waited = histogram("codex_proxy_queue_wait_seconds", told, buckets=_QUEUE)
        told = "HTTP responses started, by route and status."
        self._answers = counter("codex_proxy_http_answers", told, ("route", "method", "status"))

    def count_outcome(self, outcome: Outcome) -> None:
        """Count a turn that has ended."""
        model, mode = outcome.turn.model, outcome.turn.mode
        self._turns.labels(outcome.ending, model, mode).inc()
        self._waited.observe(outcome.waited)
        if outcome.continuation is not None:
            self._conversations.labels(outcome.continuation, mode).inc()
        if outcome.took is not None:
            self._duration.labels(mode).observe(outcome.took)
        if outcome.first_text is not None:
            self._first_text.labels(mode).observe(outcome.first_text)
        if (usage := outcome.usage) is not None:
            for kind in ("input", "cached", "output", "reasoning"):
                self._tokens.labels(kind, model).inc(getattr(usage, kind))

    async def count_answer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Count an answer when its response is prepared."""
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        method = request.method if request.method in _METHODS else "other"
        self._answers.labels(route, method, str(response.status)).inc()


class Present(Collector):
    """Metrics of the present state, read when the registry is collected."""

    def __init__(self, server: Server, counts: WorkerCounts) -> None:
        self._server = server
        self._counts = counts

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        server, jobs = self._server, self._server.jobs
        yield GaugeMetricFamily("codex_proxy_ready", "Whether a turn could run now: 1 or 0.", server.trouble() is None)
        yield GaugeMetricFamily("codex_proxy_turns_running", "Turns running on workers.", server.supervisors.running)
        yield GaugeMetricFamily("codex_proxy_queue_depth", "Turns waiting for a worker.", jobs.waiting)
        yield GaugeMetricFamily("codex_proxy_queue_limit", "Maximum number of waiting turns.", jobs.size)
        told = "Requests this instance rate-limited on its own because the store did not answer."
        yield CounterMetricFamily("codex_proxy_rates_counted_alone", told, server.rate.alone)
        yield GaugeMetricFamily(
            "codex_proxy_background_responses", "Background responses in progress on this instance.", server.backgrounds.open
        )
        yield _counted("codex_proxy_store_errors", "Failed store calls, by error code.", "code", server.store.failures)
        workers = GaugeMetricFamily("codex_proxy_workers", "CLI processes: starting, idle, or busy with a turn.", labels=["state"])
        for state, number in self._counts.states.items():
            workers.add_metric([state], number)
        yield workers
        yield _counted("codex_proxy_worker_replacements", "CLI processes that ended, by reason.", "reason", self._counts.replaced)
        yield _counted(
            "codex_proxy_unknown_messages", "Messages from the CLI that this version does not know.", "method", self._unknown()
        )

    def _unknown(self) -> Counter[str]:
        folded: Counter[str] = Counter()
        for number, (method, times) in enumerate(self._counts.unknown.items()):
            folded[method if number < _UNKNOWN_AT_MOST else "other"] += times
        return folded


def _counted(name: str, meaning: str, label: str, numbers: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], number)
    return family


METRICS = web.AppKey("metrics", Metrics)


async def show(request: web.Request) -> web.Response:
    """Return all metrics, to this machine or to holders of a key; as OpenMetrics if the request accepts that."""
    server = request.app[SERVER]
    if not _from_here(request):
        if not server.settings.has_keys:
            raise Forbidden("Metrics are available from the server's own machine, or with a key; this server has no keys.")
        await server.admit(request)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(request.app[METRICS].registry), headers={"Content-Type": content_type})


def _from_here(request: web.Request) -> bool:
    """Return whether the peer is on this machine and is not a proxy for someone else."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    peer = request.transport and request.transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return isinstance(peer, str | bytes)  # a Unix socket
    address = ipaddress.ip_address(peer[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
