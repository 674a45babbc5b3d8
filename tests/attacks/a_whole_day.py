"""One day of a bureau with the real commands, and all that it showed, wrote or left behind."""

import io
import logging
import os
import secrets as chance
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from cardlib.crypto import Cipher
from cardlib.emulator import SoftwareCard
from cardlib.emulator.bench.trace import Trace
from cardlib.emulator.sam_card.software_sam import SoftwareSam
from cardlib.facts import ChipSerial, Pin
from cardlib.issuance.agent_issuer import AgentIssuer
from cardlib.keys.roots import Roots
from cardlib.keys.store import KeyStore
from cardlib.keys.store.custodians import opened_pair, pair_of
from cardlib.keys.store.store_file import OpenStore, create, open_with_data_key, read_header
from cardlib.transport.recorder import Recorder, dump
from personalize.custody import operators
from personalize.custody.component import EXCHANGE, SET, Component, check_value
from personalize.preparation.batch import Batch
from personalize.production import pins
from personalize.production.station import card_path
from personalize.sample.sample_batch import SAMPLE
from tests.custody.agents import AgentProcess, command
from tests.custody.secret_values import keys_of, roots_of
from tests.programs.rhcard import IMPORT_MAIN, Ran, residents, rhcard, spawned
from tests.programs.softhsm import SoftHsm

PEOPLE = ("ann", "bob", "cai")
LOUD = "import logging; logging.basicConfig(level=logging.DEBUG)\n"
"""Every logger of the agent's process says all that it can."""
PINS = tuple(f"0{a}{b}18{c}" for a in "479" for b in "6352" for c in "37")
"""No number that a program counts or measures begins with 0, so none of them is seen by chance."""


@dataclass
class Day:
    """The folder of a day, what was said in it, and the secrets that came up."""

    folder: Path
    said: list[bytes] = field(default_factory=list)
    secrets: dict[str, bytes] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    secret_files: set[Path] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)
    traces: list[io.StringIO] = field(default_factory=list)
    personal_traces: list[io.StringIO] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)

    def do(self, *words: object, code: int = 0, passphrase: str = "", hide: bool = False) -> Ran:
        """Run a command; keep what it said, but stdout of one that is there to print a PIN."""
        done = rhcard(*words, passphrase=passphrase)
        assert done.code == code, (words, done)
        self.said += [done.err.encode(), b"" if hide else done.out.encode()]
        self.commands.append(" ".join(map(str, words)))
        return done

    def both(self, *words: object, code: int = 0, passphrase: str = "", hide: bool = False) -> Ran:
        """Run a command twice: for a person, and with --json."""
        self.do(*words, code=code, passphrase=passphrase, hide=hide)
        return self.do(*words, "--json", code=code, passphrase=passphrase, hide=hide)

    def secret_file(self, name: str, text: str) -> Path:
        """A file with a secret, as a person would have it."""
        path = self.folder / name
        path.write_text(text + "\n", "utf-8")
        path.chmod(0o600)
        self.secret_files.add(path)
        return path

    def word(self, name: str, word: str) -> Path:
        """A passphrase or PIN in a file; it is looked for at the end."""
        self.words[name] = word
        return self.secret_file(name.replace(" ", "-"), word)

    def signers(self, *names: str) -> list[object]:
        """The options of operators who sign."""
        found: list[object] = []
        for name in names:
            found += ["--operator", self.folder / f"{name}.op"]
            found += ["--operator-passphrase-file", self.folder / f"passphrase-of-{name}"]
        return found

    @property
    def left(self) -> Iterator[tuple[str, bytes]]:
        """All that is there in the evening, but chips and the files that hold a secret."""
        yield "stdout and stderr", b"\n".join(self.said)
        yield "traces", "".join(each.getvalue() for each in self.traces).encode()
        yield "recordings", "".join(dump(each.exchanges) for each in self.recorders).encode()
        for path in sorted(self.folder.rglob("*")):
            chip = path.suffix in (".card", ".sam")
            if path.is_file() and not chip and path not in self.secret_files:
                yield str(path.relative_to(self.folder)), path.read_bytes()

    @property
    def personal(self) -> bytes:
        """Traces that show personal data and PINs, because somebody asked for that."""
        return "".join(each.getvalue() for each in self.personal_traces).encode()


