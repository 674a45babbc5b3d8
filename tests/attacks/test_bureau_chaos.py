"""Four stations on one batch, while they are killed, put to sleep, and lose the database."""

import random
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import select

from benchmarks.made_up_residents import write_list
from cardlib.facts import ChipSerial
from personalize.preparation.batch import Batch
from personalize.preparation.prepare import make_all
from personalize.preparation.seal import seal
from personalize.production.bookkeeping import opened_to_read
from personalize.production.feed import identify
from personalize.production.mailer import letters
from personalize.production.station import SUFFIX, in_reader
from personalize.register import schema
from personalize.register.opening import open_reader
from personalize.register.states import CardState, ChipState
from personalize.register.verifying import verify
from personalize.sample.sample_batch import ISSUE_DATE
from tests.cards.bureau import PHOTOS, issuer, pin_is_right, store, validated
from tests.programs.postgres import Postgres
from tests.register.registers import TestSigner

from .stations_at_work import Floor, Station, work

RESIDENTS, KILLS, SLEEPS = 300, 20, 10
LEASE = 1_000
"""In ms: a station that sleeps for longer has lost its card when it wakes up."""


def new_floor(root: Path, where: str) -> Floor:
    """A batch of made-up residents without photos."""
    residents, found = validated(write_list(root / "list.csv", RESIDENTS))
    cards = make_all(found, PHOTOS, issuer(), ISSUE_DATE)
    seal(root / "batch", residents, cards, issuer(), keys=root / "keys.json", issue_date=ISSUE_DATE)
    return Floor(root / "batch", where, root, LEASE)


def test_nobody_gets_two_cards_and_no_card_is_lost_whatever_happens_to_the_stations(
    tmp_path: Path, postgres: Postgres, database_url: str
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    floor = new_floor(tmp_path, database_url)
    stations = [Station(floor, name) for name in ("north", "east", "south", "west")]
    disturb(stations, postgres, random.Random(seed))
    for station in stations:
        station.go_on()
        station.kill()
    move_cards(floor, "south", "north")
    move_cards(floor, "west", "east")
    assert sum(station.kills for station in stations) >= KILLS
    for name in ("north", "east"):
        work(floor, name)
    work(floor, "north", rest=True)
    check_residents(floor)
    check_register(floor)


def disturb(stations: list[Station], postgres: Postgres, chance: random.Random) -> None:
    """Kill stations, put them to sleep, and stop the database, until all of that was done."""
    disturbances = ["kill"] * KILLS + ["sleep"] * SLEEPS + ["database"]
    chance.shuffle(disturbances)
    dead: set[str] = set()
    for at, what in enumerate(disturbances):
        if at == len(disturbances) // 2:
            dead = {"south", "west"}
        living = [each for each in stations if each.name not in dead]
        for station in stations:
            if station.name in dead:
                station.kill()
            elif not station.is_running:
                station.begin()
        time.sleep(chance.uniform(0.05, 0.35))
        chosen = chance.choice(living)
        if what == "kill":
            chosen.kill()
        elif what == "database":
            postgres.stop()
            time.sleep(0.3)
            postgres.start()
        else:
            for station in stations:
                if station.is_stopped and chance.random() < 0.7:
                    station.go_on()
            chosen.stop()
            time.sleep(LEASE / 1000 if at % 3 == 0 else 0.1)


def move_cards(floor: Floor, dead: str, heir: str) -> None:
    """Carry the cards of a station that is dead to another one."""
    floor.cards(heir).mkdir(exist_ok=True)
    for path in floor.cards(dead).glob(f"*{SUFFIX}"):
        path.rename(floor.cards(heir) / path.name)


def check_residents(floor: Floor) -> None:
    """Of all cards there are, each resident has one that is active, and its PIN is the letter's."""
    batch = Batch.open(floor.batch, issuer())
    with opened_to_read(batch, issuer(), floor.bureau("auditor")) as books:
        entries = {each.chip: each for each in books.work.entries()}
    assert Counter(each.state for each in entries.values()) == {CardState.ACTIVE: RESIDENTS}
    mailing = letters(batch, issuer(), floor.bureau("auditor"))
    assert (len(mailing.letters), mailing.problems) == (RESIDENTS, [])
    pins = {letter.chip: letter for letter in mailing.letters}
    holders: list[str] = []
    for path in floor.root.glob(f"*/*{SUFFIX}"):
        with in_reader(path, read_only=True) as card:
            found = identify(path.name, card)
            if not found.card_number:
                continue
            holders.append(found.card_number)
            assert found.chip in entries
            letter = pins[str(found.chip)]
            assert letter.card_number == found.card_number
            pin_is_right(card, store().terminal_keys, letter.pin)
    assert len(holders) == len(set(holders)) == RESIDENTS


def check_register(floor: Floor) -> None:
    """The journal is in order, every chip is accounted for, and nothing is in work."""
    with open_reader(floor.where) as reader:
        verdict = verify(reader, TestSigner())
        assert verdict.faults == ()
        rows = reader.read(lambda connection: connection.execute(select(schema.chip)).all())
    chips = {ChipSerial(row.serial): ChipState(row.state) for row in rows}
    balance = Counter(chips.values())
    assert balance[ChipState.USED] == RESIDENTS
    assert balance[ChipState.ASSIGNED] == 0
    there = {path.stem for path in floor.root.glob(f"*/*{SUFFIX}")}
    assert {str(chip) for chip in chips} <= there
