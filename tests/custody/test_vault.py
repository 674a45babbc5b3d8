"""Locking and unlocking: by whom, how often, and by itself."""

from pathlib import Path

import pytest

from cardlib.errors import CardKeyError, KeysUnavailable
from personalize.custody.policy import Policy
from personalize.custody.roles import Role
from personalize.custody.vault import Vault
from tests.custody.desks import OpenSource, bench, own_keys, public_keys
from tests.programs.rhcard import PASSPHRASE


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def vault_of(clock: Clock, stock: frozenset[bytes] | None = frozenset()) -> Vault:
    rules = Policy(Path("policy.toml"), {}, stock, idle_minutes=5)
    return Vault(OpenSource(own_keys()), rules, test_keys=False, now=clock)


def test_it_is_locked_at_first() -> None:
    vault = vault_of(Clock())
    assert vault.is_locked
    with pytest.raises(KeysUnavailable, match="rhcard agent unlock"):
        vault.of(own_keys().identity)


def test_it_is_idle_when_nobody_used_the_keys_for_so_many_minutes() -> None:
    clock = Clock()
    vault = vault_of(clock)
    vault.unlock(PASSPHRASE)
    clock.seconds += 299
    assert not vault.is_idle
    assert vault.keys.identity
    clock.seconds += 299
    assert vault.identity
    assert not vault.is_idle
    clock.seconds += 1
    assert vault.is_idle
    vault.lock()
    assert not vault.is_idle


def test_the_service_locks_itself_and_logs_it(tmp_path: Path) -> None:
    with bench(tmp_path / "state") as agent:
        agent.service.lock_if_idle()
        assert not agent.service.vault.is_locked
        agent.service.vault._used -= 60 * 15
        agent.service.lock_if_idle()
        assert agent.service.vault.is_locked
        assert "because it was idle" in agent.service.log.path.read_text("ascii")


def test_a_wrong_passphrase_can_be_tried_five_times_a_minute() -> None:
    clock = Clock()
    vault = vault_of(clock)
    for _ in range(5):
        with pytest.raises(CardKeyError, match="wrong passphrase"):
            vault.unlock("wrong")
    with pytest.raises(CardKeyError, match="wrong too often"):
        vault.unlock(PASSPHRASE)
    clock.seconds += 60
    vault.unlock(PASSPHRASE)


def test_any_chip_is_for_test_keys_only() -> None:
    with pytest.raises(CardKeyError, match='stock = "any" is for test keys only'):
        vault_of(Clock(), None).unlock(PASSPHRASE)


@pytest.mark.parametrize("role", [Role.TERMINAL, Role.PREPARATION, Role.AUDITOR])
def test_not_every_role_unlocks(tmp_path: Path, role: Role) -> None:
    with (
        bench(tmp_path / "state", unlocked=False) as agent,
        pytest.raises(CardKeyError, match="may not use unlock"),
    ):
        agent.connection(role).call("unlock", passphrase=PASSPHRASE)


def test_only_auditors_and_custodians_see_other_callers(tmp_path: Path) -> None:
    with bench(tmp_path / "state", public_keys(), test_keys=True, unlocked=False) as agent:
        for role in Role:
            seen = agent.connection(role).call("status")["callers"]
            expected = len(Role) if role in (Role.AUDITOR, Role.CUSTODIAN) else 1
            assert len(seen) == expected
