package pgcluster

import "errors"

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
	err = s.bootAs("standby.signal", map[string]string{
		"primary_conninfo": c.URL("postgres") + "&application_name=" + standbyName,
	})
	if err != nil {
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
