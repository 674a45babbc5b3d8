"""The command rhcard: one module a command group, imported when that command is run.

Nothing is imported here that `rhcard --version` does not need; benchmarks/startup.py holds that.
"""

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from .. import __version__

_OBJECTS_BEFORE_COLLECTION = 50_000
COMMANDS = (
    "demo", "keys", "prepare", "batch", "proofs", "issue", "verify", "pins", "status", "journal",
    "read", "readers", "apdu", "emulator", "card-profile", "sam", "config", "agent", "operator",
)  # fmt: skip


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own; every failure ends in an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word; for a word that is none, the command it is close to."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes, below the help text."""
        from .exits import epilog

        self.epilog = epilog()
        super().format_epilog(ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *_: Any,
        **extra: Any,
    ) -> Any:
        """Run, and exit with a documented code and one clear line, never a traceback.

        `help COMMAND` is `COMMAND --help`.
        """
        # Starting makes many objects and no garbage. The collector would look at them for 5 ms, and
        # for 15 ms more when the process ends, although its memory is given back as a whole.
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
        atexit.register(gc.freeze)
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] == ["help"]:
            words = [*words[1:], "--help"]
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        from .signals import handled

        try:
            with handled():
                code = super().main(words, prog_name or "rhcard", **extra)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback, ever
            from .failures import report

            code = report(error, as_json="--json" in words)
        sys.exit(code if isinstance(code, int) else 0)


@click.command("rhcard", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rhcard")
@click.pass_context
def main(context: click.Context) -> None:
    """Issue, read and verify resident health cards.

    Every command has --help and --json. Results go to stdout; progress, hints and errors go to
    stderr. `rhcard help COMMAND` is the same as `rhcard COMMAND --help`.

    \b
    Examples:
      rhcard demo
      rhcard help issue
    """
    from .context import Context

    context.obj = Context()
