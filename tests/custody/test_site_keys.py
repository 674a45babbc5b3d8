"""The site's keys of batches in the agent: one site opens a batch, and none after a purge."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from cardlib.errors import CardKeyError
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.issuance.offers import offer_from_json
from cardlib.keys.agent.agent_keys import versions
from cardlib.keys.issuer import RecordRefused, Share, SiteOffer
from cardlib.pki.signed_data import opened as opened_signed
from personalize.custody.roles import Role
from personalize.preparation.batch import Batch, write_batch
from personalize.preparation.batch_signature import read_manifest
from personalize.preparation.batch_transfers import NoRegister, read_transfers, transfer_records
from personalize.preparation.sites import shares_of
from tests.custody.desks import Bench, bench
from tests.preparation.test_batch import card, header
from tests.programs.rhcard import PASSPHRASE

COUNT = 6


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    """The agents of two sites, with the same root keys."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(bench(tmp_path / "one")),
            stack.enter_context(bench(tmp_path / "two")),
        )


def issuer(agent: Bench, role: Role = Role.STATION) -> AgentIssuer:
    connection = agent.connection(role)
    return AgentIssuer(connection, versions(connection)[0])


def offered(agent: Bench) -> SiteOffer:
    return offer_from_json(opened_signed(issuer(agent).offer_site_key("north")).content)


def prepared(folder: Path, agent: Bench, offer: SiteOffer | None = None) -> Path:
    shares = shares_of([(offer, 4, 6)] if offer else [], COUNT)
    cards = map(card, range(1, COUNT + 1))
    write_batch(folder, header(COUNT), cards, issuer(agent, Role.PREPARATION), shares)
    return folder


def has(folder: Path, agent: Bench) -> list[int]:
    batch, found = Batch.open(folder, issuer(agent)), []
    for number in batch.numbers:
        try:
            assert batch.card(number) == card(number)
            found.append(number)
        except RecordRefused:
            pass
    return found


def purge(folder: Path, agent: Bench) -> int:
    manifest, _ = read_manifest(folder)
    members = {
        "batch": UUID(manifest.header.batch_id).bytes,
        "key_ids": [each.key_id.bytes for each in manifest.ranges],
    }
    keys: int = agent.connection(Role.CUSTODIAN).call("purge-batch", **members)["keys"]
    return keys


