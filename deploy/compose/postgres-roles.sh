#!/bin/sh
# Makes the role that servers have. PostgreSQL's image runs it once, when it makes the
# database; migrate gives the role what serving takes.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-v password="$(cat /run/secrets/postgres_server_password)" <<'SQL'
CREATE ROLE escrowgrid_server LOGIN PASSWORD :'password';
SQL
