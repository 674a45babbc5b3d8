"""Reading goes on while a station is in the middle of a transaction, or sleeps there."""

from personalize.register import overview
from personalize.register.opening import open_reader
from personalize.register.states import CardState

from .registers import BATCH, Place, chip, place, seal

__all__ = ["place"]


def test_a_reader_sees_the_last_whole_state_while_a_station_writes(place: Place) -> None:
    with place.open() as register, open_reader(place.where) as reader:
        work = place.work(register)
        work.take(chip(1), seal)
        seen: list[object] = []

        def look(number: int, attempt: int) -> tuple[bytes, bytes]:
            seen.extend(overview.batches(reader, BATCH.batch))
            return seal(number, attempt)

        assert work.take(chip(2), look) == 2
        (batch,) = seen
        assert isinstance(batch, overview.BatchOverview)
        assert batch.states == {CardState.PERSONALIZING: 1, CardState.PREPARED: 2}
