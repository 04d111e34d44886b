"""What a freshly started CLI reports about itself: its models, its provider and its login."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from codex_proxy.catalog import Catalog, Facts, Model, with_extras
from codex_proxy.codex import wire_facts as wire
from codex_proxy.codex.connection import Connection
from codex_proxy.errors import WorkerFailed
from codex_proxy.settings import Settings

_PAGES_AT_MOST = 20
_LOCAL = re.compile(
    r"(?:https?://(?:localhost|127(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|\d?\d)){3}|\[::1\])(?::\d{1,5})?|unix:/)(?:/[^\\@\s]*)?", re.ASCII
)


async def ask(connection: Connection, settings: Settings, bundled: Mapping[str, dict[str, Any]]) -> Facts:
    """Ask the CLI; `bundled` are the models it was built with. Raises WorkerFailed."""
    config = await _configuration(connection)
    account = await connection.request("account/read", {}, wire.Account)
    return Facts(
        catalog=_catalog(await _models(connection), config, settings, bundled),
        provider=_provider(config),
        provider_url=_provider_url(config),
        provider_local=_provider_local(config),
        usable=account.account is not None or not account.requires_openai_auth,
        mcp_servers=tuple(config.mcp_servers),
        document_names=config.project_doc_fallback_filenames,
        account=_word(account, "type"),
        plan=_word(account, "planType"),
    )


async def check_local(connection: Connection, provider: str) -> None:
    """Check the provider of a thread that has just started, because it may have changed since `ask`.

    Raises WorkerFailed unless the provider is certainly on this machine.
    """
    config = await _configuration(connection)
    if provider != _provider(config) or not _provider_local(config):
        raise WorkerFailed("Codex's model provider has changed and is not local any more.", detail=f"provider: {provider}")


def is_local(url: str | None) -> bool:
    """Whether a URL is certainly on this machine: localhost, 127.0.0.0/8, ::1 or a Unix socket.

    Accepts only forms that all URL parsers read alike; the CLI takes a backslash for a slash, for instance.
    """
    return url is not None and _LOCAL.fullmatch(url) is not None


async def _configuration(connection: Connection) -> wire.Config:
    """The user's configuration, without that of any directory: threads do not use those either."""
    return (await connection.request("config/read", {"includeLayers": False}, wire.ConfigRead)).config


def _word(account: wire.Account, name: str) -> str | None:
    value = (account.account or {}).get(name)
    return value if isinstance(value, str) else None


def _provider(config: wire.Config) -> str:
    return config.model_provider or "openai"


def _provider_url(config: wire.Config) -> str | None:
    provider = config.model_providers.get(_provider(config))
    return None if provider is None else provider.base_url


def _provider_local(config: wire.Config) -> bool:
    return is_local(_provider_url(config))


async def _models(connection: Connection) -> list[wire.Model]:
    models: list[wire.Model] = []
    cursor: str | None = None
    for _ in range(_PAGES_AT_MOST):
        page = await connection.request("model/list", {"includeHidden": True, "cursor": cursor}, wire.ModelPage)
        models += page.data
        if (cursor := page.next_cursor) is None:
            break
    return models


def _catalog(listed: list[wire.Model], config: wire.Config, settings: Settings, bundled: Mapping[str, dict[str, Any]]) -> Catalog:
    extras = settings.extra_models
    models = with_extras(tuple(_model(entry, bundled.get(entry.id)) for entry in listed), config.model, extras)
    builtin_default = next((entry.id for entry in listed if entry.is_default), models[0].id if models else "")
    if config.model_context_window is not None:  # overrides what the CLI knows about the configured model
        models = tuple(
            msgspec.structs.replace(model, context_length=config.model_context_window) if model.id == config.model else model
            for model in models
        )
    return Catalog(models, config.model or builtin_default, dict(settings.model_aliases), extras)


def _model(entry: wire.Model, bundled: dict[str, Any] | None) -> Model:
    window = bundled.get("context_window") if bundled else None
    return Model(
        id=entry.id,
        efforts=tuple(effort.reasoning_effort for effort in entry.supported_reasoning_efforts),
        default_effort=entry.default_reasoning_effort,
        modalities=entry.input_modalities,
        hidden=entry.hidden,
        display_name=entry.display_name,
        context_length=window if isinstance(window, int) else None,
        manifest=bundled,
    )
