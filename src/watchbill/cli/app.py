"""The command line. Commands are listed here as data and imported only when called, so that help is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from watchbill import __version__
from watchbill.kernel.errors import WatchbillError


class Entry(NamedTuple):
    """One top-level command: where its ``typer.Typer`` is, and its line in the help.

    A group has subcommands (``watchbill incident list``) even when there is only one yet.
    """

    name: str
    module: str
    help: str
    group: bool = True
    attribute: str = "app"


COMMANDS: tuple[Entry, ...] = (
    Entry("up", "watchbill.cli.up", "Start Watchbill on this machine.", group=False),
    Entry("run", "watchbill.cli.run", "Run one process: server, pager, observer or worker.", group=False),
    Entry("migrate", "watchbill.cli.migrate", "Bring the database to this version's schema.", group=False),
    Entry("backup", "watchbill.cli.backup", "Save the state of an installation to a file.", group=False),
    Entry("restore", "watchbill.cli.restore", "Bring a backup back.", group=False),
    Entry("status", "watchbill.cli.status", "Say how each process is, and what waits.", group=False),
    Entry("init", "watchbill.cli.init", "Write a first manifest for this repository.", group=False),
    Entry("validate", "watchbill.cli.validate", "Check manifests; needs no server.", group=False),
    Entry("apply", "watchbill.cli.apply", "Plan and apply manifests.", group=False),
    Entry("import", "watchbill.cli.import_", "Leave PagerDuty, Opsgenie or Grafana OnCall behind."),
    Entry("schema", "watchbill.cli.schema", "Print the JSON Schema of a manifest, for editors.", group=False),
    Entry("team", "watchbill.cli.team", "Teams and their members."),
    Entry("service", "watchbill.cli.service", "Services, their owners and operations."),
    Entry("oncall", "watchbill.cli.oncall", "Who is on call, shifts, overrides, swaps, time off and gaps."),
    Entry("incident", "watchbill.cli.incident", "Incidents: list, show, acknowledge, resolve."),
    Entry("policy", "watchbill.cli.policy", "Test an escalation policy, and replay history under it."),
    Entry("slo", "watchbill.cli.slo", "Objectives, their budgets and their burn."),
    Entry("tickets", "watchbill.cli.tickets", "Where slow burns go: GitHub, GitLab, Jira or the team's chat."),
    Entry("deploy", "watchbill.cli.deploy", "Changes: start, finish, list; DORA's measures."),
    Entry("gate", "watchbill.cli.gate", "May this go out now? Exit 0 go, 1 no-go, 2 unknown.", group=False),
    Entry("capacity", "watchbill.cli.capacity", "When it runs out, what breaks first, what to order by when."),
    Entry("evidence", "watchbill.cli.evidence", "Which dependencies have a timeout, a breaker, a drill.", group=False),
    Entry("trace", "watchbill.cli.trace", "Traces, with the owner of each span."),
    Entry("rollback", "watchbill.cli.rollback", "Undo a deploy; suspects of an incident; the automation switch."),
    Entry("runner", "watchbill.cli.runner", "Runners: where your team's rollbacks are carried out."),
    Entry("verify", "watchbill.cli.verify", "Say whether a version is worse than another.", group=False),
    Entry("event", "watchbill.cli.event", "Send an event, as other tools do."),
    Entry("test-page", "watchbill.cli.test_page", "Page a team on purpose, to see that it arrives.", group=False),
    Entry("integration", "watchbill.cli.integration", "Keys by which other tools send alerts."),
    Entry("person", "watchbill.cli.person", "People: list, invite, change, erase."),
    Entry("contact", "watchbill.cli.contact", "How people are reached."),
    Entry("token", "watchbill.cli.token", "API tokens: create, list, revoke."),
    Entry("ledger", "watchbill.cli.ledger", "What happened: who, what, why."),
    Entry("version", "watchbill.cli.version", "Print the version here and of the server.", group=False),
)

EXIT_CODES = (
    (0, "done"),
    (1, "failed, or the answer is no"),
    (2, "the command or what it was given is invalid"),
    (3, "not signed in, or not allowed"),
    (4, "no such thing"),
    (5, "the thing's state does not allow it"),
    (6, "Watchbill or something it needs is away; try again"),
    (7, "cannot start here: port, folder, disk, settings"),
    (130, "interrupted"),
)

_EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES) + "."


def load(entry: Entry) -> Any:
    """Import a command's module and return its click command, named and described as in the list."""
    noun: typer.Typer = getattr(importlib.import_module(entry.module), entry.attribute)
    noun._add_completion = False  # completion is the root's
    build: Callable[[typer.Typer], Any] = typer.main.get_group if entry.group else typer.main.get_command
    command = build(noun)
    command.name = entry.name
    if entry.group:
        command.help = command.help or entry.help
        command.no_args_is_help = True
    return command


class CommandIndex(TyperGroup):
    """Help, completion and suggestions read the list; only the command that is called is imported."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._entries = {entry.name: entry for entry in COMMANDS}
        self.commands = {
            entry.name: TyperCommand(name=entry.name, help=entry.help, rich_markup_mode=None) for entry in COMMANDS
        }

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(self._entries)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            command = load(self._entries[name])
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Errors of ours become a message that says where and how to mend it, and their exit code."""
        try:
            return super().invoke(ctx)
        except WatchbillError as error:
            _say(error)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted\n")
            raise typer.Exit(130) from None


def _say(error: WatchbillError) -> None:
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}error{plain} [{error.problem.code}]: {error}\n")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"watchbill {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    name="watchbill",
    cls=CommandIndex,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def watchbill(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The control plane for "you build it, you run it": who owns it, who is paged, what working means.

    Talks to the server at WATCHBILL_URL with WATCHBILL_TOKEN; on the machine that runs `watchbill up`,
    --home DIR needs neither. Every command takes --json.
    """


def main() -> None:
    """The entry point of the ``watchbill`` script."""
    app(prog_name="watchbill")


if __name__ == "__main__":
    main()
