"""What the station adds to a prepared card once it knows the chip: serial, keys, PIN."""

from cardlib.crypto import pad
from cardlib.keys import CardKeys, Scp03Keys
from cardlib.layout import FILE_BY_PATH, KEYS, dgi_of_key, dgi_of_record, encode_record
from cardlib.layout.records import DGI_PIN, DGI_PIN_TRIES

from .prepared import PreparedCard, Values

ISSUER_FILE = FILE_BY_PATH["DDF1/EF05"]
SERIAL_RECORD = next(f.record for f in ISSUER_FILE.fields if f.name == "chip_serial_number")
PIN_TRIES = 3

Grouping = tuple[int, bytes]


def region_factor(city_code: str) -> bytes:
    """The 8-byte region factor of level-2 keys: two digits of the city code and six '0'."""
    return city_code[:2].encode("ascii") + b"000000"


def chip_serial_text(chip: bytes) -> str:
    """`chip_serial_number`: the last 10 hex digits of the 8-byte chip serial."""
    return chip.hex().upper()[-10:]


def groupings(
    card: PreparedCard, chip: bytes, keys: CardKeys, issuer_keys: Scp03Keys, pin: str
) -> list[Grouping]:
    """All data groupings of one card for STORE DATA (card specification 6).

    Keys and PIN are encrypted under the issuer's Key-DEK; `pin` is 6 digits.
    """
    serial = encode_record(
        ISSUER_FILE, SERIAL_RECORD, {"chip_serial_number": chip_serial_text(chip)}
    )
    card_keys = [(dgi_of_key(key), keys.grouping(key.name, issuer_keys)) for key in KEYS]
    return [
        *card.groupings,
        (dgi_of_record(ISSUER_FILE, SERIAL_RECORD), serial),
        *card_keys,
        (DGI_PIN, issuer_keys.encrypt_dek(pad(pin_block(pin)))),
        (DGI_PIN_TRIES, bytes((PIN_TRIES, PIN_TRIES))),
    ]


def pin_block(pin: str) -> bytes:
    """An ISO 9564-1 format 2 PIN block, 8 bytes: 2, number of digits, digits, F to the end."""
    return bytes.fromhex(f"2{len(pin):X}{pin}".ljust(16, "F"))


def expected_values(card: PreparedCard, chip: bytes) -> Values:
    """What must be read back: the prepared values and the chip's serial."""
    issuer = [dict(record) for record in card.values.get(ISSUER_FILE.path, ())]
    issuer += [{} for _ in range(SERIAL_RECORD - len(issuer))]
    issuer[SERIAL_RECORD - 1]["chip_serial_number"] = chip_serial_text(chip)
    return {**card.values, ISSUER_FILE.path: issuer}
