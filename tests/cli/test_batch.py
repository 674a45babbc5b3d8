"""rhcard batch: what an operator sees of batches, parts, sites and transfers."""

import shutil
from pathlib import Path

import pytest

from personalize.cli.exits import Exit
from personalize.sample.sample_batch import ISSUE_DATE, SAMPLE
from tests.custody.agents import running
from tests.programs.rhcard import key_file, prepare, residents, rhcard


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys.json and a batch of six."""
    folder = tmp_path_factory.mktemp("batches")
    prepare(folder, key_file(folder), 6)
    return folder


def good(*words: object) -> dict[str, object]:
    """The document of a command that succeeds, which says something without --json too."""
    done = rhcard(*words, "--json")
    assert done.code == 0, done.err
    document: dict[str, object] = done.json
    return document


def test_a_batch_is_shown_without_keys(place: Path) -> None:
    found = good("batch", "show", place / "batch")
    assert (found["count"], found["first"], found["last"], found["format"]) == (6, 1, 6, 3)
    assert [each["site"] for each in found["sites"]] == ["here"]  # type: ignore[attr-defined]
    shown = rhcard("batch", "show", place / "batch", passphrase=None)
    assert shown.code == 0
    for word in ("6 cards", "rhcard data preparation", "1 to 6", "here", str(found["batch_id"])):
        assert word in shown.out


def test_a_batch_of_format_2_is_shown_and_not_checked() -> None:
    old = Path(__file__).parents[1] / "preparation" / "batch_of_format_2"
    assert good("batch", "show", old)["format"] == 2
    assert "of format 2" in rhcard("batch", "show", old).out
    done = rhcard("batch", "check", old)
    assert (done.code, "prepare the list again" in done.err) == (Exit.BAD_INPUT, True)


def test_a_batch_is_checked_with_and_without_keys(place: Path, tmp_path: Path) -> None:
    batch = shutil.copytree(place / "batch", tmp_path / "batch")
    keys = ("--keys", place / "keys.json")
    checked = [good("batch", "check", batch, *more)["signer_checked"] for more in ((), keys)]
    assert checked == [False, True]
    assert "was not checked" in rhcard("batch", "check", batch).err
    raw = bytearray((batch / "records.bin").read_bytes())
    raw[-1] ^= 1
    (batch / "records.bin").write_bytes(raw)
    for more, word in (((), "not those that were signed"), (keys, "record 6 is damaged")):
        done = rhcard("batch", "check", batch, *more)
        assert (done.code, word in done.err) == (Exit.BAD_INPUT, True)


def test_a_certificate_is_exported_and_trusted(place: Path, tmp_path: Path) -> None:
    trusted, others = tmp_path / "trusted", tmp_path / "others"
    for folder, keys in ((trusted, place), (others, tmp_path)):
        folder.mkdir()
        store = keys / "keys.json" if keys is place else key_file(keys)
        good("batch", "certificate", "--keys", store, "--out", folder / "preparation.pem")
    assert good("batch", "check", place / "batch", "--trusted", trusted)["signer_checked"]
    done = rhcard("batch", "check", place / "batch", "--trusted", others)
    assert (done.code, "is unknown here" in done.err) == (Exit.BAD_INPUT, True)


def test_a_part_is_issued_and_verified_and_parts_are_merged(place: Path, tmp_path: Path) -> None:
    batch, keys = place / "batch", ("--keys", place / "keys.json")
    for first, last in ((1, 2), (3, 6)):
        out = tmp_path / f"part {first}"
        span = f"{first}-{last}"
        assert good("batch", "split", batch, "--records", span, "--out", out)["first"] == first
    part, cards = tmp_path / "part 1", tmp_path / "cards"
    assert "a part: records 1 to 2" in rhcard("batch", "show", part).out
    assert good("issue", part, "--cards", cards, "--make-blanks", *keys)
    assert "2 of 2 verified" in rhcard("verify", part, "--cards", cards, *keys).out
    assert len(good("pins", part, *keys)["pins"]) == 2  # type: ignore[arg-type]
    found = good("batch", "merge", part, tmp_path / "part 3", "--out", tmp_path / "again")
    assert found["whole"] is True
    assert good("batch", "check", tmp_path / "again")["records"] == 6
    done = rhcard("batch", "merge", part, part, "--out", tmp_path / "twice")
    assert (done.code, "has it too" in done.err) == (Exit.BAD_INPUT, True)


@pytest.mark.parametrize("span", ["", "1", "2-1", "0-1", "a-b", "1-2-3"])
def test_records_are_two_numbers(place: Path, tmp_path: Path, span: str) -> None:
    done = rhcard("batch", "split", place / "batch", "--records", span, "--out", tmp_path / "p")
    assert (done.code, "FIRST-LAST" in done.err) == (Exit.USAGE, True)


def test_records_go_to_another_site_and_back(place: Path, tmp_path: Path) -> None:
    """Both have the root keys, each with its own site keys beside its key store."""
    north = tmp_path / "north.json"
    shutil.copy(place / "keys.json", north)
    offer = tmp_path / "north.offer"
    good("batch", "offer", "--site", "north", "--out", offer, "--keys", north)
    done = rhcard(
        "prepare", residents(tmp_path, 4), "--keys", place / "keys.json", "--out",
        tmp_path / "batch", "--photos", SAMPLE.parent, "--issue-date", f"{ISSUE_DATE:%Y-%m-%d}",
        "--site", f"{offer}:3-4",
    )  # fmt: skip
    assert done.code == 0, done.err
    batch = tmp_path / "batch"
    shown = good("batch", "show", batch)
    sites = [(each["site"], each["first"]) for each in shown["sites"]]  # type: ignore[attr-defined]
    assert sites == [("here", 1), ("north", 3)]
    good("batch", "split", batch, "--records", "3-4", "--out", tmp_path / "for north")
    refused = rhcard("issue", tmp_path / "for north", "--cards", tmp_path / "c", "--make-blanks",
                     "--keys", place / "keys.json")  # fmt: skip
    assert (refused.code, "are for site north" in refused.err + refused.out) == (
        Exit.KEY_PROBLEM, True,
    )  # fmt: skip
    mixed = rhcard("issue", batch, "--cards", tmp_path / "c", "--make-blanks", "--keys",
                   place / "keys.json")  # fmt: skip
    assert (mixed.code, "`rhcard batch split`" in mixed.err) == (Exit.KEY_PROBLEM, True)
    assert not (tmp_path / "c").exists()
    issued = rhcard("issue", tmp_path / "for north", "--cards", tmp_path / "cards",
                    "--make-blanks", "--keys", north)  # fmt: skip
    assert issued.code == 0, issued.err
    second = tmp_path / "again.offer"
    good("batch", "offer", "--site", "north", "--out", second, "--keys", north)
    keys = ("--keys", place / "keys.json")
    moved = good("batch", "transfer", batch, second, "--records", "2-2", *keys)
    assert (moved["site"], moved["first"], moved["last"]) == ("north", 2, 2)
    assert "transferred" in rhcard("batch", "show", batch).out
    split = rhcard("batch", "transfer", batch, second, "--records", "1-3", *keys)
    assert (split.code, "not all of one range" in split.err) == (Exit.BAD_INPUT, True)


def test_keys_in_a_key_store_cannot_be_destroyed(place: Path) -> None:
    done = rhcard("batch", "purge", place / "batch", "--yes")
    assert done.code == Exit.KEY_PROBLEM
    assert "only a key agent can destroy the keys" in done.err


def test_a_purged_batch_opens_at_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as agent:
        monkeypatch.setenv("RHCARD_AGENT", str(agent.folder / "run" / "agent.sock"))
        done = rhcard(
            "prepare", residents(tmp_path, 2), "--out", tmp_path / "batch", "--photos",
            SAMPLE.parent, "--issue-date", f"{ISSUE_DATE:%Y-%m-%d}",
        )  # fmt: skip
        assert done.code == 0, done.err
        carried = shutil.copytree(tmp_path / "batch", tmp_path / "carried")
        issue = ("issue", carried, "--cards", tmp_path / "cards", "--make-blanks", "--test-keys")
        assert rhcard(*issue).code == 0
        assert good("batch", "purge", tmp_path / "batch", "--yes")["keys"] == 1
        for words in (("verify", carried, "--cards", tmp_path / "cards"), ("pins", carried)):
            refused = rhcard(*words)
            assert (refused.code, "were destroyed here" in refused.err) == (Exit.KEY_PROBLEM, True)
        assert "0 keys destroyed" in rhcard("batch", "purge", carried, "--yes").out
