#!/bin/sh
# Makes the secrets of compose.yaml, in the folder secrets beside it, and keeps those that
# exist.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
# Compose mounts the files with their permissions, and the containers' users must be able to
# read them: only the folder keeps other users of this machine out.
chmod 700 secrets

write_once() { # NAME VALUE
	[ -e "secrets/$1" ] || printf '%s\n' "$2" >"secrets/$1"
	chmod 644 "secrets/$1"
}
for name in postgres_owner_password postgres_server_password root_api_key metrics_api_key encryption_key grafana_password; do
	write_once "$name" "$(openssl rand -hex 32)"
done
keep database_owner_url "postgres://owner:$(cat secrets/postgres_owner_password)@postgres/escrowgrid?sslmode=disable"
keep database_url "postgres://escrowgrid_server:$(cat secrets/postgres_server_password)@postgres/escrowgrid?sslmode=disable"
# Where alerts are sent, such as a chat's or a pager's web hook. Nobody receives them until you
# write real addresses.
keep alert_page_url http://127.0.0.1:9/
keep alert_ticket_url http://127.0.0.1:9/
