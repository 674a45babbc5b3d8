"""docs/reference/cli.md: every command's help, as `rhcard COMMAND --help` prints it.

python -m tests.docs.cli_page --write
"""

from collections.abc import Iterator

import click

from personalize.cli import main

from .generated import REFERENCE, write

PAGE = REFERENCE / "cli.md"
_WIDTH = 90


def commands(
    command: click.Command = main, words: tuple[str, ...] = ("rhcard",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group, with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from commands(found, (*words, name))


def help_of(words: tuple[str, ...], command: click.Command) -> str:
    """A command's help, lines of at most 90 characters."""
    parent = None
    for word in words[:-1]:
        parent = click.Context(click.Command(word), info_name=word, parent=parent)
    context = command.context_class(
        command, info_name=words[-1], parent=parent, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    context.help_option_names = ["-h", "--help"]
    return command.get_help(context)


def _commands_part() -> str:
    parts = [
        f"\n## {' '.join(words)}\n\n```text\n{help_of(words, command)}\n```\n"
        for words, command in commands()
    ]
    return "".join(parts) + "\n"


PARTS = {"commands": _commands_part}

if __name__ == "__main__":
    write(PAGE, "commands", _commands_part)
