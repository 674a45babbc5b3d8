"""The key agent under attack: limits, replays, full disks, kills, several stations at once."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from cardlib.emulator import SoftwareCard
from cardlib.errors import CardError, CardKeyError, KeysUnavailable
from cardlib.facts import ChipSerial
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.making import make_card
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.agent.agent_wire import from_frame
from cardlib.keys.issuer import Share
from cardlib.keys.public_test_keys import public_test_keys
from personalize.cli.exits import Exit
from personalize.custody.roles import Role
from tests import ROOT
from tests.cards.bureau import sample_rows
from tests.cards.cards import CHIP, REGION
from tests.custody.agents import AgentProcess, agent_folder, policy, running, start
from tests.custody.desks import Bench, bench, own_keys, public_keys
from tests.custody.station import CARDHOLDER, CHIP_SERIAL, JOB, blank, records
from tests.programs.other_user import PREPARATION, STATION, TERMINAL, begin_as_user
from tests.programs.rhcard import ran, spawned

IDENTITY = public_keys().identity


# --- limits ---------------------------------------------------------------------------


def test_a_caller_over_its_limits_is_refused_and_a_restart_gives_it_no_more(tmp_path: Path) -> None:
    chips = [bytes(7) + bytes((n,)) for n in range(9)]
    whose = {"identity": bytes.fromhex(own_keys().identity), "key_set": "transport"}
    stock = frozenset(chips)
    for chip in (chips[0], chips[1]):
        with bench(tmp_path / "s", stock=stock, cards_a_minute=3, cards=4) as made:
            made.connection().call("session", **whose, chip=chip)
    with bench(tmp_path / "s", stock=stock, cards_a_minute=3, cards=4) as made:
        station = made.connection()
        station.call("session", **whose, chip=chips[0])
        station.call("session", **whose, chip=chips[2])
        with pytest.raises(CardKeyError, match="may not have so many cards in a minute: it had 3"):
            station.call("session", **whose, chip=chips[3])
    with bench(tmp_path / "s", stock=stock, cards=4) as made:
        station = made.connection()
        station.call("session", **whose, chip=chips[3])
        for _ in range(2):
            with pytest.raises(CardKeyError, match="may not have so many cards in all: it had 4"):
                station.call("session", **whose, chip=chips[4])
        station.call("session", **whose, chip=chips[0])
        assert station.call("status")["callers"][0]["cards"] == 4


def test_authentications_and_records_and_hashes_are_limited_too(tmp_path: Path) -> None:
    whose = {"identity": bytes.fromhex(own_keys().identity)}
    with bench(tmp_path / "s", stock=None, cards=2, hashes_a_minute=3, test_keys=True,
               keys=public_keys()) as made:  # fmt: skip
        whose = {"identity": bytes.fromhex(IDENTITY)}
        terminal = made.connection(Role.TERMINAL)
        card = {**whose, "key": "RK1_DDF1", "region": REGION, "challenge": bytes(8),
                "binding": bytes.fromhex("DDF104200101")}  # fmt: skip
        for chip in (bytes(8), b"11111111"):
            terminal.call("authenticate", **card, chip=chip)
        with pytest.raises(CardKeyError, match="so many cards in all: it had 2"):
            terminal.call("authenticate", **card, chip=b"22222222")
        preparing = made.connection(Role.PREPARATION)
        preparing.call("holder-hashes", **whose, numbers=["1", "2", "3"])
        with pytest.raises(CardKeyError, match="holder hashes in this minute: it had 3"):
            preparing.call("holder-hashes", **whose, numbers=["4"])
        batch = {**whose, "batch": bytes(16)}
        shares = [{"site": "here", "first": 1, "last": 2}]
        with pytest.raises(CardKeyError, match="cards in all"):
            preparing.call("new-batch", **batch, count=3, shares=shares)
        preparing.call("new-batch", **batch, count=2, shares=shares)
        with pytest.raises(CardKeyError, match="cards in all"):
            preparing.call("new-batch", **batch, count=1, shares=shares)


# --- replayed and reordered requests --------------------------------------------------


def _played(agent: Bench) -> list[bytes]:
    """All requests of a station that makes a card, as they went over the wire."""
    connection = agent.connection()
    issuer = AgentIssuer(connection, versions(connection)[0])
    make_card(blank(), issuer, JOB, records(2), *CARDHOLDER)
    keys = issuer.terminal_keys.for_card(CHIP, REGION)
    with suppress(CardError):
        keys.authentication("RK1_DDF1", bytes(8), bytes.fromhex("DDF104200101")).session_keys(
            bytes(40), bytes(16)
        )
    return connection.asked


def test_requests_of_another_connection_are_worth_nothing(tmp_path: Path) -> None:
    with bench(tmp_path / "s") as agent:
        asked = _played(agent)
        for order in (asked, asked[::-1], [each for each in asked for _ in range(2)]):
            desk = agent.connection().desk
            for raw in order:
                answer, verb = from_frame(agent.service.answer(raw, desk)[4:]), from_frame(raw)
                commands = answer.get("ok", {}).get("commands")
                assert commands is None, verb["verb"]
                keys = answer.get("ok", {}).keys() & {"enc", "mac", "record", "pin"}
                assert not keys, verb["verb"]


def test_a_request_that_is_repeated_on_its_connection_makes_nothing_new(tmp_path: Path) -> None:
    with bench(tmp_path / "s") as agent:
        preparing = agent.connection(Role.PREPARATION)
        issuer = AgentIssuer(preparing, versions(preparing)[0])
        batch = issuer.new_batch(JOB.batch, 2, [Share("here", 1, 2)])
        batch.seal(1, b"one")
        with pytest.raises(CardKeyError, match="record 1 was given where 2"):
            batch.seal(1, b"another")
        with pytest.raises(CardKeyError, match="nothing that is open"):
            batch.seal(2, b"two")
        station = agent.connection()
        issuer = AgentIssuer(station, versions(station)[0])
        process = issuer.terminal_keys.for_card(CHIP, REGION).process_key("IRK_DDF1", bytes(8))
        process.encrypt(b"12345678" + bytes(8))
        with pytest.raises(CardKeyError, match="once"):
            process.encrypt(b"12345678" + bytes(8))


@pytest.mark.parametrize("blocks", [b"1" * 16, bytes(32), bytes(8) + b"\0" * 7 + b"\1"])
def test_a_process_key_that_authenticates_encrypts_nothing_else(
    tmp_path: Path, blocks: bytes
) -> None:
    with bench(tmp_path / "s", own_keys(1)) as agent:
        keys = agent.issuer().terminal_keys.for_card(CHIP, REGION)
        for name in ("RK1_DDF1", "UK1_DF01", "LK_DF01", "IRK_DDF1"):
            with pytest.raises(CardKeyError, match="one block that ends in eight zero bytes"):
                keys.process_key(name, bytes(8)).encrypt(blocks)
            with pytest.raises(CardKeyError, match="makes no MAC"):
                keys.process_key(name, bytes(8)).mac(b"message")
        assert keys.process_key("STK_DF01", bytes(8)).encrypt(blocks)


@pytest.mark.parametrize(
    "binding", ["DF0104200101", "DDF105200101", "DDF104100101", "DDF104200201", "DDF104200102"]
)
def test_a_binding_that_is_not_the_keys_own_is_refused(tmp_path: Path, binding: str) -> None:
    with bench(tmp_path / "s") as agent:
        keys = agent.issuer(Role.TERMINAL).terminal_keys.for_card(CHIP, REGION)
        keys.authentication("RK1_DDF1", bytes(8), bytes.fromhex("DDF104200101"))
        with pytest.raises(CardKeyError, match="is not that of RK1_DDF1"):
            keys.authentication("RK1_DDF1", bytes(8), bytes.fromhex(binding))


def test_a_terminal_has_reading_keys_unless_its_policy_lists_others(tmp_path: Path) -> None:
    card = {"identity": bytes.fromhex(own_keys().identity), "chip": CHIP, "region": REGION,
            "challenge": bytes(8), "binding": bytes.fromhex("DDF104200101")}  # fmt: skip
    with bench(tmp_path / "s") as agent:
        for name in ("UK1_DDF1", "STK_DDF1", "BK_MF", "PUK_DDF1"):
            with pytest.raises(CardKeyError, match=f"may not use {name}"):
                agent.connection(Role.TERMINAL).call("authenticate", **card, key=name)
        assert agent.connection(Role.TERMINAL).call("authenticate", **card, key="RK1_DDF1")


# --- a full disk ----------------------------------------------------------------------


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A folder on a file system of its own, of a few kilobytes."""
    with agent_folder(policy()) as folder:
        place = folder / "state"
        place.mkdir(mode=0o700)
        options = f"size={size},mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_refuses_and_nothing_was_done() -> None:
    with small_disk("128k") as state, bench(state) as agent:
        station = agent.connection()
        issuer = AgentIssuer(station, versions(station)[0])
        make_card(blank(), issuer, JOB, records(2), *CARDHOLDER)
        (state / "filler").write_bytes(bytes(os.statvfs(state).f_bavail * 4096))
        with pytest.raises(KeysUnavailable, match="No space left on device"):
            for _ in range(100):
                station.call("status")
        entries, log = agent.service.log.number, agent.service.log.path.read_bytes()
        whose = {"identity": bytes.fromhex(own_keys().identity)}
        with pytest.raises(KeysUnavailable):
            station.call("session", **whose, key_set="issuer", chip=CHIP)
        with pytest.raises(KeysUnavailable):
            issuer.give_up(JOB)
        with pytest.raises(KeysUnavailable):
            agent.connection(Role.PREPARATION).call("holder-hashes", **whose, numbers=["1"])
        assert agent.service.jobs.state_of(CHIP) == "claimed"
        assert (agent.service.log.number, agent.service.log.path.read_bytes()) == (entries, log)
        assert log.endswith(b"}\n")
        (state / "filler").unlink()
        assert station.call("status")["entries"] == entries


