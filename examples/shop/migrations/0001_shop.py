"""Vouchers, items, stock and top-ups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vouchers",
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("minor", sa.BigInteger, sa.CheckConstraint("minor > 0"), nullable=False),
        sa.Column("left", sa.Integer, sa.CheckConstraint('"left" >= 0'), nullable=False),
        schema="shop",
    )
    op.create_table(
        "redeemed",
        sa.Column("code", sa.Text, sa.ForeignKey("shop.vouchers.code"), primary_key=True),
        sa.Column("telegram_id", sa.BigInteger, primary_key=True),
        sa.Column("minor", sa.BigInteger, nullable=False),
        schema="shop",
    )
    op.create_table(
        "items",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("price", sa.BigInteger, sa.CheckConstraint("price > 0"), nullable=False),
        schema="shop",
    )
    op.create_table(
        "stock",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("item", sa.Text, sa.ForeignKey("shop.items.name"), nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("buyer", sa.BigInteger),
        sa.Column("paid", sa.BigInteger),
        schema="shop",
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup")
