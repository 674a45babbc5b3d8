"""A station makes a checkpoint when its own file is long, and then begins that file anew."""

import json

import pytest

from personalize.register import checkpoints
from personalize.register.checkpoints import checkpoint_if_due, read_checkpoint
from personalize.register.station_file import read_station_file
from personalize.register.verifying import verify

from .registers import Place, TestSigner, chip, place, seal

__all__ = ["place"]


def test_the_file_of_a_station_begins_anew_after_a_checkpoint(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 3)
    signer = TestSigner()
    with place.open() as register:
        work = place.work(register)
        work.take(chip(1), seal)
        assert checkpoint_if_due(register, signer) is None
        work.take(chip(2), seal)
        made = checkpoint_if_due(register, signer)
        assert made is not None and made.number == 1
        assert read_station_file(register.file.path) == (register.file.last, [])
        work.take(chip(3), seal)
        assert checkpoint_if_due(register, signer) is None
    with place.open() as register:
        assert register.file.count == 1
        assert verify(register, signer, [made]).faults == ()


def test_a_checkpoint_reads_back_as_it_was_exported(place: Place) -> None:
    signer = TestSigner()
    with place.open() as register:
        place.work(register).take(chip(1), seal)
        made = checkpoints.make_checkpoint(register, signer)
    assert read_checkpoint(json.dumps(made.as_dict()).encode(), signer) == made
