package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Pooler is pgbouncer in front of a cluster, for all of its databases. Its methods may be
// called from several goroutines.
type Pooler struct {
	cluster *Cluster
	// dir is the temporary directory of the configuration and the log.
	dir string
	// port stays the same over restarts.
	port   int
	reaper *reaper

	mu      sync.Mutex
	process *process // nil while stopped
}

// poolerConfiguration is in the order of its verbs: PostgreSQL's port, the pooler's, the file of
// passwords, the mode. Sessions take turns, so that nobody has the same one twice in a row.
const poolerConfiguration = `[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
default_pool_size = 30
min_pool_size = 3
max_client_conn = 1000
server_round_robin = 1
server_login_retry = 1
ignore_startup_parameters = search_path
`

// Pooler starts pgbouncer in front of this cluster, in a mode of pgbouncer's, such as
// "transaction".
func (c *Cluster) Pooler(mode string) (_ *Pooler, err error) {
	program, err := findPooler()
	if err != nil {
		return nil, err
	}

	p := &Pooler{cluster: c}
	if p.dir, err = os.MkdirTemp(c.account.TempBase(), "escrowgrid-pgbouncer-"); err != nil {
		return nil, err
	}
	if p.reaper, err = startReaper(p.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if err := p.configure(mode); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.boot(program); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// findPooler returns the path of pgbouncer. Debian has it where only root looks by default.
func findPooler() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/pgbouncer"); err == nil {
		return path, nil
	}
	return "", errors.New("pgbouncer is not installed: run the tests with scripts/test, which installs it")
}

func (p *Pooler) configure(mode string) (err error) {
	if p.port, err = FreePort(); err != nil {
		return err
	}
	users := filepath.Join(p.dir, "users")
	for path, content := range map[string]string{
		users:             fmt.Sprintf("%q %q\n", superuser, p.cluster.password),
		p.configuration(): fmt.Sprintf(poolerConfiguration, p.cluster.port, p.port, users, mode),
	} {
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), p.cluster.account.Own(path)); err != nil {
			return err
		}
	}
	return p.cluster.account.Own(p.dir)
}

// boot starts the process and waits until it listens.
func (p *Pooler) boot(program string) error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	command := p.cluster.account.Command(p.dir, program, p.configuration())
	command.Stdout, command.Stderr = log, log
	p.process, err = launch(command, p.reaper)
	if err := errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start pgbouncer: %w", err)
	}
	return p.awaitListening()
}

func (p *Pooler) awaitListening() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(connectInterval)
	defer ticker.Stop()

	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.process.done:
			return fmt.Errorf("pgbouncer ended; its log ends:\n%s", tail(p.logFile()))
		case <-ctx.Done():
			return fmt.Errorf("pgbouncer does not listen: %w", err)
		case <-ticker.C:
		}
	}
}

// Restart kills the pooler, with all connections through it, and starts it again.
func (p *Pooler) Restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.halt(); err != nil {
		return err
	}
	program, err := findPooler()
	if err != nil {
		return err
	}
	return p.boot(program)
}

func (p *Pooler) halt() error {
	ended := p.process
	if ended == nil {
		return nil
	}
	p.process = nil
	return ended.stop(stopTimeout)
}

// Close ends the pooler and removes its directory.
func (p *Pooler) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.halt(), p.reaper.run())
}

// LogTail returns the end of the pooler's log.
func (p *Pooler) LogTail() string { return tail(p.logFile()) }

// Through returns the URL of a database of the cluster, through the pooler.
func (p *Pooler) Through(databaseURL string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", err
	}
	u.Host = p.address()
	return u.String(), nil
}

func (p *Pooler) address() string       { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }
func (p *Pooler) configuration() string { return filepath.Join(p.dir, "pgbouncer.ini") }
func (p *Pooler) logFile() string       { return filepath.Join(p.dir, "pgbouncer.log") }
