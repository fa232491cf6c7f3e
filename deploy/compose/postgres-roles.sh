#!/bin/sh
# Creates the servers' role. PostgreSQL's image runs this script once, when it creates the
# database; migrate grants the role what serving needs.
set -eu
# psql reads the password itself: arguments show in the machine's list of processes.
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/postgres_server_password`
CREATE ROLE escrowgrid_server LOGIN PASSWORD :'password';
SQL
