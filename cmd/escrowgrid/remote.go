package main

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// remoteFlags name a server to ask over HTTP, for commands that can also read a database.
type remoteFlags struct {
	URL    string `name:"url" placeholder:"URL" help:"Ask the server at this address, instead of reading a database."`
	APIKey string `name:"api-key" env:"API_KEY" secret:"" help:"The key for the server: the root key, or one that reads journals, as an admin's or auditor's does."`

	InsecureHTTP bool `name:"insecure-http" help:"Allow an http URL of another machine: whoever is on the way can read the key."`

	TraceParent string `env:"TRACEPARENT" name:"traceparent" help:"The W3C trace context of the caller, such as a pipeline's: the server's work becomes part of that trace."`
	TraceState  string `env:"TRACESTATE" name:"tracestate" hidden:""`
}

// check returns a usageError that names a wrong or missing flag. Without --url, nothing is wrong.
func (f remoteFlags) check() error {
	if f.URL == "" {
		return nil
	}

	if !isWebURL(f.URL) {
		return &usageError{"--url takes the address of a server, like https://escrow.example.com"}
	}
	if !f.InsecureHTTP && !apiclient.IsSafe(f.URL) {
		return &usageError{"--url: the key would be sent without TLS to another machine: " +
			"give an https URL, or allow it with --insecure-http"}
	}
	if f.APIKey == "" {
		return &usageError{"--url takes a key in API_KEY: the root key, or one that reads journals, " +
			"as an admin's or auditor's does"}
	}
	return nil
}

// inTrace returns a context in the trace that the flags name. As the standard says, a text
// that names no trace is ignored.
func (f remoteFlags) inTrace(ctx context.Context) context.Context {
	named := propagation.MapCarrier{"traceparent": f.TraceParent, "tracestate": f.TraceState}
	return propagation.TraceContext{}.Extract(ctx, named)
}

// server returns the server that the flags name. What it sends is kept in a directory: it must not
// fill the disk, so it may send half of what is free there.
func (f remoteFlags) server(directory string) bundle.Server {
	client := apiclient.New(strings.TrimRight(f.URL, "/"))
	client.InsecureHTTP = f.InsecureHTTP
	if free, ok := store.FreeSpace(directory); ok {
		client.Budget = apiclient.NewBudget(free / 2)
	}
	return bundle.Server{Client: client, Key: f.APIKey}
}
