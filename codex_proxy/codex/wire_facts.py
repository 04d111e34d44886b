"""Structs for the CLI's messages about its models, account and configuration; wire.py has the others."""

from typing import Any

import msgspec


class Effort(msgspec.Struct, frozen=True, rename="camel"):
    reasoning_effort: str


class Model(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of model/list."""

    id: str
    model: str
    hidden: bool = False
    is_default: bool = False
    display_name: str = ""
    supported_reasoning_efforts: tuple[Effort, ...] = ()
    default_reasoning_effort: str | None = None
    input_modalities: tuple[str, ...] = ("text",)


class ModelPage(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to model/list."""

    data: tuple[Model, ...]
    next_cursor: str | None = None


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to account/read. A turn can run when there is an account or none is required."""

    requires_openai_auth: bool
    account: dict[str, Any] | None = None  # Any: differs by kind of login; `type` and `planType` are read if present


class Provider(msgspec.Struct, frozen=True):
    base_url: str | None = None


class Config(msgspec.Struct, frozen=True):
    """The effective configuration: the members that we read. `model_provider` None means openai."""

    model: str | None = None
    model_context_window: int | None = None
    model_provider: str | None = None
    model_providers: dict[str, Provider] = {}
    mcp_servers: dict[str, Any] = {}  # Any: only the names are read
    project_doc_fallback_filenames: tuple[str, ...] = ()


class ConfigRead(msgspec.Struct, frozen=True):
    """The answer to config/read."""

    config: Config
