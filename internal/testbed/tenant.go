package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Tenant is an institution that was made for a test, with an asset and the key of
// an admin.
type Tenant struct {
	InstitutionID string `json:"institutionId"`
	KeyID         string `json:"keyId"`
	APIKey        string `json:"apiKey"`
	AssetID       string `json:"assetId"`
}

// keyLife is how long a test's key is valid, should nobody revoke it.
const keyLife = 24 * time.Hour

// MakeTenants makes institutions for a test, each with a key, a template and an
// asset. Their names say that they are synthetic.
func (s *Server) MakeTenants(ctx context.Context, runID string, count int) ([]Tenant, error) {
	tenants := make([]Tenant, count)
	for i := range tenants {
		t := &tenants[i]
		if err := t.make(ctx, s, fmt.Sprintf("LOAD TEST %s/%d (synthetic)", runID, i+1)); err != nil {
			return nil, fmt.Errorf("make an institution for the test: %w", err)
		}
	}
	return tenants, nil
}

func (t *Tenant) make(ctx context.Context, s *Server, name string) error {
	type fields = map[string]any
	var made struct{ ID, APIKey string }
	post := func(key, path string, body fields) error {
		made.ID = ""
		return s.Call(ctx, key, http.MethodPost, path, body, &made)
	}
	synthetic := fields{"synthetic": true}
	err := post(s.RootKey, "/institutions", fields{"name": name, "regions": []string{"US"}, "verticals": []string{"CONSTRUCTION"}})
	if err != nil {
		return err
	}
	t.InstitutionID = made.ID
	err = post(s.RootKey, "/institutions/"+t.InstitutionID+"/api-keys", fields{
		"label": "load test", "role": "admin", "expiresAt": time.Now().Add(keyLife).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	t.KeyID, t.APIKey = made.ID, made.APIKey
	err = post(t.APIKey, "/asset-templates", fields{
		"code": "CONSTR_ESCROW", "name": name, "vertical": "CONSTRUCTION", "region": "US", "config": fields{"currency": "USD"},
	})
	if err != nil {
		return err
	}
	err = post(t.APIKey, "/assets", fields{"templateId": made.ID, "label": name, "metadata": synthetic})
	t.AssetID = made.ID
	return err
}

// RevokeKeys ends the keys of a test.
func (s *Server) RevokeKeys(ctx context.Context, tenants []Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, t := range tenants {
		err := s.Call(ctx, s.RootKey, http.MethodPost, "/institutions/"+t.InstitutionID+"/api-keys/"+t.KeyID+"/revoke", nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("revoke %s, which ends by itself a day after it was made: %w", t.KeyID, err))
		}
	}
	return errors.Join(errs...)
}
