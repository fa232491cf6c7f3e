package egress_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

// proxy is a forward proxy. It connects to one server, whatever name it is asked for.
type proxy struct {
	*httptest.Server
	mutex sync.Mutex
	// requests are those that it was sent, each as method and target.
	requests []string
	agents   []string
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{}
	var tunnels sync.WaitGroup // of requests that are taken over, for which a server does not wait
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mutex.Lock()
		p.requests = append(p.requests, r.Method+" "+r.RequestURI)
		p.agents = append(p.agents, r.UserAgent())
		tunnels.Add(1)
		p.mutex.Unlock()
		defer tunnels.Done()

		outer, err := new(net.Dialer).DialContext(r.Context(), "tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		inner, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(inner, "HTTP/1.1 200 OK\r\n\r\n")
		var ways sync.WaitGroup
		for from, to := range map[net.Conn]net.Conn{inner: outer, outer: inner} {
			ways.Go(func() { io.Copy(to, from); to.Close() })
		}
		ways.Wait()
	}))
	t.Cleanup(func() {
		p.Close()
		p.mutex.Lock()
		defer p.mutex.Unlock()
		tunnels.Wait()
	})
	return p
}

// seen are the requests that the proxy was sent.
func (p *proxy) seen() []string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return slices.Clone(p.requests)
}

// use names the proxy for every request.
func (p *proxy) use(*http.Request) (*url.URL, error) { return url.Parse(p.URL) }

// The proxy is on a loopback address, which nothing else may be: it is the operator's word.
func TestAProxyResolvesAndConnects(t *testing.T) {
	place := newPlace(t, here)
	proxy := newProxy(t, place.Listener.Addr().String())
	names := newNameServer(t, func(int) []netip.Addr { return addresses("10.0.0.1") })
	s := newSender(t, egress.Config{RootCAs: place.roots, Proxy: proxy.use, Resolver: names.resolver(), Version: "1.2.3"})

	if _, body, err := s.get(t, "https://far.example.com/path"); err != nil || body != "here" {
		t.Fatalf("it is answered %q, %v", body, err)
	}
	if seen := proxy.seen(); !slices.Equal(seen, []string{"CONNECT far.example.com:443"}) || proxy.agents[0] != "escrowgrid/1.2.3" {
		t.Errorf("the proxy has seen %q of %q", seen, proxy.agents)
	}
	if asked := names.questions(); asked != 0 {
		t.Errorf("the name was resolved here %d times", asked)
	}
	s.wantOutcomes(t, map[string]float64{"succeeded": 1})
}

func TestAProxyIsNotAskedForWhatTheURLShowsToBeInside(t *testing.T) {
	proxy := newProxy(t, "")
	s := newSender(t, egress.Config{Proxy: proxy.use})

	for _, address := range []string{
		"https://10.0.0.1/", "https://[::ffff:169.254.169.254]/", "https://localhost/", "https://0x7f.1/",
		"http://far.example.com/", "https://user@far.example.com/",
	} {
		_, _, err := s.get(t, address)
		wantRefusal(t, err)
	}
	if seen := proxy.seen(); len(seen) != 0 {
		t.Errorf("the proxy has seen %q", seen)
	}
}

func TestPlainHTTPStaysOnThisMachine(t *testing.T) {
	proxy := newProxy(t, "")
	plain := httptest.NewServer(http.HandlerFunc(here))
	t.Cleanup(plain.Close)
	s := newSender(t, egress.Config{AllowedNetworks: networks(loopback), Proxy: proxy.use})

	if _, body, err := s.get(t, plain.URL); err != nil || body != "here" {
		t.Errorf("it is answered %q, %v", body, err)
	}
	if seen := proxy.seen(); len(seen) != 0 {
		t.Errorf("the proxy has seen %q", seen)
	}
}

// NO_PROXY is how an operator says it. What goes past the proxy is checked as if there were none.
func TestWhatHasNoProxyIsChecked(t *testing.T) {
	p := newPlace(t, here)
	none := http.ProxyURL(nil)
	resolver := newNameServer(t, func(int) []netip.Addr { return addresses("127.0.0.1") }).resolver()
	address := "https://near.example.com:" + p.port

	_, _, err := newSender(t, egress.Config{RootCAs: p.roots, Proxy: none, Resolver: resolver}).get(t, address)
	wantRefusal(t, err)

	config := p.config()
	config.Proxy, config.Resolver = none, resolver
	if _, body, err := newSender(t, config).get(t, address); err != nil || body != "here" {
		t.Errorf("it is answered %q, %v", body, err)
	}
}

func TestNothingIsSentWhereTheProxyCannotBeTold(t *testing.T) {
	asked := false
	p := newPlace(t, func(http.ResponseWriter, *http.Request) { asked = true })
	config := p.config()
	wrong := errors.New("no URL")
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, wrong }
	s := newSender(t, config)

	if _, _, err := s.get(t, p.URL); !errors.Is(err, wrong) || asked {
		t.Errorf("the error is %v, asked %v", err, asked)
	}
	s.wantOutcomes(t, map[string]float64{"failed": 1})
}
