package httpapi_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

func TestHealthAndReadiness(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		s := serve(t, onSQLite(t), nil)
		if got := string(s.As("").Get(t, "/health").Want(t, 200).Body); got != `{"status":"ok","service":"escrowgrid","version":"1.2.3","store":"sqlite"}`+"\n" {
			t.Errorf("/health is %s", got)
		}
		s.As("").Get(t, "/ready").Want(t, 200)
	})
	t.Run("postgres that goes and comes back", func(t *testing.T) {
		database := pgtest.Start(t)
		s := serve(t, database.NewDatabase(t), func(c *settings) { c.mayFail = true })
		ready := s.As("").Get(t, "/ready").Want(t, 200)
		if ready.Text("status") != "ready" || ready.Text("checks.0.name") != "store" {
			t.Errorf("/ready is %s", ready)
		}
		database.Stop(t)
		down := s.try(t, "/ready")
		down.Refused(t, 503, "store_unavailable")
		if !strings.Contains(down.Problem(t).Detail, "store") {
			t.Errorf("/ready does not name what fails: %s", down)
		}
		s.try(t, "/institutions").Refused(t, 503, "store_unavailable")
		if got := s.As("").Get(t, "/health").Want(t, 200).Text("store"); got != "postgres" {
			t.Errorf("the store is %s", got)
		}
		database.Restart(t)
		eventually(t, "it is ready again", func() bool { return s.try(t, "/ready").Status == 200 })
		s.Get(t, "/institutions").Want(t, 200)
	})
}

func TestThePageOfTheDocument(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.PublicDocs = true })
	page := s.As("").Get(t, "/docs").Want(t, 200)
	if contentType := page.Header.Get("Content-Type"); contentType != "text/html; charset=utf-8" {
		t.Errorf("Content-Type is %q", contentType)
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q", policy)
	}
	if outside := regexp.MustCompile(`(src|href)="?(https?:)?//`).FindString(string(page.Body)); outside != "" {
		t.Errorf("the page asks another host: %s", outside)
	}
	files := regexp.MustCompile(`(?:src|href)="?(/docs/[^" >]+)`).FindAllStringSubmatch(string(page.Body), -1)
	if len(files) == 0 {
		t.Errorf("the page has no files: %s", page.Body)
	}
	for _, file := range files {
		s.As("").Get(t, file[1]).Want(t, 200)
	}
	for _, none := range []string{"/docs/docs.html", "/docs/x.js", "/docs/..%2fdocs.go", "/docs/swagger-ui.LICENSE", "/docs/%00.js", "/docs/.js"} {
		s.Get(t, none).Refused(t, 404, "route_not_found")
	}
	if got := s.As("").Get(t, "/openapi.json").Want(t, 200).Text("openapi"); !strings.HasPrefix(got, "3.1") {
		t.Errorf("the document is of OpenAPI %s", got)
	}
}
