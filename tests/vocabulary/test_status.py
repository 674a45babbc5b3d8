"""Status words: each of the 65,536 has words, and only 9000 and 61xx mean done."""

import pytest

from cardlib.errors import CardError, StatusWordError
from cardlib.status import StatusWord, is_success, is_warning, words


def test_every_status_word_has_words() -> None:
    for sw in range(0x10000):
        said = words(sw)
        assert said and said == said.strip() and said.isascii(), f"{sw:04X}"


def test_the_named_ones_say_their_own_words() -> None:
    assert all(words(sw) == sw.words for sw in StatusWord)
    assert len({sw.words for sw in StatusWord}) == len(StatusWord)


@pytest.mark.parametrize(
    ("sw", "said"),
    [
        (0x6110, "16 bytes still available"),
        (0x6100, "256 bytes still available"),
        (0x6C05, "wrong Le, 5 bytes available"),
        (0x6C00, "wrong Le, 256 bytes available"),
        (0x6101, "1 byte still available"),
        (0x6C01, "wrong Le, 1 byte available"),
        (0x63C1, "verification failed, 1 try left"),
        (0x63C0, "verification failed, 0 tries left"),
        (0x63CE, "verification failed, 14 tries left"),
        (0x6982, "security status not satisfied"),
        (0x62F0, "warning, memory unchanged"),
        (0x69FF, "command not allowed"),
        (0x0000, "not a status word of ISO 7816-4"),
        (0xFFFF, "not a status word of ISO 7816-4"),
    ],
)
def test_counts_are_said_as_numbers(sw: int, said: str) -> None:
    assert words(sw) == said


def test_only_9000_and_61xx_are_success_and_62_63_warn() -> None:
    done = [sw for sw in range(0x10000) if is_success(sw)]
    assert done == [*range(0x6100, 0x6200), 0x9000]
    assert [sw for sw in range(0x10000) if is_warning(sw)] == list(range(0x6200, 0x6400))


def test_a_refused_command_says_what_where_and_why() -> None:
    error = StatusWordError("READ RECORD 2 in DDF1/DF02/EF05", 0x6982, "needs RK1_DF02")
    assert isinstance(error, CardError)
    assert str(error) == (
        "READ RECORD 2 in DDF1/DF02/EF05: 6982 security status not satisfied: needs RK1_DF02"
    )
    assert error.sw == 0x6982
