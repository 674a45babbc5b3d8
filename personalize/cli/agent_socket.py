"""The option --socket: where the key agent listens."""

from pathlib import Path

import click

SOCKET = Path("/run/rhcard/agent.sock")
"""Where the key agent listens unless it is told otherwise."""

socket_option = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=SOCKET,
    envvar="RHCARD_AGENT",
    show_default=True,
    metavar="PATH",
    help="The socket of the key agent. RHCARD_AGENT sets it too.",
)
