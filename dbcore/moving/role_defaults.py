"""What each new session of this login in this database begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


def set_default(connection: Connection, setting: str, value: str) -> None:
    """setting, value -- as SQL writes them."""
    role, database = connection.exec_driver_sql(
        "SELECT quote_ident(current_user), quote_ident(current_database())"
    ).one()
    connection.exec_driver_sql(
        f"ALTER ROLE {role} IN DATABASE {database} SET {setting} = {value}",
        execution_options={"no_parameters": True},
    )
