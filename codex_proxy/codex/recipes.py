"""Choose the settings of a thread for a turn: what its recipe has of the turn, of the server's settings and of the CLI's facts."""

import msgspec

from codex_proxy.catalog import Facts
from codex_proxy.codex import documents, home
from codex_proxy.codex.thread import Recipe
from codex_proxy.codex.view import View, Views
from codex_proxy.settings import Settings
from codex_proxy.turns import Mode, Turn


class Recipes:
    """The recipes of one worker. `programs`: executables of the CLI, which its commands need to see."""

    def __init__(self, settings: Settings, mode: Mode, facts: Facts, programs: set[str]) -> None:
        self._settings = settings
        self._mode = mode
        self._facts = facts
        self._home = home.codex_home(settings)
        self._views = Views(settings, programs)

    def default(self) -> Recipe:
        """For a turn that asks for nothing special."""
        settings = self._settings
        view = self._view(
            writes=settings.sandbox == "workspace-write", root=str(settings.workdir), network=settings.workspace_network
        )
        return self._plain(self._facts.catalog.default, str(settings.workdir), view)

    def of(self, turn: Turn) -> Recipe:
        view = self._view(writes=turn.sandbox == "workspace-write", root=turn.root, network=turn.network)
        return msgspec.structs.replace(
            self._plain(turn.model, turn.cwd, view),
            web_search=turn.web_search,
            verbosity=turn.verbosity,
            raw_reasoning=turn.raw_reasoning,
            tools=turn.tools,
            in_code_mode=any(model.may_script for model in self._facts.catalog.models if model.id == turn.model),
            on_disk=turn.keep == "disk",
        )

    def _view(self, *, writes: bool, root: str, network: bool) -> View:
        """What commands see; an empty view in chat mode, which has no commands."""
        if self._mode == "chat":
            return View()
        return self._views.view(root=root if writes else None, network=writes and network)

    def _plain(self, model: str, cwd: str, view: View) -> Recipe:
        return Recipe(
            model=model,
            mode=self._mode,
            cwd=cwd if self._mode == "agent" else str(self._home),  # not used in chat mode
            view=view,
            user_documents=documents.user_versions(self._home),
            web_search="configured" if self._mode == "agent" and self._settings.network_ceiling else "disabled",
            verbosity=None,
            raw_reasoning=False,
            tools=(),
            mcp_servers=self._facts.mcp_servers if self._mode == "chat" else (),
        )
