package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// hold keeps a table of a database to itself until the function that it returns is
// called.
func hold(t *testing.T, databaseURL, table string) (release func()) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.WithoutCancel(t.Context())) })
	if _, err := connection.Exec(t.Context(), "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := connection.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARequestHasItsTime(t *testing.T) {
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	patient := serve(t, databaseURL, func(c *settings) { c.mayFail = true })
	b := patient.bank(t)
	s := serve(t, databaseURL, func(c *settings) { c.mayFail, c.RequestTimeout = true, 500*time.Millisecond })
	b.Admin = s.As(b.Admin.Key)
	t.Run("a query", func(t *testing.T) {
		release := hold(t, databaseURL, "positions")
		b.Admin.Send(t, apitest.Request{Method: http.MethodGet, Path: "/positions", Unreliable: true}).Refused(t, 503, "store_unavailable")
		release()
		eventually(t, "the list is answered", func() bool {
			return b.Admin.Send(t, apitest.Request{Method: http.MethodGet, Path: "/positions", Unreliable: true}).Status == 200
		})
	})
	t.Run("a command, which is done once however often it is sent", func(t *testing.T) {
		release := hold(t, databaseURL, "journal_heads")
		r := apitest.Request{
			Method: http.MethodPost, Path: "/positions", Body: b.claim().with("externalReference", "late").String(),
			Headers: []string{"Idempotency-Key: late"}, Unreliable: true,
		}
		// The first that is begun in its time is the last that is: the next waits behind it.
		eventually(t, "the command is begun", func() bool {
			answer := b.Admin.Send(t, r)
			if answer.Text("code") != "outcome_unknown" {
				answer.Refused(t, 503, "request_timeout")
				return false
			}
			answer.Refused(t, 503, "outcome_unknown")
			return true
		})
		b.Admin.Send(t, r).Refused(t, 503, "request_timeout")
		release()
		eventually(t, "the command is answered", func() bool { return b.Admin.Send(t, r).Status == 201 })
		if made := len(patient.Walk(t, "/positions?externalReference=late&institutionId="+b.ID, "id")); made != 1 {
			t.Errorf("%d positions were made", made)
		}
	})
}

// A client that goes away is no failure of the server.
func TestAClientThatGoesAway(t *testing.T) {
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	s := serve(t, databaseURL, nil)
	b := s.bank(t)
	release := hold(t, databaseURL, "positions")
	ctx, goAway := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := b.Admin.Try(ctx, apitest.Request{Method: http.MethodGet, Path: "/positions", Headers: []string{"X-Request-Id: impatient"}})
		gone <- err
	}()
	eventually(t, "the request is under way", func() bool {
		return strings.Contains(string(s.Get(t, "/metrics").Body), "escrowgrid_http_requests_in_flight 2\n")
	})
	goAway()
	if err := <-gone; err == nil {
		t.Fatal("the request was answered")
	}
	eventually(t, "the end of the request is logged", func() bool { return strings.Contains(s.logs.String(), `"request_id":"impatient"`) })
	for line := range strings.Lines(s.logs.String()) {
		if strings.Contains(line, "impatient") && !(strings.Contains(line, `"status":499`) && strings.Contains(line, `"level":"INFO"`)) {
			t.Errorf("it is logged as %s", line)
		}
	}
	release()
}

// What a server with a full queue would refuse in any case, it does not even read;
// and it fills no log with it.
func TestAFullQueueRefusesBeforeItReads(t *testing.T) {
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	s := serve(t, databaseURL, nil)
	b := s.bank(t)
	release := hold(t, databaseURL, "journal_heads")
	var sent sync.WaitGroup
	send := func(items int) {
		body := `{"items":[` + strings.Repeat(b.claim().String()+",", items-1) + b.claim().String() + "]}"
		sent.Go(func() {
			answer := b.Admin.Send(t, apitest.Request{Method: http.MethodPost, Path: "/positions/batch", Body: body, Unreliable: true})
			if answer.Status != http.StatusOK && answer.Status != http.StatusServiceUnavailable {
				t.Errorf("a batch was answered with %d", answer.Status)
			}
		})
	}
	wait := func(commands string) {
		eventually(t, commands+" commands wait", func() bool {
			return strings.Contains(string(s.As(metricsKey).Get(t, "/metrics").Body), "\nescrowgrid_queue_commands "+commands+"\n")
		})
	}
	// One batch is under way, and four have room behind it.
	for range 6 {
		send(1000)
	}
	wait("4000")
	send(96)
	wait("4096")

	malformed := apitest.Request{Method: http.MethodPost, Path: "/positions", Body: "{", Unreliable: true}
	b.Admin.Send(t, malformed).Refused(t, 503, "overloaded")
	release()
	sent.Wait()
	b.Admin.Send(t, malformed).Refused(t, 400, "malformed_body")
}
