#!/bin/sh
# Creates the servers' role. PostgreSQL's image runs this script once, when it creates the
# database; migrate grants the role what serving needs.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
	-v password="$(cat /run/secrets/postgres_server_password)" <<'SQL'
CREATE ROLE escrowgrid_server LOGIN PASSWORD :'password';
SQL
