package main

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/egress"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// checkSecrets refuses to serve with other encryption keys than those of the secrets in the database.
// Where that cannot be asked yet, what needs a secret says so later.
func (s *service) checkSecrets(ctx context.Context) error {
	err := s.engine.CheckSecrets(ctx)
	if escrow.ErrorCode(err) == escrow.CodeStoreUnavailable {
		s.config.logger.Warn("the secrets in the database could not be compared with ENCRYPTION_KEY", "error", err)
		return nil
	}
	return err
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
}
