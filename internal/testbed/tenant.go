package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Tenant is an institution that was created for a test, with an asset and an admin's key.
type Tenant struct {
	InstitutionID string `json:"institutionId"`
	// KeyID is the id of the key, by which it is revoked, and APIKey its secret.
	KeyID  string `json:"keyId"`
	APIKey string `json:"apiKey"`
	// AssetID is that of an asset in US dollars.
	AssetID string `json:"assetId"`
	// CheckerID is the id of the key of another person, whose approvals releases wait for, and CheckerKey its
	// secret; both are empty where nothing waits.
	CheckerID  string `json:"checkerId,omitempty"`
	CheckerKey string `json:"checkerKey,omitempty"`
}

// keyLifetime bounds the validity of a test's key that nobody revokes.
const keyLifetime = 24 * time.Hour

// MakeTenants creates institutions for a test, each with a key, a template and an asset.
// Their names say that they are synthetic.
func (s *Server) MakeTenants(ctx context.Context, runID string, count int) ([]Tenant, error) {
	tenants := make([]Tenant, count)
	for i := range tenants {
		name := fmt.Sprintf("LOAD TEST %s/%d (synthetic)", runID, i+1)
		if err := tenants[i].create(ctx, s, name); err != nil {
			return nil, fmt.Errorf("create an institution for the test: %w", err)
		}
	}
	return tenants, nil
}

// create creates an institution, a key, a template and an asset, in this order, and notes
// their ids.
func (t *Tenant) create(ctx context.Context, s *Server, name string) error {
	type fields = map[string]any
	var created struct{ ID, APIKey string }
	post := func(key, path string, body fields) error {
		created.ID = ""
		return s.Call(ctx, key, http.MethodPost, path, body, &created)
	}

	err := post(s.RootKey, "/institutions", fields{
		"name":      name,
		"regions":   []string{"US"},
		"verticals": []string{"CONSTRUCTION"},
	})
	if err != nil {
		return err
	}
	t.InstitutionID = created.ID

	err = post(s.RootKey, "/institutions/"+t.InstitutionID+"/api-keys", fields{
		"label":     "load test",
		"role":      "admin",
		"expiresAt": time.Now().Add(keyLifetime).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	t.KeyID, t.APIKey = created.ID, created.APIKey

	err = post(t.APIKey, "/asset-templates", fields{
		"code":     "CONSTR_ESCROW",
		"name":     name,
		"vertical": "CONSTRUCTION",
		"region":   "US",
		"config":   fields{"currency": "USD"},
	})
	if err != nil {
		return err
	}

	err = post(t.APIKey, "/assets", fields{
		"templateId": created.ID,
		"label":      name,
		"metadata":   fields{"synthetic": true},
	})
	t.AssetID = created.ID
	return err
}

// AskChecker gives a test's institution a checker, and the approval rule that commands of some permissions
// wait for them, on some conditions; nil is on none.
func (t *Tenant) AskChecker(ctx context.Context, s *Server, on []string, when map[string]any) error {
	type fields = map[string]any
	var created struct{ ID, APIKey string }
	path := "/institutions/" + t.InstitutionID
	err := s.Call(ctx, s.RootKey, http.MethodPost, path+"/api-keys", fields{
		"label":     "load test, checker",
		"role":      "approver",
		"owner":     "load test, checker",
		"expiresAt": time.Now().Add(keyLifetime).UTC().Format(time.RFC3339),
	}, &created)
	if err != nil {
		return fmt.Errorf("create a checker for the test: %w", err)
	}
	t.CheckerID, t.CheckerKey = created.ID, created.APIKey

	rule := fields{
		"id":        "load-test",
		"on":        on,
		"require":   []fields{{"role": "approver", "count": 1}},
		"expiresIn": "24h",
	}
	if when != nil {
		rule["when"] = when
	}
	rules := fields{"rules": []fields{rule}}
	if err := s.Call(ctx, s.RootKey, http.MethodPut, path+"/approval-rules", rules, nil); err != nil {
		return fmt.Errorf("set the approval rules of the test: %w", err)
	}
	return nil
}

// KeyIDs are the ids of the keys that a test's institution was given.
func (t *Tenant) KeyIDs() []string {
	if t.CheckerID == "" {
		return []string{t.KeyID}
	}
	return []string{t.KeyID, t.CheckerID}
}

// RevokeKeys revokes the keys of a test's institutions. Its error joins those of the keys
// that could not be revoked.
func (s *Server) RevokeKeys(ctx context.Context, tenants []Tenant) error {
	// Bounded, because it runs at the end of a test that may have failed for the same reason.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	var errs []error
	for _, t := range tenants {
		for _, id := range t.KeyIDs() {
			path := "/institutions/" + t.InstitutionID + "/api-keys/" + id + "/revoke"
			if err := s.Call(ctx, s.RootKey, http.MethodPost, path, nil, nil); err != nil {
				errs = append(errs, fmt.Errorf("revoke %s, which expires a day after its creation: %w", id, err))
			}
		}
	}
	return errors.Join(errs...)
}
