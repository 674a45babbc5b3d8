"""SAMs from the key agent: roots leave it for the SAM that two custodians signed for, only."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cardlib.card import ResidentHealthCard
from cardlib.crypto import Cipher
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.errors import CardError, CardKeyError
from cardlib.facts import SECURITY_DOMAIN, ChipSerial, Pin
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.local import LocalIssuer
from cardlib.issuance.making import HostSession, make_card
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.agent.agent_verbs import OF_SAMS
from cardlib.keys.issuer import CardJob, Scp03Set
from cardlib.keys.roots import new_roots
from cardlib.keys.sam.sam_groupings import SamPlan
from cardlib.keys.sam.sam_keys import SamKeySet
from cardlib.keys.store import KeyStore
from cardlib.keys.token.token_making import import_roots
from cardlib.keys.token.token_session import TokenSession
from cardlib.messaging.scp03_failure import Scp03Failure
from personalize.custody.policy import Caller
from personalize.custody.roles import Role
from personalize.custody.service import open_files
from personalize.custody.token_source import TokenSource
from personalize.custody.vault import Vault
from personalize.production.sam_issue import AgentSamMaker, LoadedSam, load_with
from tests.cards.cards import REGION
from tests.custody.desks import DirectConnection
from tests.custody.hosts import Host, host
from tests.custody.people import Person, person
from tests.custody.secret_values import found_in, keys_of, roots_of
from tests.custody.station import CARDHOLDER, JOB, activate, blank, opened, records
from tests.programs.softhsm import PIN as TOKEN_PIN
from tests.programs.softhsm import SoftHsm

ANN, BOB, CAI = (person(name) for name in ("ann", "bob", "cai"))
EVE = person("eve", Role.AUDITOR)
SAM, OTHER_SAM = (ChipSerial(b"SAM" + bytes(4) + bytes((n,))) for n in (1, 2))
PIN = Pin("802143")
PLAN = SamPlan(("emergency",), PIN, 100)
STATION = Caller("station", 60_001, frozenset((Role.STATION,)))
USE = {"pin": str(PIN), "pin_form": "ASCII", "meaning_of_0": "newest"}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path, [ANN, BOB, CAI, EVE], stock=frozenset((SAM, OTHER_SAM))) as made:
        made.unlock(ANN, BOB)
        yield made


def keys(agent: Host) -> KeyStore:
    found = agent.service.vault.holder.newest
    assert isinstance(found, KeyStore)
    return found


def blank_sam(agent: Host, chip: bytes = SAM) -> SoftwareSam:
    return SoftwareSam.blank(chip, keys(agent).blank_keys(chip))


def connected(agent: Host, who: Caller | None = None) -> DirectConnection:
    return DirectConnection(agent.service, who or agent.desk.caller)


def about(chip: ChipSerial = SAM, plan: SamPlan = PLAN) -> dict[str, Any]:
    return {"chip": str(chip), "roles": list(plan.roles), "limit": plan.limit or 0}


def begun(agent: Host, line: DirectConnection, parameters: dict[str, Any], *people: Person) -> int:
    signed = agent.signed("load-sam", parameters, *(people or (ANN, BOB)))
    return int(line.call("sam-begin", **signed)["sam"])


def load(
    agent: Host,
    sam: SoftwareSam,
    plan: SamPlan = PLAN,
    *,
    signs: Callable[[ChipSerial], dict[str, Any]] | None = None,
    line: DirectConnection | None = None,
    renew: bool = False,
) -> LoadedSam:
    """Load a SAM as `rhcard sam issue` does."""
    line = line or connected(agent)

    def ask(chip: ChipSerial, plan: SamPlan) -> int:
        return begun(agent, line, signs(chip) if signs else about(chip, plan))

    return load_with(sam, AgentSamMaker(line, versions(line), ask), plan, renew=renew)


def session(
    agent: Host, line: DirectConnection, sam: SoftwareSam, loading: int, key_set: Scp03Set
) -> int:
    """A session with a SAM in which both have proved their keys; its handle."""
    maker = AgentSamMaker(line, versions(line), lambda *_: loading)
    maker.begin(SAM, PLAN)
    host_of_sam = maker.session(key_set, SAM)
    HostSession.open(sam, host_of_sam, SECURITY_DOMAIN)
    assert host_of_sam._session is not None
    return host_of_sam._session


# --- what works -----------------------------------------------------------------------------


@pytest.mark.parametrize("who", [None, STATION], ids=["at the custodians' desk", "at a station"])
def test_two_custodians_load_a_sam_that_reads_the_bureaus_cards(
    agent: Host, who: Caller | None
) -> None:
    sam = blank_sam(agent)
    loaded = load(agent, sam, line=connected(agent, who))
    assert loaded.chip == SAM
    issuer, card = LocalIssuer(keys(agent)), blank(keys=keys(agent))
    make_card(card, issuer, JOB, records(2), *CARDHOLDER)
    card.reset()
    activate(card, issuer)  # type: ignore[arg-type]
    card.reset()
    sam.reset()
    terminal = ResidentHealthCard(card, SamKeySet.open(sam, PIN))
    terminal.authenticate("RK1_DF02")
    assert terminal.read("DDF1/DF02/EF07")
    with pytest.raises(CardKeyError, match="RK1_DDF1"):
        terminal.authenticate("RK1_DDF1")


def test_no_answer_and_no_line_of_the_log_holds_a_key(agent: Host) -> None:
    line, sam = connected(agent), blank_sam(agent)
    load(agent, sam, line=line)
    roots = keys(agent)._roots
    secrets = roots_of(roots) | keys_of(roots, SAM, REGION)
    log = agent.service.log.path.read_bytes()
    assert found_in(b"".join(line.answered) + log, secrets) == set()
    assert str(PIN).encode() not in log
    for word in (b'"sam-begin"', b'"sam-load"', str(SAM).encode(), b"emergency", b"ann", b"bob"):
        assert word in log


def test_no_verb_takes_a_key_or_a_chip_outside_the_statement() -> None:
    members = {name for form in OF_SAMS.values() for name in form.takes}
    assert members == {
        "statement", "signatures", "sam", "key_set", "session", "pin", "pin_form", "meaning_of_0",
    }  # fmt: skip


def test_a_sam_holds_all_versions_of_the_keys(agent: Host) -> None:
    agent.call("rotate", **agent.signed("rotate", {"transport": False, "version": 2}, ANN, BOB))
    held = load(agent, blank_sam(agent)).held
    assert {each.version for each in held} == {1, 2}


def test_a_sam_is_loaded_again_for_its_own_roles_by_a_new_statement(agent: Host) -> None:
    sam = blank_sam(agent)
    load(agent, sam)
    sam.reset()
    load(agent, sam, SamPlan(("emergency",), PIN, 5), renew=True)
    sam.reset()
    with pytest.raises(CardKeyError, match="is a SAM for emergency: it is loaded again for these"):
        load(agent, sam, SamPlan(("emergency", "bank"), PIN), renew=True)


def test_an_interrupted_load_is_repeated(agent: Host) -> None:
    sam, line = blank_sam(agent), connected(agent)
    loading = begun(agent, line, about())
    handle = session(agent, line, sam, loading, Scp03Set.TRANSPORT)
    (put_key,) = line.call("sam-replace-keys", session=handle)["commands"]
    sam.transmit(put_key)  # and here the power fails
    sam.reset()
    assert load(agent, sam).chip == SAM


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "why"),
    [((ANN,), "load-sam needs 2 different operators"), ((ANN, ANN), "is named twice|signed twice"),
     ((ANN, EVE), "eve may not load-sam")],
    ids=["one signature", "one person twice", "no custodian"],
)  # fmt: skip
def test_one_person_loads_no_sam(agent: Host, people: tuple[Person, ...], why: str) -> None:
    with pytest.raises(CardKeyError, match=why):
        begun(agent, connected(agent), about(), *people)


def test_a_statement_works_once_for_one_load(agent: Host) -> None:
    sam, line = blank_sam(agent), connected(agent)
    signed = agent.signed("load-sam", about(), ANN, BOB)
    loading = int(line.call("sam-begin", **signed)["sam"])
    load_with(sam, AgentSamMaker(line, versions(line), lambda *_: loading), PLAN)
    with pytest.raises(CardKeyError, match="was used before"):
        line.call("sam-begin", **signed)
    with pytest.raises(CardKeyError, match="sign again to load it again"):
        line.call("sam-session", sam=loading, key_set="issuer")


def test_two_sessions_of_one_statement_make_one_load(agent: Host) -> None:
    sam, line = blank_sam(agent), connected(agent)
    load(agent, sam)
    loading = begun(agent, line, about())
    first = session(agent, line, sam, loading, Scp03Set.ISSUER)
    other = session(agent, line, sam, loading, Scp03Set.ISSUER)
    line.call("sam-load", session=other, **USE)
    with pytest.raises(CardKeyError, match="sign again"):
        line.call("sam-load", session=first, **USE)


def test_what_was_signed_on_one_connection_is_nothing_on_another(agent: Host) -> None:
    loading = begun(agent, connected(agent), about())
    with pytest.raises(CardKeyError, match="nothing that is open"):
        connected(agent).call("sam-session", sam=loading, key_set="transport")


def test_another_sam_than_the_signed_one_is_not_loaded(agent: Host) -> None:
    other = blank_sam(agent, OTHER_SAM)
    with pytest.raises(Scp03Failure):
        load(agent, other, signs=lambda _: about(SAM))
    with pytest.raises(Scp03Failure):
        load(agent, blank_sam(agent), signs=lambda _: about(OTHER_SAM))


def test_the_sam_gets_the_roles_that_were_signed_and_no_others(agent: Host) -> None:
    sam = blank_sam(agent)
    with pytest.raises(CardError, match="does not hold what it was loaded with"):
        load(agent, sam, SamPlan(("bank",), PIN, 100), signs=lambda _: about())
    sam.reset()
    (held,) = SamKeySet.open(sam, PIN).held
    assert "RK1_DF02" in held.names and "UK1_DF04" not in held.names


@pytest.mark.parametrize(
    "wrong",
    [{"roles": ["nobody"]}, {"roles": []}, {"roles": [["bank"]]}, {"limit": -1}, {"limit": 2**32},
     {"limit": True}, {"chip": "00"}, {"chip": str(SAM).lower()}, {"more": 1}],
    ids=str,
)  # fmt: skip
def test_a_statement_that_says_something_else_is_refused(
    agent: Host, wrong: dict[str, Any]
) -> None:
    with pytest.raises(CardError) as refused:
        begun(agent, connected(agent), {**about(), **wrong})
    assert "error in the key agent" not in str(refused.value)


def test_a_sam_that_was_not_received_is_refused(agent: Host) -> None:
    stranger = ChipSerial(b"stranger")
    with pytest.raises(CardKeyError, match="not in received stock"):
        begun(agent, connected(agent), about(stranger))


def test_who_answers_with_other_keys_than_the_sams_own_gets_nothing(agent: Host) -> None:
    line = connected(agent)
    loading = begun(agent, line, about())
    made_up = SoftwareSam.blank(SAM, (bytes(16), bytes(16), bytes(16)))
    with pytest.raises(Scp03Failure):
        session(agent, line, made_up, loading, Scp03Set.TRANSPORT)
    begun_only = line.call("sam-session", sam=loading, key_set="issuer")["session"]
    with pytest.raises(CardKeyError, match="needs an open session"):
        line.call("sam-load", session=begun_only, **USE)


def test_no_root_is_made_in_the_session_of_the_transport_keys(agent: Host) -> None:
    """Who knows the transport keys of a blank could read all that is encrypted under them."""
    line = connected(agent)
    loading = begun(agent, line, about())
    handle = session(agent, line, blank_sam(agent), loading, Scp03Set.TRANSPORT)
    with pytest.raises(CardKeyError, match="issuer keys"):
        line.call("sam-load", session=handle, **USE)


# --- the PUT KEY attack: a station that knows the blank's transport keys, alone --------------


def station_of(agent: Host) -> tuple[DirectConnection, AgentIssuer]:
    line = connected(agent, STATION)
    return line, AgentIssuer(line, versions(line)[0])


def test_a_station_gets_no_put_key_for_a_sam(agent: Host) -> None:
    _, issuer = station_of(agent)
    early = opened(blank(SAM, keys(agent)), issuer, Scp03Set.TRANSPORT, SAM)
    begun(agent, connected(agent), about())
    for key_set in Scp03Set:
        with pytest.raises(CardKeyError, match="is a SAM"):
            issuer.session(key_set, SAM).initialize_update()
    with pytest.raises(CardKeyError, match="is a SAM"):
        early.replace_keys(CardJob(JOB.batch, 1, SAM))


@pytest.mark.parametrize("given_up", [False, True])
def test_a_chip_whose_put_key_a_station_had_never_becomes_a_sam(
    agent: Host, given_up: bool
) -> None:
    line = connected(agent, replace(STATION, give_ups=1))
    issuer = AgentIssuer(line, versions(line)[0])
    job = CardJob(JOB.batch, 1, SAM)
    opened(blank(SAM, keys(agent)), issuer, Scp03Set.TRANSPORT, SAM).replace_keys(job)
    if given_up:
        issuer.give_up(job)
    with pytest.raises(CardKeyError, match="cannot become a SAM"):
        begun(agent, connected(agent), about())


def test_the_session_of_a_sam_makes_nothing_of_a_card_and_the_other_way_round(agent: Host) -> None:
    line = connected(agent, STATION)
    job = {"batch": JOB.batch.bytes, "number": 1, "chip": SAM}
    card_verbs: dict[str, dict[str, Any]] = {
        "replace-keys": job,
        "load": {**job, "records": [], "region": REGION, "pin": str(PIN)},
        "activate": {},
        "reset-tries": {"key": "RK1_DDF1"},
    }
    loading = begun(agent, line, about())
    for verb, members in card_verbs.items():
        handle = session(agent, line, blank_sam(agent), loading, Scp03Set.TRANSPORT)
        with pytest.raises(CardKeyError, match="this needs an open session"):
            line.call(verb, session=handle, **members)
    _, issuer = station_of(agent)
    host_of_card = opened(blank(OTHER_SAM, keys(agent)), issuer, Scp03Set.TRANSPORT, OTHER_SAM)
    with pytest.raises(CardKeyError, match="this needs an open session"):
        host_of_card._call("sam-replace-keys")


def test_a_restart_forgets_neither_a_sam_nor_its_roles(agent: Host) -> None:
    begun(agent, connected(agent), about())
    service = agent.service
    service.jobs.close()
    service.log.close()
    service.jobs, service.log = open_files(
        service.jobs.path.parent, service.jobs.path.parent / "agent.head"
    )
    with pytest.raises(CardKeyError, match="for these roles only"):
        begun(agent, connected(agent), about(plan=SamPlan(("bank",), PIN)))


# --- whose roots cannot be in a SAM ---------------------------------------------------------


def test_the_roots_of_a_token_cannot_be_loaded_and_it_is_said(
    tmp_path: Path, softhsm: SoftHsm
) -> None:
    label = softhsm.new_token()
    tokens = TokenSession(softhsm.module, label, TOKEN_PIN)
    import_roots(tokens, "main", new_roots(2, Cipher.AES))
    tokens.lock()
    with host(tmp_path, [ANN, BOB], stock=frozenset((SAM,))) as agent:
        source = TokenSource(softhsm.module, label, "main")
        agent.service.vault = Vault(source, agent.service.policy, test_keys=False)
        agent.call("unlock-token", **agent.signed("unlock", {}, ANN, BOB), pin=TOKEN_PIN)
        signed = agent.signed("load-sam", about(), ANN, BOB)
        for _ in range(2):  # the statement is not used up
            with pytest.raises(CardKeyError, match="in a token, which gives none out"):
                agent.call("sam-begin", **signed)
        agent.service.lock()


def test_a_store_of_one_person_loads_no_sam(tmp_path: Path) -> None:
    with host(tmp_path, [ANN, BOB], passphrase="one person", stock=frozenset((SAM,))) as agent:
        agent.call("unlock", passphrase="one person")
        with pytest.raises(CardKeyError, match="by one person alone"):
            begun(agent, connected(agent), about())


def test_a_locked_agent_loads_no_sam(agent: Host) -> None:
    line = connected(agent)
    loading = begun(agent, line, about())
    agent.call("lock")
    with pytest.raises(CardKeyError, match="locked"):
        line.call("sam-session", sam=loading, key_set="transport")
