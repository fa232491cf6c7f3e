package loadtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// client calls the API of a server.
type client struct {
	url  string
	http *http.Client
}

func newClient(address string) client {
	return client{url: address, http: &http.Client{Timeout: time.Minute}}
}

// maxAttempts bounds how often a call is tried. Between two the pause grows by
// pauseStep: together some ten seconds, in which a server can recover.
const (
	maxAttempts = 10
	pauseStep   = 200 * time.Millisecond
)

// call sends a request with a key and reads the answer's JSON. It is tried again,
// under the same idempotency key, when the connection or the server failed.
func (c client) call(ctx context.Context, key, method, path string, body, answer any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	idempotencyKey := rand.Text()
	for attempt := 1; ; attempt++ {
		retry, err := c.try(ctx, key, idempotencyKey, method, path, content, answer)
		if !retry || attempt == maxAttempts {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * pauseStep):
		case <-ctx.Done():
			return err
		}
	}
}

// try sends a request once; retry says that it may be answered better another time.
func (c client) try(
	ctx context.Context, key, idempotencyKey, method, path string, content []byte, answer any,
) (retry bool, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(content))
	if err != nil {
		return false, err
	}
	request.Header.Set("X-API-KEY", key)
	if method != http.MethodGet {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return true, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		var problem struct{ Code, Detail string }
		_ = json.Unmarshal(received, &problem) // A proxy's error may be no JSON.
		return response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests,
			fmt.Errorf("%s %s: %d %s: %s", method, path, response.StatusCode, problem.Code, problem.Detail)
	}
	if answer == nil {
		return false, nil
	}
	return false, json.Unmarshal(received, answer)
}

// pageSize is the largest page that the API gives.
const pageSize = 1000

// list calls each for every item of a list.
func list[T any](ctx context.Context, c client, key, path string, query url.Values, each func(T)) error {
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		var page struct {
			Data       []T `json:"data"`
			Pagination struct {
				NextCursor string `json:"nextCursor"`
			} `json:"pagination"`
		}
		if err := c.call(ctx, key, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, item := range page.Data {
			each(item)
		}
		if page.Pagination.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.Pagination.NextCursor)
	}
}

// tenant is an institution of a test.
type tenant struct {
	InstitutionID string `json:"institutionId"`
	KeyID         string `json:"keyId"`
	APIKey        string `json:"apiKey"`
	AssetID       string `json:"assetId"`
}

// keyLife is how long a test's key is valid, should nobody revoke it.
const keyLife = 24 * time.Hour

// makeTenants makes institutions for a test, each with a key, a template and an
// asset. Their names say that they are synthetic.
func makeTenants(ctx context.Context, s *server, runID string, count int) ([]tenant, error) {
	tenants := make([]tenant, count)
	for i := range tenants {
		t := &tenants[i]
		if err := t.make(ctx, s, fmt.Sprintf("LOAD TEST %s/%d (synthetic)", runID, i+1)); err != nil {
			return nil, fmt.Errorf("make an institution for the test: %w", err)
		}
	}
	return tenants, nil
}

func (t *tenant) make(ctx context.Context, s *server, name string) error {
	type fields = map[string]any
	var made struct{ ID, APIKey string }
	post := func(key, path string, body fields) error {
		made.ID = ""
		return s.call(ctx, key, http.MethodPost, path, body, &made)
	}
	synthetic := fields{"synthetic": true}
	err := post(s.rootKey, "/institutions", fields{"name": name, "regions": []string{"US"}, "verticals": []string{"CONSTRUCTION"}})
	if err != nil {
		return err
	}
	t.InstitutionID = made.ID
	err = post(s.rootKey, "/institutions/"+t.InstitutionID+"/api-keys", fields{
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

// revokeKeys ends the keys of a test.
func revokeKeys(ctx context.Context, s *server, tenants []tenant) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var errs []error
	for _, t := range tenants {
		err := s.call(ctx, s.rootKey, http.MethodPost, "/institutions/"+t.InstitutionID+"/api-keys/"+t.KeyID+"/revoke", nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("revoke %s, which ends by itself a day after it was made: %w", t.KeyID, err))
		}
	}
	return errors.Join(errs...)
}
