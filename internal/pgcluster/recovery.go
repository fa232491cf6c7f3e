package pgcluster

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// WithArchive copies every segment of the write-ahead log to an archive beside the data,
// for Recover.
func WithArchive() Option {
	return func(settings map[string]string) {
		settings["archive_mode"] = "on"
		settings["archive_command"] = "mkdir -p ../archive && test ! -f ../archive/%f && cp %p ../archive/%f"
	}
}

// BaseBackup makes a new cluster from a base backup of this one, which must be running.
// The new cluster does not run until Recover.
func (c *Cluster) BaseBackup() (_ *Cluster, err error) {
	program, err := FindProgram("pg_basebackup")
	if err != nil {
		return nil, err
	}

	b := &Cluster{
		binDir:   c.binDir,
		account:  c.account,
		settings: maps.Clone(c.settings),
		password: c.password,
	}
	delete(b.settings, "archive_mode") // A recovered cluster must not write into the archive.
	if b.dir, err = os.MkdirTemp(b.account.TempBase(), "escrowgrid-postgres-"); err != nil {
		return nil, err
	}
	// From here on the reaper removes the directory, even if this process is killed.
	if b.reaper, err = startReaper(b.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.dir))
	}
	if err := b.account.Own(b.dir); err != nil {
		return nil, errors.Join(err, b.Close())
	}

	command := b.account.Command(b.dir, program,
		"--dbname="+c.URL("postgres"), "--pgdata="+b.dataDir(), "--checkpoint=fast", "--no-sync")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("pg_basebackup: %w\n%s", err, output.String()), b.Close())
	}
	return b, nil
}

// Recover starts a base backup of a cluster and replays that cluster's archive up to a
// time.
func (c *Cluster) Recover(from *Cluster, to time.Time) error {
	return c.bootAs("recovery.signal", map[string]string{
		"restore_command":        "cp " + filepath.Join(from.dir, "archive") + "/%f %p",
		"recovery_target_time":   to.UTC().Format("2006-01-02 15:04:05.999999+00"),
		"recovery_target_action": "promote",
		"hot_standby":            "off", // It accepts no connections before it has recovered.
	})
}

// bootAs starts a base backup with more settings, as what a file of this name makes of it:
// a server in recovery, or a standby.
func (c *Cluster) bootAs(signalName string, settings map[string]string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	signal := filepath.Join(c.dataDir(), signalName)
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	if err := c.account.Own(signal); err != nil {
		return err
	}

	maps.Copy(c.settings, settings)
	if c.port, err = FreePort(); err != nil {
		return err
	}
	return c.boot()
}