# --- what listens -------------------------------------------------------------------------


@contextmanager
def listening(day: Day) -> Iterator[pytest.MonkeyPatch]:
    """Hear every logger and warning, trace and record every chip, and know each new secret."""
    heard, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(heard), root.level
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        _observe_chips(day, patch)
        _know_secrets(day, patch)
        (day.folder / "tmp").mkdir()
        patch.setenv("TMPDIR", str(day.folder / "tmp"))
        patch.setattr("tempfile.tempdir", None)
        try:
            yield patch
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            day.said += [heard.getvalue().encode(), "\n".join(map(str, warned)).encode()]


def _observe_chips(day: Day, patch: pytest.MonkeyPatch) -> None:
    begin = SoftwareCard.__init__

    def begun(card: SoftwareCard, *given: object, **more: object) -> None:
        begin(card, *given, **more)  # type: ignore[arg-type]
        day.traces.append(io.StringIO())
        day.personal_traces.append(io.StringIO())
        day.recorders.append(Recorder(card))
        card.observers = (
            *card.observers, day.recorders[-1], Trace(card, day.traces[-1]),
            Trace(card, day.personal_traces[-1], personal=True),
        )  # fmt: skip

    patch.setattr(SoftwareCard, "__init__", begun)


def _know_secrets(day: Day, patch: pytest.MonkeyPatch) -> None:
    made, agreed, numbers = operators._from_seed, operators.OperatorKey.exchange, count()
    given = iter(PINS)

    def from_seed(seed: bytes, *more: object) -> operators.OperatorKey:
        key = made(seed, *more)  # type: ignore[arg-type]
        day.secrets[f"seed of {key.name}"] = seed
        day.secrets[f"signing key of {key.name}"] = key._signing.private_bytes_raw()
        day.secrets[f"wrapping key of {key.name}"] = key._wrapping.private_bytes_raw()
        return key

    def exchange(key: operators.OperatorKey, public: bytes) -> bytes:
        found = agreed(key, public)
        day.secrets[f"secret {next(numbers)} that {key.name} shares"] = found
        return found

    def pin() -> Pin:
        digits = Pin(next(given))
        day.words[f"PIN {digits:s}"] = digits
        day.secrets[f"PIN block {digits:s}"] = digits.block
        return digits

    patch.setattr(operators, "_from_seed", from_seed)
    patch.setattr(operators.OperatorKey, "exchange", exchange)
    patch.setattr(pins, "random_pin", pin)


# --- the day ------------------------------------------------------------------------------


def people(day: Day) -> None:
    """Operators are made, and the key store with them."""
    register = day.folder / "operators.json"
    for name in PEOPLE:
        file = day.word(f"passphrase of {name}", f"{name}{chance.token_hex(6)} 马 staple")
        public = day.folder / f"{name}.json"
        day.do("operator", "new", name, "--role", "custodian", "--out", day.folder / f"{name}.op",
               "--public", public, "--passphrase-file", file)  # fmt: skip
        day.do("operator", "add", public, "--register", register)
    day.both("operator", "list", "--register", register)
    custodians = [each for n in PEOPLE for each in ("--custodian", day.folder / f"{n}.json")]
    day.do("keys", "new", "--out", day.folder / "keys.json", *custodians)
    day.both("keys", "list", "--keys", day.folder / "keys.json")