# --- kills ----------------------------------------------------------------------------


class Bureau:
    """A batch that is issued through an agent, with everything in one folder."""

    def __init__(self, folder: Path, agent: AgentProcess, cards: int) -> None:
        self.folder, self.agent, self.count = folder, agent, cards
        source = sample_rows(folder, cards)
        photos = ROOT / "personalize" / "sample"
        words = ("prepare", source, "--photos", photos, "--out", self.batch)
        assert ran(*words, env=self.env).code == Exit.GOOD

    @property
    def batch(self) -> Path:
        return self.folder / "batch"

    @property
    def cards(self) -> Path:
        return self.folder / "cards"

    @property
    def env(self) -> dict[str, str]:
        return {"RHCARD_AGENT": str(self.agent.socket), "RHCARD_PASSPHRASE": ""}

    def station(self) -> "subprocess.Popen[str]":
        words = ("issue", self.batch, "--cards", self.cards, "--make-blanks", "--test-keys")
        return spawned(*words, env=self.env)

    def begun(self, cards: int) -> None:
        """Wait until so many cards are there."""
        until = time.monotonic() + 60
        while len(list(self.cards.glob("*.card"))) < cards:
            assert time.monotonic() < until
            time.sleep(0.01)

    def is_whole(self) -> None:
        """Every record has one card, which is active, and nobody made a second one."""
        verified = ran("verify", self.batch, "--cards", self.cards, "--json", env=self.env)
        assert verified.code == Exit.GOOD, verified.out + verified.err
        assert len(list(self.cards.glob("*.card"))) == self.count


