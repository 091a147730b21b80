#!/bin/sh
# Runs before the migrations: the role ballast owns its database and is no superuser. Any number of times. In the database of
# a release that made ballast the superuser, that one is renamed first and can log in no more.
set -eu
export PGHOST="${PGHOST:-postgres}" PGDATABASE=ballast
as() { PGPASSWORD="$2" psql -U "$1" -v ON_ERROR_STOP=1 --quiet --no-psqlrc --single-transaction -f "$3"; }

here=$(dirname "$0")
if ! PGPASSWORD="$POSTGRES_ADMIN_PASSWORD" psql -U postgres -c 'SELECT' >/dev/null 2>&1; then
    as ballast "$POSTGRES_PASSWORD" "$here/admin.sql"
fi
as postgres "$POSTGRES_ADMIN_PASSWORD" "$here/role.sql"
as postgres "$POSTGRES_ADMIN_PASSWORD" "$here/owner.sql"
