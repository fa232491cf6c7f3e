package apiclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// answering returns a client of a server with one answer.
func answering(t *testing.T, answer func(w http.ResponseWriter)) Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	t.Cleanup(server.Close)
	return New(server.URL)
}

// A server that means harm cannot keep a client busy for ever.
func TestListsEnd(t *testing.T) {
	page := func(items int, cursor string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			list := strings.TrimSuffix(strings.Repeat("1,", items), ",")
			fmt.Fprintf(w, `{"data":[%s],"pagination":{"nextCursor":"%s"}}`, list, cursor)
		}
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		most   int64
		want   error
	}{
		"an empty page that goes on":    {page(0, "x"), math.MaxInt64, ErrEndless},
		"a page that goes on for ever":  {page(10, "x"), 1000, ErrEndless},
		"more items than are asked for": {page(pageSize+1, ""), math.MaxInt64, ErrEndless},
		"more items than there can be":  {page(11, ""), 10, ErrEndless},
		"as many as there can be":       {page(10, ""), 10, nil},
		"none":                          {page(0, ""), 0, nil},
	} {
		listed := int64(0)
		err := List(t.Context(), answering(t, test.answer), "k", "/list", url.Values{}, test.most, func(json.RawMessage) error {
			listed++
			return nil
		})
		if !errors.Is(err, test.want) || listed > test.most {
			t.Errorf("%s: %d items and %v, want %v", name, listed, err, test.want)
		}
	}
}

// zeros is an answer without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAnswersEnd(t *testing.T) {
	client := answering(t, func(w http.ResponseWriter) { _, _ = io.Copy(w, zeros{}) })
	err := client.Call(t.Context(), "k", http.MethodGet, "/", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("an answer without an end is %v", err)
	}
}

// A list whose pages are all as they should be can still be more than the disk has room for.
func TestAServerCannotSendMoreThanItsBudget(t *testing.T) {
	client := answering(t, func(w http.ResponseWriter) {
		fmt.Fprint(w, `{"data":[`+strings.Repeat(`"x",`, 200)+`"x"],"pagination":{"nextCursor":"on"}}`)
	})
	client.Budget = NewBudget(10_000)
	items := 0
	err := List(t.Context(), client, "k", "/", url.Values{}, math.MaxInt64, func(string) error {
		items++
		if items > 10_000 {
			return io.EOF
		}
		return nil
	})
	if !errors.Is(err, ErrTooMuch) || items == 0 {
		t.Errorf("after %d items it is %v", items, err)
	}
}

func TestErrorsDoNotActOnATerminal(t *testing.T) {
	client := answering(t, func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"c","detail":"gone\u001b[2J\nNothing differs."}`)
	})
	err := client.Call(t.Context(), "k", http.MethodGet, "/", nil, nil)
	if want := `GET /: 404 c: gone\x1b[2J\nNothing differs.`; err == nil || err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

// A server that points elsewhere is not given the key's way there, and the key is not sent where
// anybody on the way can read it.
func TestKeysAreSentNowhereElse(t *testing.T) {
	asked := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := answering(t, func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
		})
		for _, client := range []Client{client, {URL: client.URL, HTTP: new(http.Client)}} {
			err := client.Call(t.Context(), "k", http.MethodGet, "/", nil, nil)
			if err == nil || !strings.Contains(err.Error(), `the server points to "`+elsewhere.URL) {
				t.Errorf("with %d it says %v", status, err)
			}
		}
	}
	if asked != 0 {
		t.Errorf("the other server was asked %d times", asked)
	}

	for address, safe := range map[string]bool{
		"https://escrow.example.com": true, "http://127.0.0.1:4000": true, "http://localhost": true, "http://[::1]:1": true,
		"http://[::ffff:127.0.0.1]:1": true, "http://escrow.example.com": false, "http://127.0.0.1.example.com": false,
		"http://localhost.example.com": false, "http://user@10.0.0.1": false, "http://127.0.0.1@example.com": false, "http://0.0.0.0:1": false,
	} {
		if IsSafe(address) != safe {
			t.Errorf("%s is safe: %t", address, !safe)
		}
	}
	if err := New("http://escrow.invalid").Call(t.Context(), "k", http.MethodGet, "/", nil, nil); !errors.Is(err, ErrInsecureHTTP) {
		t.Errorf("a key is sent to another machine without TLS: %v", err)
	}
}
