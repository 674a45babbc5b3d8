"""A whole day of a bureau: nothing that was shown, logged, traced or left holds a secret.

`rhcard pins`, and `sam issue` with a random PIN, are there to print PINs: their stdout is left out.
"""

import base64
import json
from collections.abc import Callable, Iterator

import pytest

from tests.attacks.a_whole_day import Day, whole_day
from tests.custody.agents import folder_in_memory
from tests.custody.spellings import Search
from tests.programs.softhsm import SoftHsm

SECRET = bytes.fromhex("8f0e1d2c3b4a59687786a5b4c3d2e1f0")
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "bytes": lambda key: key,
    "hex": lambda key: key.hex().encode(),
    "HEX": lambda key: key.hex().upper().encode(),
    "blanks": lambda key: key.hex(" ").encode(),
    "two bytes": lambda key: key.hex(" ", 2).upper().encode(),
    "colons": lambda key: key.hex(":").encode(),
    "lines": lambda key: key.hex("\n", 4).encode(),
    "C": lambda key: ", ".join(f"0x{each:02x}" for each in key).encode(),
    "base64": base64.b64encode,
    "base64 further on": lambda key: base64.b64encode(b"a key: " + key + b"!"),
    "base64 in a URL": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "base32 further on": lambda key: base64.b32encode(b"a key: " + key).lower(),
    "repr": lambda key: repr(key).encode(),
    "JSON": lambda key: json.dumps(key.decode("latin-1")).encode(),
    "numbers": lambda key: json.dumps(list(key)).encode(),
    "first half": lambda key: key[:8].hex().encode(),
    "last half": lambda key: key[8:],
}
WORDS: dict[str, bytes] = {
    "alone": b"048215",
    "JSON": b'{"pin": "048215"}',
    "message": b"the PIN 048215.",
    "hex": b"0020000006 303438323135 9000",
    "base64": base64.b64encode(b"048215"),
}


@pytest.fixture(scope="module")
def day(softhsm: SoftHsm) -> Iterator[Day]:
    with folder_in_memory() as folder:
        made = Day(folder)
        whole_day(made, softhsm)
        yield made


def test_nothing_of_a_whole_day_holds_a_secret(day: Day) -> None:
    search = Search(day.secrets, day.words)
    found = {name: names for name, data in day.left if (names := search.found(data))}
    assert found == {}


def test_a_trace_with_personal_data_holds_no_key(day: Day) -> None:
    keys = {name: each for name, each in day.secrets.items() if not name.startswith("PIN")}
    assert len(day.personal) > 100_000
    assert Search(keys, {}).found(day.personal) == set()


def test_the_day_was_a_whole_one(day: Day) -> None:
    """So that a command that is new, or a secret that has another name, is not forgotten."""
    left = dict(day.left)
    assert {"state/agent.log", "state/jobs.sqlite", "state/receipts/0001.json"} <= left.keys()
    assert b"PUT KEY" in left["traces"] and b"STORE DATA" in left["traces"]
    assert b'"hidden"' in left["recordings"]
    kinds = ("seed of ann", "component 1 of set", "issuer DEK of", "transport ENC of",
             "RK1_DF02 of", "root of RK1_DF02, version 3", "data key of the store",
             "secret 0 that")  # fmt: skip
    assert all(any(name.startswith(kind) for name in day.secrets) for kind in kinds)
    assert sum(name.startswith("PIN 0") for name in day.words) >= 5


def test_each_secret_of_the_day_would_be_found(day: Day) -> None:
    search = Search(day.secrets, day.words)
    every = b" ".join(secret.hex(" ").encode() for secret in day.secrets.values())
    assert search.found(every) == day.secrets.keys()
    assert search.found(" ".join(day.words.values()).encode()) >= day.words.keys()
    said = dict(day.left)["stdout and stderr"]
    assert search.found(said + b"\n" + day.secrets["seed of bob"].hex().encode()) == {"seed of bob"}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_planted_key_is_found_in_any_spelling(way: Callable[[bytes], bytes]) -> None:
    for before in range(8):
        data = b"x" * before + b"- " + way(SECRET) + b" -"
        assert Search({"key": SECRET}, {}).found(data) == {"key"}
    assert Search({"key": SECRET}, {}).found(way(bytes(range(100, 116)))) == set()


@pytest.mark.parametrize("data", WORDS.values(), ids=WORDS.keys())
def test_a_planted_pin_is_found(data: bytes) -> None:
    assert Search({"x": SECRET}, {"PIN": "048215"}).found(data) == {"PIN"}
    assert Search({"x": SECRET}, {"PIN": "048215"}).found(b"104821599") == set()
