"""The tables of the bureau's register, for SQLite and PostgreSQL."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

FORMAT = 1
"""The version of these tables."""

metadata = MetaData()

register = Table(
    "register",
    metadata,
    Column("id", Text, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("tag_key", Text, nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_store_identity", Text, nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("entered", BigInteger, nullable=False),
)

card = Table(
    "card",
    metadata,
    Column("batch", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("is_current", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("chip", LargeBinary, unique=True),
    Column("station", Text),
    Column("token", Integer, nullable=False),
    Column("lease_until", BigInteger),
    Column("problem", Text, nullable=False),
    Column("changed", BigInteger, nullable=False),
    CheckConstraint("(state = 'prepared') = (chip IS NULL)", name="a_begun_card_has_a_chip"),
)
Index("one_current_card", card.c.batch, card.c.number, unique=True,
      sqlite_where=card.c.is_current, postgresql_where=card.c.is_current)  # fmt: skip
Index("card_by_state", card.c.batch, card.c.state, card.c.number)

chip = Table(
    "chip",
    metadata,
    Column("serial", LargeBinary, primary_key=True),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
)

holder = Table(
    "holder",
    metadata,
    Column("batch", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("commitment", LargeBinary, primary_key=True),
    Column("salt", LargeBinary),
    Column("tag", LargeBinary),
    Column("in_use", Boolean, nullable=False),
)
Index("one_holder_one_card", holder.c.tag, unique=True,
      sqlite_where=holder.c.in_use, postgresql_where=holder.c.in_use)  # fmt: skip
Index("holder_by_tag", holder.c.tag)

other_card = Table(
    "other_card",
    metadata,
    Column("batch", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("chip", LargeBinary, primary_key=True),
    Column("seen", BigInteger, nullable=False),
)

pin = Table(
    "pin",
    metadata,
    Column("batch", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("chip", LargeBinary, primary_key=True),
    Column("for_mailer", LargeBinary, nullable=False),
    Column("for_claim", LargeBinary),
)

station = Table(
    "station",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("station", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("act", Text, nullable=False),
    Column("batch", Text),
    Column("number", Integer),
    Column("attempt", Integer),
    Column("card_step", Integer),
    Column("chip", LargeBinary),
    Column("chip_step", Integer),
    Column("detail", Text, nullable=False),
    Column("transaction_id", Text, nullable=False, index=True),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("batch", "number", "card_step"),
    UniqueConstraint("chip", "chip_step"),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
