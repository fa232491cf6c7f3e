package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
)

type healthcheckCommand struct {
	Host    string        `env:"HOST" default:"127.0.0.1" help:"The address that the server listens on."`
	Port    string        `env:"PORT" default:"4000" help:"The port that the server listens on."`
	Ready   bool          `help:"Ask whether the server can serve, not only whether it lives."`
	Timeout time.Duration `default:"3s" help:"How long the server may take to answer."`
}

// Help explains the command below its flags' list.
func (*healthcheckCommand) Help() string {
	return `Asks the server on this machine for GET /health, for supervisors that run a command: a container's health check needs no
shell and no curl. With the environment of the server it needs no flags.

Exit codes: 0 it lives, or is ready; 1 it does not answer so; 2 wrong usage.`
}

// Run asks.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	var r reader
	port := r.whole("PORT", c.Port, 1, 65535)
	if r.err != nil {
		return r.err
	}
	path := "/health"
	if c.Ready {
		path = "/ready"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	url := localURL(net.JoinHostPort(c.Host, strconv.Itoa(port)))
	if err := apiclient.New(url).GetOnce(ctx, "", path, nil); err != nil {
		return fmt.Errorf("the server at %s: %w", url, err)
	}
	return nil
}
