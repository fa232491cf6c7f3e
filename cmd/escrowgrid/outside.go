package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/egress"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// checkSecrets refuses to serve with other encryption keys than those of the secrets in the database, unless
// the operator allows it. Where that cannot be asked yet, what needs a secret says so later.
func (s *service) checkSecrets(ctx context.Context) error {
	err := s.engine.CheckSecrets(ctx)
	switch {
	case err == nil:
		return nil
	case escrow.ErrorCode(err) == escrow.CodeStoreUnavailable:
		s.config.logger.Warn("the secrets in the database could not be compared with the encryption key", "error", err)
		return nil
	case s.config.people.allowLostSecrets:
		s.config.logger.Warn("secrets cannot be used, and have to be set again", "error", err)
		return nil
	}
	return fmt.Errorf("%w; add them to ENCRYPTION_KEY, or to the file beside the SQLite database, behind the first "+
		"and a comma; where one is lost, %s", err, serveWithout)
}

// reachOut makes what sends requests out of the server.
func (s *service) reachOut(metrics prometheus.Registerer) {
	c := s.config
	s.egress = egress.New(egress.Config{
		AllowedNetworks: c.people.allowedNetworks,
		Proxy:           http.ProxyFromEnvironment,
		Version:         version(),
		Registry:        metrics,
	})

	s.people = identity.New(identity.Config{
		Client:  s.egress.For(egress.IdentityProvider),
		Now:     time.Now,
		Logger:  c.logger,
		Metrics: metrics,
	})
	if c.people.operators != nil {
		s.people.Prepare(c.people.operators.Provider.Issuer)
	}
}
