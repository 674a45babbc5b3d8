"""The commands that use the configuration: keys, profile, defaults of a list, and readers."""

import csv
from pathlib import Path

import pytest

from cardlib.emulator.bench.virtual_reader import FIRST_PORT, VirtualReader
from cardlib.transport.pcsc import find_reader
from personalize.cli.config_settings import VARIABLES
from personalize.cli.exits import Exit
from personalize.sample.sample_batch import SAMPLE
from tests.cards.cards import personalized_card
from tests.programs.pcscd import SLOTS, wait_until
from tests.programs.rhcard import key_file, prepare, ran, residents, rhcard

NOT_ISSUED = Exit.JOURNAL_CONFLICT
"""What `pins` says of a batch that it could open, and whose cards are not made yet."""
ISSUER = '[issuer]\nname = "示例市卫生健康委员会"\ncode = "99010001234"\n'


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that $RHCARD_CONFIG names, beside a key store keys.json."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "rhcard.toml"
    monkeypatch.setenv("RHCARD_CONFIG", str(path))
    key_file(tmp_path)
    write(path, 'keys = "keys.json"\n')
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o644)


def test_a_day_of_work_needs_no_option_for_the_keys(config: Path) -> None:
    folder = config.parent
    batch, cards = folder / "batch", folder / "cards"
    done = rhcard("prepare", residents(folder, 2), "--out", batch, "--photos", SAMPLE.parent)
    assert done.code == 0 and "--keys" not in done.err
    (folder / "keys.json").rename(folder / "moved.json")
    write(config, 'keys = "moved.json"\n')
    assert rhcard("issue", batch, "--cards", cards, "--make-blanks").code == 0
    assert rhcard("verify", batch, "--cards", cards).code == 0
    assert len(rhcard("pins", batch, "--json").json["pins"]) == 2
    card = next(cards.glob("*.card"))
    with_keys, without = rhcard("read", card, "--json"), rhcard("read", card, "--no-keys", "--json")
    denied = [sum(f["state"] == "denied" for f in r.json["fields"]) for r in (with_keys, without)]
    assert denied[0] < denied[1]
    assert rhcard("read", card, "--no-keys", passphrase=None).code == 0
    assert rhcard("read", card, passphrase=None).code == Exit.KEY_PROBLEM


def test_the_message_about_a_wrong_key_store_says_where_its_name_stands(config: Path) -> None:
    other = key_file(config.parent, name="other.json")
    batch = prepare(config.parent, other, 1)
    done = rhcard("pins", batch)
    assert done.code == Exit.KEY_PROBLEM
    assert f"({config}, line 1) is not the key store of this batch" in done.err
    assert rhcard("pins", batch, "--keys", other).code == NOT_ISSUED
    write(config, '\nkeys = "lost.json"\n')
    done = rhcard("pins", batch)
    assert done.code == Exit.KEY_PROBLEM and f"lost.json ({config}, line 2): give" in done.err


def test_keys_and_no_keys_are_not_both_taken(config: Path) -> None:
    done = rhcard("read", "no.card", "--keys", config.parent / "keys.json", "--no-keys")
    assert done.code == Exit.USAGE and "are both given" in done.err


def test_an_agent_that_is_not_there_is_one_clear_error(config: Path) -> None:
    batch = prepare(config.parent, config.parent / "keys.json", 1)
    write(config, 'agent = "/run/rhcard/agent"\n')
    done = rhcard("pins", batch)
    assert (done.code, done.err) == (
        Exit.KEY_PROBLEM,
        "rhcard: the key agent at /run/rhcard/agent does not answer: no key agent runs there."
        " Start it with `rhcard agent run`\n",
    )
    told = rhcard("pins", batch, "--keys", config.parent / "keys.json")
    assert told.code == NOT_ISSUED


def without(folder: Path, *columns: str) -> Path:
    """The sample's first three residents, without some columns."""
    rows = list(csv.DictReader(SAMPLE.read_text("utf-8").splitlines()))[:3]
    path = folder / "list.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [name for name in rows[0] if name not in columns]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_prepare_says_which_default_it_took_for_how_many_residents(config: Path) -> None:
    write(config, f'keys = "keys.json"\nregion = "990100"\n{ISSUER}')
    folder = config.parent
    source = without(folder, "issuer_name", "issuer_code", "city_code")
    words = ("prepare", source, "--photos", SAMPLE.parent, "--out")
    done = rhcard(*words, folder / "a")
    assert done.code == 0, done.err
    assert f"Defaults from {config}" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert ["issuer_code", "99010001234", "3"] in rows and ["city_code", "990100", "3"] in rows
    report = rhcard(*words, folder / "b", "--json").json
    assert report["defaults_from"] == str(config)
    assert report["defaults"][2] == {"column": "city_code", "value": "990100", "count": 3}
    write(config, 'keys = "keys.json"\n')
    done = rhcard(*words, folder / "c")
    assert (done.code, done.out.count("required column missing")) == (Exit.BAD_INPUT, 3)


def test_a_city_is_not_taken_for_another_issuer_and_prepare_says_so(config: Path) -> None:
    write(config, f'keys = "keys.json"\nregion = "990100"\n{ISSUER}')
    done = rhcard("prepare", without(config.parent, "city_code"), "--photos", SAMPLE.parent)
    assert done.code == Exit.BAD_INPUT and "city_code 990100 was not taken: it is for" in done.err


def test_a_default_that_no_card_can_hold_is_an_error_of_the_configuration(config: Path) -> None:
    write(config, ISSUER.replace("示例市", "示" * 16))
    done = rhcard("prepare", without(config.parent, "issuer_name", "issuer_code"))
    assert done.code == Exit.USAGE and f"{config}, line 2: issuer.name: too long" in done.err


@pytest.mark.usefixtures("pcscd")
def test_the_readers_of_the_file_are_used_and_named(config: Path) -> None:
    batch = prepare(config.parent, config.parent / "keys.json", 1)
    write(config, f'readers = ["{SLOTS[0]}", "{SLOTS[1]}"]\n')
    reader = VirtualReader(FIRST_PORT + 1)
    reader.insert(personalized_card())
    try:
        wait_until(lambda: bool(find_reader(1).atr), 10)
        done = ran("read", "--json")
        assert (done.code, done.json["reader"]) == (0, SLOTS[1]), done.err
        assert f", from {config}, line 1\n" in done.err
    finally:
        reader.remove()
    wait_until(lambda: not find_reader(1).atr, 10)
    done = ran("read")
    assert done.code == Exit.NO_CARD and "no card in reader 0" in done.err
    write(config, f'\nreaders = ["{SLOTS[0]}", "OMNIKEY"]\n')
    for words in (("read",), ("issue", batch), ("verify", batch)):
        done = ran(*words)
        assert done.code == Exit.NO_CARD
        assert f"The name stands in {config}, line 2" in done.err