def test_a_station_that_is_killed_goes_on_with_the_same_jobs(tmp_path: Path) -> None:
    with running() as agent:
        bureau = Bureau(tmp_path, agent, 6)
        for cards in (1, 3, 5):
            station = bureau.station()
            bureau.begun(cards)
            time.sleep(random.Random(cards).random() / 5)
            station.kill()
            station.communicate()
        station = bureau.station()
        said = station.communicate()
        assert station.returncode == Exit.GOOD, said
        bureau.is_whole()


def test_an_agent_that_is_killed_in_mid_issue_loses_nothing(tmp_path: Path) -> None:
    with agent_folder(policy()) as folder:
        agent = start(folder, "--test-keys")
        try:
            agent.unlock()
            bureau = Bureau(tmp_path, agent, 6)
            for cards in (1, 4):
                station = bureau.station()
                bureau.begun(cards)
                time.sleep(random.Random(cards).random() / 5)
                agent.stop(signal.SIGKILL)
                _, said = station.communicate()
                assert station.returncode == Exit.KEY_PROBLEM, said
                assert "the key agent at" in said
                agent = bureau.agent = start(folder, "--test-keys")
                locked = ran("issue", bureau.batch, "--cards", bureau.cards, env=bureau.env)
                assert locked.code == Exit.KEY_PROBLEM
                assert "the key agent is locked" in locked.err
                agent.unlock()
            station = bureau.station()
            last = station.communicate()
            assert station.returncode == Exit.GOOD, last
            bureau.is_whole()
        finally:
            agent.process.kill()
            agent.process.communicate()


