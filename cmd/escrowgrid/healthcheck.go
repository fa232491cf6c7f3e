package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
)

// healthcheckCommand asks a server for its health, for supervisors that can only run a command.
type healthcheckCommand struct {
	Host    string        `env:"HOST" default:"127.0.0.1" help:"The address that the server listens on."`
	Port    string        `env:"PORT" default:"4000" help:"The port that the server listens on."`
	Ready   bool          `help:"Ask whether the server can serve, not only whether it is alive."`
	Timeout time.Duration `default:"3s" help:"How long the server may take to answer."`
}

// Help explains the command below its flags' list.
func (*healthcheckCommand) Help() string {
	return `Sends GET /health to the server on this machine, for supervisors that run a command: a container's health check then needs
no shell and no curl. In the server's environment it needs no flags.

Exit codes: 0 the server is alive, or ready; 1 it is not, or does not answer; 2 wrong usage.`
}

// Run asks once: the supervisor decides how many failures are too many.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	var r reader
	port := r.whole("PORT", c.Port, 1, 65535)
	if r.err != nil {
		return r.err
	}

	// The two are apart because a supervisor should restart a server that is not alive, but not one
	// that is only not ready.
	path := "/health"
	if c.Ready {
		path = "/ready"
	}

	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// HOST may be 0.0.0.0, which a server can listen on but no client can call.
	url := localURL(net.JoinHostPort(c.Host, strconv.Itoa(port)))
	// GetOnce does not try again, because the question is about this moment.
	if err := apiclient.New(url).GetOnce(ctx, "", path, nil); err != nil {
		return fmt.Errorf("the server at %s: %w", url, err)
	}
	return nil
}