def start(day: Day, chips: list[ChipSerial]) -> AgentProcess:
    """The agent is started, and says all that it can."""
    listed = ", ".join(f'"{chip}"' for chip in chips)
    (day.folder / "policy.toml").write_text(
        f'stock = [{listed}]\noperators = "{day.folder / "operators.json"}"\n'
        f"[callers.me]\nuid = {os.getuid()}\ngive_ups = 9\n"
        'role = ["station", "data-preparation", "custodian", "terminal", "auditor"]\n', "utf-8",
    )  # fmt: skip
    program = f"{LOUD}{IMPORT_MAIN}main()"
    process = spawned(*command(day.folder), "--test-keys", program=program)
    made, until = AgentProcess(day.folder, process), time.monotonic() + 30
    while not made.socket.exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    return made


def unlock(day: Day) -> None:
    """Two unlock it, after tries that are refused."""
    wrong = day.word("a wrong passphrase", f"not {chance.token_hex(8)} it")
    day.both("agent", "unlock", *day.signers("ann"), code=9)
    words = day.signers("ann", "bob")
    day.both("agent", "unlock", *words[:-1], wrong, code=9)
    day.do("agent", "unlock", code=9, passphrase=day.words["a wrong passphrase"])
    day.both("agent", "unlock", *words)
    day.both("agent", "status")


def components(day: Day, what: str, value: bytes) -> tuple[list[object], str]:
    """Files with components that make a value, and the check value of what they make."""
    one = chance.token_bytes(len(value))
    other = bytes(a ^ b for a, b in zip(one, value, strict=True))
    words: list[object] = []
    for number, part in enumerate((one, other), 1):
        made = Component(what, Cipher.SM4, number, 2, part)
        day.secrets[f"component {number} of {what}"] = part
        words += ["--component", day.secret_file(f"{what}-{number}.component", made.text())]
    day.secrets[f"what the components of {what} make"] = value
    return words, check_value(what, Cipher.SM4, value)


def ceremony(day: Day) -> None:
    """All keys of a version come in by components, after tries that are refused."""
    value = chance.token_bytes(33 * 16 + 32)
    words, expected = components(day, SET, value)
    people_ = day.signers("ann", "bob")
    day.both("keys", "import", "--key", SET, *words, "--expect", "0" * 20, *people_, code=9)
    slip = day.secret_file("slip.component", value[:16].hex() + "\n000000")
    day.do("keys", "import", "--key", "cvk", "--component", slip, "--component", slip,
           "--expect", "000000", *people_, code=9)  # fmt: skip
    day.do("keys", "import", "--key", SET, *words, "--expect", expected, *people_)


def open_store(day: Day) -> OpenStore:
    """Open the store of the custodians, and know all that it holds."""
    path = day.folder / "keys.json"
    wrap = pair_of(read_header(path), "ann", "bob")
    shares = []
    for name in wrap.operators:
        raw = (day.folder / f"{name}.op").read_bytes()
        key = operators.open_operator(raw, day.words[f"passphrase of {name}"], name)
        shares.append(key.exchange(wrap.public))
    data_key = opened_pair(wrap, *shares)
    day.secrets[f"data key of the store of {len(read_header(path).custodians)}"] = data_key
    store = open_with_data_key(path, data_key)
    for version in store.versions:
        roots = store.roots(version)
        day.secrets |= {f"{n}, version {version}": v for n, v in roots_of(roots).items()}
    return store


def blanks(day: Day, roots: Roots, chips: list[ChipSerial]) -> Path:
    """Blank cards as their maker delivers them."""
    folder = day.folder / "cards"
    folder.mkdir(exist_ok=True)
    for chip in chips:
        card = SoftwareCard.blank(chip, KeyStore(roots).blank_keys(chip))
        card.save(card_path(folder, chip))
        card.close()
    return folder