# --- several at once ------------------------------------------------------------------


def _prepares(path: Path, count: int) -> int:
    issuer = AgentIssuer.at(path)
    for number in range(count):
        issuer.holder_hash(str(number))
    with pytest.raises(CardKeyError, match="may not use session"):
        issuer.session("transport", CHIP_SERIAL).initialize_update()  # type: ignore[arg-type]
    return count


def _makes(path: Path, count: int) -> int:
    issuer = AgentIssuer.at(path)
    for number in range(1, count + 1):
        chip = ChipSerial(bytes(7) + bytes((number,)))
        card = SoftwareCard.blank(chip, public_test_keys(chip)["transport"])
        job = type(JOB)(JOB.batch, number, chip)
        make_card(card, issuer, job, records(2), *CARDHOLDER)
    with pytest.raises(CardKeyError, match="may not use new-batch"):
        issuer.new_batch(JOB.batch, 1, [Share("here", 1, 1)])
    return count


def _reads(path: Path, count: int) -> int:
    issuer = AgentIssuer.at(path)
    keys = issuer.terminal_keys.for_card(CHIP, REGION)
    for _ in range(count):
        keys.authentication("RK1_DDF1", bytes(8), bytes.fromhex("DDF104200101"))
    with pytest.raises(CardKeyError, match="may not use holder-hashes"):
        issuer.holder_hash("1")
    return count


def test_stations_of_different_roles_work_at_once_each_with_its_verbs() -> None:
    with running() as agent:
        works = {STATION: _makes, PREPARATION: _prepares, TERMINAL: _reads}
        begun = [begin_as_user(uid, partial(work, agent.socket, 8)) for uid, work in works.items()]
        assert [finish() for finish in begun] == [8, 8, 8]
        entries = [json.loads(line) for line in agent.log.read_bytes().splitlines()]
        assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
        assert {entry["uid"] for entry in entries} >= works.keys()


def test_two_stations_never_get_one_record_for_two_chips(tmp_path: Path) -> None:
    chips = [ChipSerial(bytes(7) + bytes((n,))) for n in range(8)]
    with bench(tmp_path / "s", stock=frozenset(chips)) as agent:
        made: list[ChipSerial] = []

        def station(chip: ChipSerial) -> None:
            with suppress(CardKeyError):
                job = type(JOB)(JOB.batch, 1, chip)
                make_card(blank(chip), agent.issuer(), job, records(2), *CARDHOLDER)
                made.append(chip)

        threads = [threading.Thread(target=station, args=(chip,)) for chip in chips]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(made) == 1
