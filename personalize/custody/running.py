"""Puts a key agent together and takes it apart in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .policy import Policy
from .process import only_agent
from .server import AgentServer
from .service import AgentService, open_files
from .vault import KeySource, Vault
from .verbs import VERBS


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """Where an agent has its socket, its state folder, and the head of its log."""

    socket: Path
    state: Path
    head: Path | None = None


@contextmanager
def agent(
    source: KeySource, policy: Policy, files: AgentFiles, *, test_keys: bool
) -> Iterator[AgentServer]:
    """Put an agent together; its `run` answers callers until its `stop` is called.

    Raises LogDamaged, or CardKeyError when another agent is there.
    """
    with only_agent(files.state):
        jobs, log = open_files(files.state, files.head or files.state / "agent.head")
        try:
            vault = Vault(source, policy, test_keys=test_keys)
            service = AgentService(vault, policy, jobs, log, VERBS)
            service.note("started")
            yield AgentServer(service, files.socket, own_user_too=test_keys)
            service.lock()
            service.note("stopped")
        finally:
            jobs.close()
            log.close()