def cards(day: Day, roots: Roots, chips: list[ChipSerial], name: str, skip: int = 0) -> Path:
    """A list is prepared, and its cards are issued and verified; PIN letters are printed."""
    folder, batch = blanks(day, roots, chips), day.folder / name
    source = residents(day.folder, len(chips), skip)
    day.both("prepare", source, "--photos", SAMPLE.parent, code=2)
    prepared = day.do("prepare", source, "--photos", SAMPLE.parent, "--out", batch)
    assert prepared.err == f"Next: rhcard issue {batch} --reader 0\n"
    day.do("issue", batch, "--cards", folder, "--json")
    day.do("issue", batch, "--cards", folder)
    day.do("verify", batch, "--cards", folder, "--full", "--json")
    day.do("verify", batch, "--cards", folder)
    day.both("pins", batch, hide=True)
    issuer = AgentIssuer.at(Path(os.environ["RHCARD_AGENT"]), roots.identity)
    opened = Batch.open(batch, issuer)  # the agent alone has the site's key
    for number, chip in enumerate(chips, 1):
        region = opened.card(number).region
        found = keys_of(roots, chip, region)
        day.secrets |= {f"{each}, version {roots.version}": key for each, key in found.items()}
    return batch


def readings(day: Day, chip: ChipSerial) -> None:
    """A card is read with the agent's keys, and by scripts."""
    card = card_path(day.folder / "cards", chip)
    day.both("read", card)
    day.do("read", card, "--lang", "zh", "--photo", day.folder / "photo.jpg")
    day.do("read", card, "--emergency")
    day.both("read", card, "--no-keys")
    day.both("emulator", "show", card)
    for script in ("identify", "read_emergency_data", "check_protected"):
        day.both("apdu", "run", script, "--card", card)


def a_sam(day: Day, roots: Roots, batch: Path, chip: ChipSerial) -> None:
    """A SAM is loaded, shown and used, also with a wrong PIN."""
    keys, sam = day.folder / "sam-desk.json", day.folder / "er.sam"
    card, cards_ = card_path(day.folder / "cards", chip), day.folder / "cards"
    file = day.word("passphrase of the SAM desk", f"desk {chance.token_hex(8)}")
    words = day.words["passphrase of the SAM desk"]
    create(keys, roots, passphrase=words)
    pin, wrong = day.word("PIN of the SAM", "083164"), day.word("wrong PIN of the SAM", "097253")
    issue = ("sam", "issue", "--roles", "emergency", "--keys", keys)
    day.do(*issue, "--out", sam, "--sam-pin-file", pin, "--passphrase-file", file)
    day.both(*issue, "--sam", sam, "--renew", "--passphrase-file", file, hide=True)
    day.do(*issue, "--sam", sam, "--renew", "--sam-pin-file", pin, "--json", passphrase=words)
    day.both("sam", "show", sam)
    day.both("sam", "roles")
    with closing(SoftwareSam.open(sam)) as opened:
        day.secrets |= keys_of(roots, opened.chip, b"99000000")
    day.both("read", card, "--sam", sam, "--sam-pin-file", wrong, code=9)
    day.both("read", card, "--sam", sam, "--sam-pin-file", pin)
    day.both("apdu", "run", "read_emergency_data", "--card", card, "--sam", sam,
             "--sam-pin-file", pin)  # fmt: skip
    day.both("verify", batch, "--cards", cards_, "--sam", sam, "--sam-pin-file", pin)


