package egress_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback is the one address that the servers of these tests listen on.
const loopback = "127.0.0.1/32"

// place is a server that requests go to, and what it has seen of them.
type place struct {
	*httptest.Server
	port string
	// roots certify the server for 127.0.0.1 and for every name below example.com.
	roots *x509.CertPool
}

// newPlace starts a server with TLS.
func newPlace(t *testing.T, handler http.HandlerFunc) place {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	return startPlace(t, server)
}

func startPlace(t *testing.T, server *httptest.Server) place {
	t.Helper()
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return place{Server: server, port: port, roots: roots}
}

// config allows requests to the place, and to nothing else that is not public.
func (p place) config() egress.Config {
	return egress.Config{AllowedNetworks: networks(loopback), RootCAs: p.roots, Version: "1.2.3"}
}

func networks(texts ...string) (parsed []netip.Prefix) {
	for _, text := range texts {
		parsed = append(parsed, netip.MustParsePrefix(text))
	}
	return parsed
}

// sender is a client with its metrics.
type sender struct {
	*egress.Client
	registry *prometheus.Registry
}

func newSender(t *testing.T, config egress.Config) sender {
	t.Helper()
	registry := prometheus.NewRegistry()
	config.Registry = registry
	client := egress.New(config)
	t.Cleanup(client.CloseIdleConnections)
	return sender{Client: client, registry: registry}
}

// get asks for a URL, and returns the status and the body, as far as it can be read.
func (s sender) get(t *testing.T, address string) (status int, body string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.For(egress.IdentityProvider).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// wantOutcomes compares the outcomes that have been counted, those that are 0 left out.
func (s sender) wantOutcomes(t *testing.T, want map[string]float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}

	got, observed, all := make(map[string]float64), uint64(0), 0.0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			observed += metric.GetHistogram().GetSampleCount()
			for _, label := range metric.GetLabel() {
				switch value := metric.GetCounter().GetValue(); {
				case label.GetName() == "purpose" && label.GetValue() != string(egress.IdentityProvider):
					t.Errorf("a purpose is %q", label.GetValue())
				case label.GetName() == "outcome" && value > 0:
					got[label.GetValue()] = value
					all += value
				}
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("outcomes are %v, not %v", got, want)
	}
	if float64(observed) != all {
		t.Errorf("%d durations of %v requests were observed", observed, all)
	}
}

// wantRefusal checks that an error says that a request was not allowed.
func wantRefusal(t *testing.T, err error) *egress.NotAllowedError {
	t.Helper()
	var refusal *egress.NotAllowedError
	if !errors.As(err, &refusal) || !errors.Is(err, egress.ErrNotAllowed) || refusal.Why == "" {
		t.Fatalf("the error is %v, not a refusal with a reason", err)
	}
	return refusal
}

func TestARequestTellsWhoSendsItAndIsAnswered(t *testing.T) {
	var seen http.Header
	var protocol string
	p := newPlace(t, func(w http.ResponseWriter, r *http.Request) {
		seen, protocol = r.Header.Clone(), r.Proto
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		if r.URL.Path == "/missing" {
			http.Error(w, "not here", http.StatusNotFound)
			return
		}
		io.WriteString(w, "here")
	})
	s := newSender(t, p.config())

	for path, want := range map[string]string{"/": "here", "/again": "here", "/missing": "not here\n"} {
		if _, body, err := s.get(t, p.URL+path); err != nil || body != want {
			t.Errorf("%s is answered %q, %v", path, body, err)
		}
		if agent := seen.Get("User-Agent"); agent != "escrowgrid/1.2.3" {
			t.Errorf("the user agent is %q", agent)
		}
		if protocol != "HTTP/1.1" {
			t.Errorf("the protocol is %s", protocol)
		}
		if seen.Get("Cookie") != "" || seen.Get("Accept-Encoding") != "" {
			t.Errorf("the request has %v", seen)
		}
	}
	s.wantOutcomes(t, map[string]float64{"succeeded": 2, "error_status": 1})
}

func TestARequestIsLeftAsItWas(t *testing.T) {
	p := newPlace(t, func(http.ResponseWriter, *http.Request) {})
	s := newSender(t, p.config())
	address, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}

	for _, header := range []http.Header{nil, {}} {
		request := &http.Request{Method: http.MethodGet, URL: address, Header: header}
		response, err := s.For(egress.IdentityProvider).Transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if len(request.Header) != 0 {
			t.Errorf("the request has now %v", request.Header)
		}
	}
}

// A library can make a URL that no text says: with a target for the request that its host is not asked for.
func TestAnOpaqueURLIsRefused(t *testing.T) {
	asked := false
	p := newPlace(t, func(http.ResponseWriter, *http.Request) { asked = true })
	s := newSender(t, p.config())
	opaque := &url.URL{Scheme: "https", Host: p.Listener.Addr().String(), Opaque: "//elsewhere.example/"}

	_, err := s.For(egress.IdentityProvider).Do(&http.Request{Method: http.MethodGet, URL: opaque})
	wantRefusal(t, err)
	if asked {
		t.Error("the place was asked")
	}
}

func TestAServerThatNobodyKnowsIsNotAsked(t *testing.T) {
	asked := false
	p := newPlace(t, func(http.ResponseWriter, *http.Request) { asked = true })
	config := p.config()
	config.RootCAs = x509.NewCertPool()
	s := newSender(t, config)

	if _, _, err := s.get(t, p.URL); err == nil || asked {
		t.Errorf("the error is %v, asked %v", err, asked)
	}
	s.wantOutcomes(t, map[string]float64{"failed": 1})
}

func TestAServerOfOldTLSIsNotAsked(t *testing.T) {
	asked := false
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	p := startPlace(t, server)

	if _, _, err := newSender(t, p.config()).get(t, p.URL); err == nil || asked {
		t.Errorf("the error is %v, asked %v", err, asked)
	}
}

// The body of a request that is not sent is closed, as its transport has to.
func TestARefusedRequestClosesItsBody(t *testing.T) {
	s := newSender(t, egress.Config{})
	body := &closing{}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://10.0.0.1/", body)
	if err != nil {
		t.Fatal(err)
	}

	_, err = s.For(egress.IdentityProvider).Do(request)
	wantRefusal(t, err)
	if !body.closed {
		t.Error("the body is open")
	}
	s.wantOutcomes(t, map[string]float64{"not_allowed": 1})
}

type closing struct{ closed bool }

func (c *closing) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closing) Close() error             { c.closed = true; return nil }

func TestPlainHTTPIsForAllowedLoopbackAddressesAlone(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") }))
	t.Cleanup(plain.Close)

	allowed := newSender(t, egress.Config{AllowedNetworks: networks(loopback)})
	if _, body, err := allowed.get(t, plain.URL); err != nil || body != "plain" {
		t.Errorf("it is answered %q, %v", body, err)
	}
	_, _, err := newSender(t, egress.Config{}).get(t, plain.URL)
	wantRefusal(t, err)
}
