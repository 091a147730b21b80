"""The shop's tables, in a schema of their own. Amounts are minor units: 500 is 5.00."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, MetaData, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(schema="shop")


class Voucher(Base):
    """A code that anybody may redeem once, as long as some are left."""

    __tablename__ = "vouchers"

    code: Mapped[str] = mapped_column(primary_key=True)
    minor: Mapped[int] = mapped_column(BigInteger)
    left: Mapped[int]


class Redeemed(Base):
    """Who redeemed what."""

    __tablename__ = "redeemed"

    code: Mapped[str] = mapped_column(primary_key=True)
    telegram_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    minor: Mapped[int] = mapped_column(BigInteger)


class Item(Base):
    """What is for sale. Of each piece there is one row in `stock`."""

    __tablename__ = "items"

    name: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(BigInteger)


class Piece(Base):
    """One piece of an item: a key to a game, a ticket. It is sold once it has a buyer."""

    __tablename__ = "stock"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    secret: Mapped[str]
    buyer: Mapped[int | None] = mapped_column(BigInteger)
    paid: Mapped[int | None] = mapped_column(BigInteger)


class TopUp(Base):
    """A payment that a payment provider told us of, and that is to be credited."""

    __tablename__ = "top_ups"

    id: Mapped[int] = mapped_column(primary_key=True)
    telegram_id: Mapped[int] = mapped_column(BigInteger)
    minor: Mapped[int] = mapped_column(BigInteger)
    credited_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
