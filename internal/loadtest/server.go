package loadtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// server is what the load goes to: a private process of this test, or a target
// that somebody else runs.
type server struct {
	client
	rootKey string
	// version and store are what the server says of itself.
	version, store string
	// program is the private server; nil for a target. Ended is closed when it has.
	program *exec.Cmd
	ended   <-chan struct{}
	log     *os.File
	// data is a private server's directory, "" where it is to be kept.
	data string
}

// openServer starts a private server, or looks for the target.
func openServer(ctx context.Context, config Config, profile Profile, directory string) (*server, error) {
	if config.Target != "" {
		s := &server{client: newClient(strings.TrimRight(config.Target, "/")), rootKey: config.RootKey}
		if err := s.ask(ctx); err != nil {
			return nil, fmt.Errorf("the target %s does not answer: %w", config.Target, err)
		}
		return s, nil
	}
	s, err := startServer(ctx, config, profile, directory)
	if err != nil {
		return nil, fmt.Errorf("start a private server: %w", err)
	}
	return s, nil
}

// startServer starts the program of this command as a server on a free port.
func startServer(ctx context.Context, config Config, profile Profile, directory string) (_ *server, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{client: newClient("http://" + address), rootKey: "loadtest-" + rand.Text() + rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	database := config.Database
	if database == "" {
		if s.data, err = os.MkdirTemp("", "escrowgrid-loadtest-"); err != nil {
			return nil, err
		}
		database = "sqlite:" + filepath.Join(s.data, "escrowgrid.db")
		if config.Keep {
			fmt.Fprintf(config.Progress, "the database is kept: %s\n", database)
			s.data = ""
		}
	}
	logPath := filepath.Join(directory, "server.log")
	if s.log, err = os.Create(logPath); err != nil { //nolint:gosec // The operator says where.
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	s.program = exec.Command(config.Executable, "serve", "--migrate") //nolint:gosec,noctx // This program; close ends it.
	s.program.Env = append(os.Environ(), "DATABASE_URL="+database, "ROOT_API_KEY="+s.rootKey, "HOST="+host, "PORT="+port,
		"LOG_LEVEL=warn", "LOG_FORMAT=json", "RATE_LIMIT_ENABLED="+strconv.FormatBool(!profile.asOperator))
	s.program.Stdout, s.program.Stderr = s.log, s.log
	// Ctrl-C in a terminal must not reach it: it outlives the load.
	if s.ended, err = subprocess.Start(s.program, syscall.SIGTERM); err != nil {
		s.program = nil
		return nil, err
	}
	err = s.await(ctx, logPath)
	return s, err
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// startTimeout bounds the start of a private server: a PostgreSQL database may
// have to be migrated first.
const startTimeout = 30 * time.Second

// await waits until the server can serve.
func (s *server) await(ctx context.Context, logPath string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", lastLine(logPath))
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w; its log is %s", err, logPath)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLine(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // The log of our own server.
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

// ask asks the server whether it is ready, and who it is.
func (s *server) ask(ctx context.Context) error {
	for _, path := range []string{"/ready", "/health"} {
		var answer struct{ Version, Store string }
		if _, err := s.try(ctx, s.rootKey, "", http.MethodGet, path, nil, &answer); err != nil {
			return err
		}
		s.version, s.store = answer.Version, answer.Store
	}
	return nil
}

func (s *server) describe() ServerInfo {
	return ServerInfo{URL: s.url, Version: s.version, Store: s.store, Private: s.program != nil}
}

// stopTimeout bounds how long a private server is given to finish.
const stopTimeout = 20 * time.Second

// close ends a private server and removes its data.
func (s *server) close() error {
	var errs []error
	if s.program != nil {
		_ = s.program.Process.Signal(syscall.SIGTERM) // It may have ended.
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			errs = append(errs, errors.New("the private server did not end by itself"), s.program.Process.Kill())
			<-s.ended
		}
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.data != "" {
		errs = append(errs, os.RemoveAll(s.data))
	}
	return errors.Join(errs...)
}

// scrape reads the server's metrics.
func (s *server) scrape(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-API-KEY", s.rootKey)
	response, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /metrics: %s", response.Status)
	}
	return io.ReadAll(response.Body)
}
