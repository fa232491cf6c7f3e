package pgcluster

import (
	"errors"
	"os"
	"path/filepath"
)

// standbyName is the name under which a standby follows its primary.
const standbyName = "standby"

// Standby starts a hot standby that follows this cluster, which must be running. From then
// on commits of this cluster that are to be durable wait for the standby, also while it does
// not run.
func (c *Cluster) Standby() (*Cluster, error) {
	s, err := c.BaseBackup()
	if err != nil {
		return nil, err
	}
	if err := s.follow(c); err != nil {
		return nil, errors.Join(err, s.Close())
	}

	for _, statement := range []string{
		"ALTER SYSTEM SET synchronous_standby_names = '" + standbyName + "'", "SELECT pg_reload_conf()",
	} {
		if err := c.exec(statement); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (c *Cluster) follow(primary *Cluster) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	// The file makes the server start as a standby.
	signal := filepath.Join(c.dataDir(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	if err := c.account.own(signal); err != nil {
		return err
	}

	c.settings["primary_conninfo"] = primary.URL("postgres") + "&application_name=" + standbyName
	if c.port, err = freePort(); err != nil {
		return err
	}
	return c.boot()
}

// Promote makes a standby a cluster that is written to, with all that it has received. It
// starts a standby that is halted.
func (c *Cluster) Promote() error {
	if !c.running() {
		if err := c.Restart(); err != nil {
			return err
		}
	}
	return c.exec("SELECT pg_promote(wait_seconds => 300)")
}
