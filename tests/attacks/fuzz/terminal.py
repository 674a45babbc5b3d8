"""A terminal that does what terminals do: roles, PIN, sessions, loads; now and then it errs."""

from random import Random

from cardlib.apdu import CommandAPDU, ResponseAPDU
from cardlib.emulator import LifeCycle
from cardlib.emulator.bench.ready_made import CHIP, PIN
from cardlib.emulator.filesystem.tree import Directory, ElementaryFile, Node
from cardlib.emulator.sessions.logical_channel import LogicalChannel
from cardlib.errors import CardError
from cardlib.facts import TRANSPORT_KEY_VERSION
from cardlib.issuance import put_key_command, store_data_commands
from cardlib.layout import KeySpec
from cardlib.messaging import v1
from cardlib.messaging.iso import SecureMessaging
from cardlib.messaging.scp03 import LEVELS, Scp03Host
from cardlib.messaging.v2 import V2Host, binding, external_authenticate
from tests.attacks.fuzz import grammar
from tests.attacks.fuzz.cards import KINDS, card_keys, groupings, store, update_rule
from tests.attacks.fuzz.oracle import ISSUER, PIN_SHOWN, Watched

_GET_CHALLENGE = bytes.fromhex("0084000008")
_AUTHENTICATING = ("RK", "UK", "LK", "BK", "PUK")
_POOL = 40