def test_a_batch_opens_at_the_agent_that_prepared_it_alone(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    """The other agent has the same root keys: they alone open nothing."""
    here, there = two
    folder = prepared(tmp_path / "batch", here)
    assert (has(folder, here), has(folder, there)) == ([1, 2, 3, 4, 5, 6], [])


def test_each_site_opens_its_own_records(tmp_path: Path, two: tuple[Bench, Bench]) -> None:
    here, north = two
    folder = prepared(tmp_path / "batch", here, offered(north))
    assert (has(folder, here), has(folder, north)) == ([1, 2, 3], [4, 5, 6])


def test_an_agent_opens_no_record_that_it_has_given_away(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    here, north = two
    folder = prepared(tmp_path / "batch", here, offered(north))
    copy = Path(shutil.copytree(folder, tmp_path / "a copy without the transfer"))
    manifest, _ = read_manifest(folder)
    share = Share("north", 2, 3, offered(north))
    transfer_records(folder, manifest, [], issuer(here), share, NoRegister())
    assert (has(folder, here), has(folder, north)) == ([1], [2, 3, 4, 5, 6])
    assert (has(copy, here), has(copy, north)) == ([1], [4, 5, 6])
    with pytest.raises(RecordRefused, match="records 2 to 3 were transferred to site north"):
        Batch.open(copy, issuer(here)).card(3)
    with pytest.raises(RecordRefused, match="were transferred to site north"):
        third = Share("south", 1, 2, offered(north))
        transfer_records(copy, manifest, [], issuer(here), third, NoRegister())
    assert len(read_transfers(folder, manifest, lambda _: None)) == 1


def test_an_offer_is_for_one_batch(tmp_path: Path, two: tuple[Bench, Bench]) -> None:
    here, north = two
    offer = offered(north)
    first, second = (prepared(tmp_path / name, here, offer) for name in ("first", "second"))
    assert has(first, north) == [4, 5, 6]
    with pytest.raises(RecordRefused, match="each batch has a key of its own"):
        Batch.open(second, issuer(north)).card(4)


@pytest.mark.parametrize("was_opened", [True, False])
def test_after_a_purge_no_copy_of_the_batch_opens(
    tmp_path: Path, two: tuple[Bench, Bench], was_opened: bool
) -> None:
    here, north = two
    folder = prepared(tmp_path / "batch", here, offered(north))
    carried = Path(shutil.copytree(folder, tmp_path / "carried"))
    if was_opened:
        assert has(folder, north) == [4, 5, 6]
    open_before = Batch.open(folder, issuer(north))
    assert purge(folder, north) == 1
    for each in (folder, carried):
        assert (has(each, north), has(each, here)) == ([], [1, 2, 3])
    with pytest.raises(RecordRefused, match="were destroyed here"):
        open_before.card(4)
    assert purge(folder, north) == 0


def test_what_was_destroyed_is_not_in_the_file_any_more(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    here, _ = two
    folder = prepared(tmp_path / "batch", here)
    key_id = read_manifest(folder)[0].ranges[0].key_id
    row = here.service.jobs.row("SELECT sealed FROM site_keys WHERE key_id = ?", key_id.bytes)
    assert row is not None
    file = here.service.jobs.path
    assert row[0] in file.read_bytes()
    purge(folder, here)
    assert row[0] not in file.read_bytes()


def test_a_purge_needs_a_custodian_and_no_open_keys_and_is_logged(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    here, _ = two
    folder = prepared(tmp_path / "batch", here)
    batch = UUID(read_manifest(folder)[0].header.batch_id)
    for role in (Role.STATION, Role.PREPARATION, Role.TERMINAL, Role.AUDITOR):
        with pytest.raises(CardKeyError, match="may not use purge-batch"):
            here.connection(role).call("purge-batch", batch=batch.bytes, key_ids=[])
    custodian = here.connection(Role.CUSTODIAN)
    custodian.call("lock")
    assert custodian.call("purge-batch", batch=batch.bytes, key_ids=[]) == {"keys": 1}
    log = here.service.log.path.read_text("ascii").splitlines()
    assert '"verb":"purge-batch"' in log[-1] and batch.hex in log[-1]


def test_a_purged_batch_is_not_continued_or_begun_again(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    """The keys that a cut preparation kept on the disk are worth nothing then."""
    here, _ = two
    preparing, batch = issuer(here, Role.PREPARATION), UUID(int=7)
    begun = preparing.new_batch(batch, 1, [Share("here", 1, 1)])
    here.connection(Role.CUSTODIAN).call("purge-batch", batch=batch.bytes, key_ids=[])
    with pytest.raises(RecordRefused, match="were destroyed here"):
        preparing.continued_batch(batch, 1, begun.kept)
    with pytest.raises(RecordRefused, match="were destroyed here"):
        preparing.new_batch(batch, 1, [Share("here", 1, 1)])


def test_one_manifest_is_signed_for_a_batch(two: tuple[Bench, Bench]) -> None:
    """Or somebody could make two batches of one id, and twice the cards that he may."""
    here, _ = two
    preparing, batch = issuer(here, Role.PREPARATION), UUID(int=7)
    manifest = f'{{"batch_id":"{batch}","count":1}}'.encode()
    begun = preparing.new_batch(batch, 1, [Share("here", 1, 1)])
    begun.seal(1, b"record")
    begun.sign(manifest)
    again = preparing.continued_batch(batch, 1, begun.kept)
    again.seal(1, b"record")
    assert opened_signed(again.sign(manifest)).content == manifest
    third = preparing.continued_batch(batch, 1, begun.kept)
    third.seal(1, b"another record")
    with pytest.raises(CardKeyError, match="another manifest was signed for batch"):
        third.sign(manifest.replace(b"}", b',"more":1}'))
    with pytest.raises(CardKeyError, match="was signed already: a new batch has a new id"):
        preparing.new_batch(batch, 1, [Share("here", 1, 1)])


def test_a_preparation_that_lost_its_agent_is_continued(
    tmp_path: Path, two: tuple[Bench, Bench]
) -> None:
    here, _ = two

    def cards() -> Iterator[object]:
        yield card(1)
        here.connection(Role.CUSTODIAN).call("lock")
        yield card(2)

    with pytest.raises(CardKeyError, match="is locked"):
        write_batch(tmp_path / "b", header(2), cards(), issuer(here, Role.PREPARATION))  # type: ignore[arg-type]
    (left,) = tmp_path.glob(".b.*")
    before = (left / "records.bin").read_bytes()
    here.service.vault.unlock(PASSPHRASE)
    made = write_batch(tmp_path / "b", header(2), map(card, (1, 2)), issuer(here, Role.PREPARATION))
    assert (tmp_path / "b" / "records.bin").read_bytes().startswith(before) and before
    assert read_manifest(tmp_path / "b")[0].header == made
    assert not left.exists() and has(tmp_path / "b", here) == [1, 2]
