"""What the tests of this room share: a batch in a folder of its own, and two readers."""

from pathlib import Path

import pytest

from personalize.preparation.batch import Batch
from tests.cards.bureau import new_batch
from tests.cards.fed_readers import FedReader
from tests.production.fed_batches import COUNT, copied


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_batch(tmp_path_factory.mktemp("pristine"), COUNT).folder


@pytest.fixture
def batch(pristine: Path, tmp_path: Path) -> Batch:
    return copied(pristine, tmp_path)


@pytest.fixture
def readers() -> list[FedReader]:
    return [FedReader("left"), FedReader("right")]