class Terminal:
    """Random commands and dialogues with one watched card."""

    def __init__(self, watched: Watched, rng: Random) -> None:
        self.watched, self.rng = watched, rng
        self.kind = KINDS[watched.kind]
        self.keys, self.store = card_keys(self.kind), store(self.kind)
        self.scp03: dict[int, Scp03Host] = {}
        self.v2: dict[int, V2Host] = {}
        self.sent: list[bytes] = []
        self.errors = rng.choice((0.0, 0.01, 0.05, 0.3))
        blank = self.kind.life_cycle is LifeCycle.BLANK
        self.is_issuer = rng.random() < (0.9 if blank else 0.3)

    def step(self) -> None:
        """One dialogue: from a single command to all that is done with a file."""
        number = self.rng.choice(list(self.watched.card.channels))
        channel = self.watched.card.channels[number]
        if self.rng.random() < self.errors:
            self.err(number)
        elif self.is_issuer and number not in self.scp03 and self.rng.random() < 0.4:
            self.open_scp03(number)
        elif number in self.scp03 and self.rng.random() < 0.1:
            self.load(number)
        elif self.rng.random() < 0.3:
            self.work(number, channel)
        elif self.rng.random() < 0.1:
            self.authenticate(number, channel)
        elif self.rng.random() < 0.003:
            self.reset()
        else:
            self.command(number, grammar.made(self.rng, self.watched.card, channel))

    def err(self, number: int) -> None:
        """Send what nobody should: noise, something spoiled, or something again."""
        kind = self.rng.random()
        if kind < 0.4 or not self.sent:
            self.transmit(number, grammar.noise(self.rng))
        elif kind < 0.8:
            self.transmit(number, grammar.spoiled(self.rng, self.rng.choice(self.sent)))
        else:
            self.transmit(number, self.rng.choice(self.sent))

    def work(self, number: int, channel: LogicalChannel) -> None:
        """Go to a file, show keys and PIN that open it, and read or change it some times."""
        card, rng = self.watched.card, self.rng
        files = [node for node in grammar.nodes(card) if isinstance(node, ElementaryFile)]
        if self.kind.created and rng.random() < 0.5:
            files = [file for file in files if file.fid >> 8 == 0x0C] or files
        file = rng.choice(files)
        update = update_rule(self.kind, file)
        self.go_to(number, file.parent)
        for rule in (file.read, update, file.erase):
            if rule.key and rng.random() < 0.7:
                self.authenticate(number, channel, rule.key)
        if update.pin and rng.random() < 0.7:
            self.command(number, CommandAPDU(0, 0x20, 0, 0, PIN.encode("ascii")))
        self.go_to(number, file)
        for _ in range(rng.randrange(8)):
            if rng.random() < 0.4:
                self.protected_change(number, channel)
            else:
                self.command(number, grammar.read(rng, card, channel))

    def go_to(self, number: int, node: Node) -> None:
        """Select a DF or a file in it by path, or by identifiers where the card has no paths."""
        if self.kind.options.selection == "name and path":
            self.command(number, grammar.select(node))
            return
        way = list(node.ancestors())[::-1] if isinstance(node, Directory) else [node]
        for each in way:
            self.command(number, grammar.select_by_identifier(each))

    def reset(self) -> None:
        """Reset the card; all sessions are over."""
        self.watched.reset()
        self.scp03.clear()
        self.v2.clear()

    def transmit(self, number: int, raw: bytes) -> bytes:
        """Send bytes as they are, and fetch what is left of the reply, mostly."""
        if PIN.encode("ascii") in raw:
            self.watched.show(PIN_SHOWN)
        self.sent = [*self.sent[-_POOL:], raw]
        reply = self.watched.transmit(raw)
        data = reply[:-2]
        while reply[-2] == 0x61 and self.rng.random() < 0.9:
            fetch = bytes((number, 0xC0, 0, 0, self.rng.choice((reply[-1], 0, 1, reply[-1]))))
            reply = self.watched.transmit(fetch)
            data += reply[:-2]
        return data + reply[-2:]

    def command(self, number: int, command: CommandAPDU) -> ResponseAPDU | None:
        """A plain command, in the channel's session if there is one; None if that is over."""
        if command.ins == 0x20 and command.data == PIN.encode("ascii"):
            self.watched.show(PIN_SHOWN)
        protection = self._protection(number)
        if protection is None or self.rng.random() < self.errors / 5:
            raw = bytes(command._replace(cla=command.cla | number))
            return ResponseAPDU.parse(self._distorted(number, raw))
        try:
            channel_bits = 0x00 if isinstance(protection, SecureMessaging) else command.cla & 0x80
            raw = protection.protect(
                channel_bits | number, command.ins, command.p1, command.p2,
                command.data, command.le, extended=command.extended,
            )  # fmt: skip
            reply = self._distorted(number, raw)
            data = protection.unprotect(reply[:-2], int.from_bytes(reply[-2:], "big"))
        except CardError:
            self.scp03.pop(number, None)
            self.v2.pop(number, None)
            return None
        self.watched.check_content(number, data)
        return ResponseAPDU(data, int.from_bytes(reply[-2:], "big"))

    def _protection(self, number: int) -> Scp03Host | SecureMessaging | None:
        if number in self.v2 and self.v2[number].messaging:
            return self.v2[number].messaging
        return self.scp03.get(number)

    def _distorted(self, number: int, raw: bytes) -> bytes:
        """Send a command: mostly as it is, else in a chain, or spoiled."""
        kind = self.rng.random()
        if kind < 0.03 and self.kind.options.command_chaining and len(raw) > 7 and raw[4]:
            parsed = CommandAPDU.parse(raw)
            cut = self.rng.randrange(len(parsed.data) + 1)
            self.transmit(number, bytes(
                parsed._replace(cla=parsed.cla | 0x10, data=parsed.data[:cut], le=None)
            ))  # fmt: skip
            return self.transmit(number, bytes(parsed._replace(data=parsed.data[cut:])))
        if kind > 1 - self.errors / 5:
            return self.transmit(number, grammar.spoiled(self.rng, raw))
        return self.transmit(number, raw)

    def _challenge(self, number: int) -> bytes | None:
        reply = self.command(number, CommandAPDU.parse(_GET_CHALLENGE))
        return reply.data if reply and len(reply.data) == 8 else None

    def authenticate(
        self, number: int, channel: LogicalChannel, key: KeySpec | None = None
    ) -> None:
        """Prove a key that the current directory knows, in the card's version; or fail to."""
        known = [key for node in channel.directory.ancestors() for key in node.keys]
        usable = [key for key in known if key.role in _AUTHENTICATING]
        key = key or (self.rng.choice(usable) if usable else None)
        challenge = self._challenge(number) if key else None
        if challenge is None or key is None:
            return
        genuine = self.rng.random() < 1 - self.errors / 2
        if self.kind.protocol == 2:
            self._authenticate_2(number, key, challenge, genuine)
            return
        process_key = self.keys.process_key(key.name, challenge if genuine else bytes(8))
        command = v1.external_authenticate(
            process_key, self.rng.randbytes(8), key.reference, self.keys.version
        )
        if genuine:
            self.watched.proved(number, key.name)
        self.command(number, command)

    def _authenticate_2(self, number: int, key: KeySpec, challenge: bytes, genuine: bool) -> None:
        known = challenge if genuine else bytes(8)
        c1 = bytes((0x20, self.keys.cipher, self.keys.version))
        attempt = self.keys.authentication(key.name, known, binding(key, c1))
        if genuine:
            self.watched.proved(number, key.name)
        reply = self.command(number, external_authenticate(attempt, key))
        host = self.v2.setdefault(number, V2Host())
        try:
            if reply is None or reply.sw != 0x9000:
                raise CardError
            host.authenticated(attempt, reply.data)
        except CardError:
            self.v2.pop(number, None)

    def protected_change(self, number: int, channel: LogicalChannel) -> None:
        """A change under version 1 (right STK, mostly), or what it would be without."""
        change = grammar.change(self.rng, self.watched.card, channel)
        stk = channel.directory.secure_messaging_key
        challenge = self._challenge(number) if stk and self.kind.protocol == 1 else None
        if stk is None or challenge is None:
            self.command(number, change)
            return
        name = stk.name if self.rng.random() < 1 - self.errors / 2 else "STK_DDF1"
        try:
            protected = v1.protect(self.keys.process_key(name, challenge), change)
        except CardError:
            return
        self._distorted(number, bytes(protected._replace(cla=protected.cla | number)))

    def open_scp03(self, number: int) -> None:
        """Begin a session with transport or issuer keys at some level."""
        if self.rng.random() < 0.2:
            self.command(number, CommandAPDU(0, 0xA4, 4, 0, b"", 256))
        sets = self.watched.card.state.key_sets
        transport = self.rng.random() < (0.9 if TRANSPORT_KEY_VERSION in sets else 0.1)
        keys = self.store.transport_keys(CHIP) if transport else self.store.issuer_keys(CHIP)
        s16 = self.kind.options.scp03_s16
        challenge = self.rng.randbytes(16 if s16 else 8)
        host = Scp03Host(keys, self.rng.choice(LEVELS), keys.key_version, challenge, s16=s16)
        self.scp03.pop(number, None)
        try:
            start = host.initialize_update()._replace(cla=0x80 | number)
            command = host.external_authenticate(
                ResponseAPDU.parse(self.transmit(number, bytes(start)))
            )
            if not transport:
                self.watched.show(ISSUER)
            raw = bytes(command._replace(cla=command.cla | number))
            host.opened(ResponseAPDU.parse(self._distorted(number, raw)))
        except CardError:
            return
        self.scp03[number] = host

    def load(self, number: int) -> None:
        """The issuer's way on a blank card: change the transport keys, or load all or a part."""
        host = self.scp03.get(number)
        if host is None:
            return
        sets = self.watched.card.state.key_sets
        if TRANSPORT_KEY_VERSION in sets:
            transport, issuer = self.store.transport_keys(CHIP), self.store.issuer_keys(CHIP)
            self.command(number, put_key_command(issuer.key_version, issuer, transport))
            return
        commands = store_data_commands(groupings(self.kind), host.capacity)
        for command in commands[: self.rng.choice((1, 3, len(commands), len(commands)))]:
            wrong = self.rng.random() < 0.005
            reply = self.command(number, command._replace(p2=0xFF) if wrong else command)
            if reply is None or reply.sw != 0x9000:
                return