def the_desk(day: Day, roots: Roots, chip: ChipSerial) -> None:
    """Keys are listed, checked, explained, and their passphrase is changed."""
    keys, words = day.folder / "sam-desk.json", day.words["passphrase of the SAM desk"]
    day.both("keys", "list", "--keys", keys)
    day.both("keys", "check", "--keys", keys, passphrase=words)
    day.both("keys", "check", "--keys", keys, passphrase=day.words["a wrong passphrase"], code=9)
    explain = ("keys", "explain", "--keys", keys)
    day.both(*explain, "transport", "issuer", "--chip", chip, passphrase=words)
    day.both(*explain, "PUK_DDF1", "IRK_DDF1", "RK1_DF02", "--region", "990100", "--chip", chip,
             "--challenge", "0102030405060708", passphrase=words)  # fmt: skip
    day.both(*explain, "security-code", "--card-number", "990121198010071957",
             "--issue-date", "20261123", passphrase=words)  # fmt: skip
    new = day.word("new passphrase", f"new {chance.token_hex(8)}")
    day.do("keys", "passphrase", "--keys", keys, "--new-passphrase-file", new, passphrase=words)
    day.both("keys", "check", "--keys", keys, passphrase=day.words["new passphrase"])
    day.both("config", "show")
    (day.folder / "bad.toml").write_text(f'passphrase = "{words}"\n', "utf-8")
    day.secret_files.add(day.folder / "bad.toml")
    day.both("config", "check", day.folder / "bad.toml", code=2)


def for_two(day: Day) -> None:
    """Keys are exported, rotated and retired, and each receipt is printed."""
    people_ = day.signers("ann", "bob")
    day.do("keys", "export", "--key", SET, "--out", day.folder / "parts", *people_)
    words, expected = components(day, EXCHANGE, chance.token_bytes(16))
    day.do("keys", "export", "--wrapped", "--key", "RK1_DF02", "--key", "cvk", *words, *people_,
           "--expect", expected, "--out", day.folder / "blocks.txt")  # fmt: skip
    day.do("keys", "rotate", "--transport", *people_, "--json")
    day.do("keys", "retire", 1, *people_)
    day.both("keys", "custodians")
    after = [day.folder / f"{name}.json" for name in ("ann", "bob")]
    day.do("keys", "custodians", *after, *day.signers("ann"), code=9)
    day.do("keys", "custodians", *after, *people_)
    day.both("keys", "custodians", "--keys", day.folder / "keys.json")
    receipts = day.do("keys", "receipt", "--json").json["receipts"]
    for number in receipts:
        day.both("keys", "receipt", number)
    day.both("keys", "receipt", 99, code=9)


def a_token(day: Day, softhsm: SoftHsm, patch: pytest.MonkeyPatch) -> None:
    """A token is looked at with the right PIN and a wrong one."""
    label = softhsm.new_token()
    token = ("--module", softhsm.module, "--token", label)
    day.words["PIN of the token"] = softhsm.pin
    wrong = day.word("wrong PIN of the token", f"Wm{chance.token_hex(6)}")
    patch.setenv("RHCARD_TOKEN_PIN", softhsm.pin)
    day.both("keys", "token", *token)
    day.both("keys", "token", *token, "--pin-file", wrong, code=9)


def evening(day: Day, agent: AgentProcess) -> None:
    """The agent is locked and stopped; what it said is kept."""
    day.both("agent", "status")
    day.do("agent", "lock")
    day.both("read", next((day.folder / "cards").glob("*.card")), code=9)
    agent.process.send_signal(signal.SIGTERM)
    day.said += [each.encode() for each in agent.process.communicate(timeout=60)]
    assert agent.process.returncode == 0


def whole_day(day: Day, softhsm: SoftHsm) -> None:
    """Everything that a bureau does in a day."""
    chips = [ChipSerial(b"chip%04d" % number) for number in range(4)]
    with listening(day) as patch:
        people(day)
        agent = start(day, chips)
        try:
            patch.setenv("RHCARD_AGENT", str(agent.socket))
            unlock(day)
            ceremony(day)
            store = open_store(day)
            batch = cards(day, store.roots(2), chips[:2], "batch")
            readings(day, chips[0])
            a_sam(day, store.roots(2), batch, chips[0])
            the_desk(day, store.roots(2), chips[0])
            for_two(day)
            cards(day, open_store(day).roots(3), chips[2:], "second", 2)
            a_token(day, softhsm, patch)
            evening(day, agent)
        finally:
            agent.process.kill()
            agent.process.communicate()
