-- The role with which Grafana reads the database for the dashboard of tenants. It can read
-- only the columns that the dashboard shows: no key, no hash, no body of an entry. Its
-- statements end after five seconds. Run this once, as the owner:
--
--   psql postgres://owner@db.example.com/escrowgrid -f role.sql -c '\password escrowgrid_dashboards'
--
-- The last part sets its password; without one it cannot log in over a network.
CREATE ROLE escrowgrid_dashboards LOGIN CONNECTION LIMIT 8;
ALTER ROLE escrowgrid_dashboards SET default_transaction_read_only = on;
ALTER ROLE escrowgrid_dashboards SET statement_timeout = '5s';

GRANT SELECT (id, name) ON institutions TO escrowgrid_dashboards;
GRANT SELECT (institution_id, sequence, last_at) ON journal_heads TO escrowgrid_dashboards;
GRANT SELECT (institution_id, sequence, at) ON journal_entries TO escrowgrid_dashboards;
GRANT SELECT (institution_id, size, balances) ON journal_checkpoints TO escrowgrid_dashboards;
GRANT SELECT (institution_id, state) ON positions TO escrowgrid_dashboards;
