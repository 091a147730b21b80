"""The shop and its database: models of its own, and what the bot asks of them. Knows nothing of Telegram."""

from __future__ import annotations

from functools import partial

from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dbcore import LAST_KNOWN, AsyncGuard, Effect, Refuse, Tx

PRICES = {"lamp": 10, "rope": 20, "map": 30}
FIRST_COINS = 100


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "shop_customers"

    telegram_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    coins: Mapped[int]


class Purchase(Base):
    __tablename__ = "shop_purchases"

    id: Mapped[int] = mapped_column(primary_key=True)
    telegram_id: Mapped[int] = mapped_column(ForeignKey("shop_customers.telegram_id"), index=True)
    item: Mapped[str]
    price: Mapped[int]


class Shop:
    """Raises what AsyncGuard raises."""

    def __init__(self, guard: AsyncGuard) -> None:
        self._guard = guard
        # What this process read last for the same customer, while the database does not answer.
        self.belongings = guard.read(default=LAST_KNOWN)(belongings)

    async def create_tables(self) -> None:
        await self._guard.transact(lambda tx: Base.metadata.create_all(tx.connection), name="shop.tables")

    async def buy(self, telegram_id: int, item: str, *, key: str) -> Effect[int]:
        """The coins that are left. Raises Refuse if there are too few."""
        return await self._guard.transact(partial(buy, telegram_id, item), key=key, name="shop.buy")


def buy(telegram_id: int, item: str, tx: Tx) -> int:
    """May run several times, and takes effect once: what it changed before is rolled back."""
    newcomer = insert(Customer).values(telegram_id=telegram_id, coins=FIRST_COINS)
    tx.session.execute(newcomer.on_conflict_do_nothing())
    customer = tx.session.get_one(Customer, telegram_id, with_for_update=True)
    price = PRICES[item]
    if customer.coins < price:
        raise Refuse(f"The {item} costs {price} coins, and you have {customer.coins}. Nothing was bought.")
    customer.coins -= price
    tx.session.add(Purchase(telegram_id=telegram_id, item=item, price=price))
    return customer.coins


def belongings(session: Session, telegram_id: int) -> tuple[int, list[str]]:
    """Coins and things."""
    customer = session.get(Customer, telegram_id)
    things = select(Purchase.item).where(Purchase.telegram_id == telegram_id).order_by(Purchase.id)
    return FIRST_COINS if customer is None else customer.coins, list(session.scalars(things))
