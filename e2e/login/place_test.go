package login

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// place is where browsers reach a server, and pages of others.
type place struct {
	// origin is the server's own. It listens on address.
	origin, address string
	// isSecure says that browsers come by https, through a proxy.
	isSecure bool
	// neighbour is another origin of the same site, which cookies with SameSite are sent from;
	// stranger is one of another site. Both show what others have made.
	neighbour, stranger string
	others              *others
	// flags have Chromium find these origins.
	flags []chromedp.ExecAllocatorOption
}

// others are pages that are not of the server. All origins but the server's show the same ones.
type others struct {
	mu    sync.Mutex
	pages map[string]foreignPage
}

// foreignPage is a page of somebody else, with the cookies that it has the browser keep.
type foreignPage struct {
	html    string
	cookies []string
}

// show has the others show a page at a path.
func (o *others) show(path string, p foreignPage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[path] = p
}

// ServeHTTP answers a page.
func (o *others) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	page := o.pages[r.URL.Path]
	o.mu.Unlock()

	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for _, cookie := range page.cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	_, _ = io.WriteString(w, "<!DOCTYPE html><title>others</title>"+page.html) // The browser may have gone.
}

// onThisMachine is a place that browsers of the same machine alone reach, by plain HTTP.
func onThisMachine(t *testing.T) place {
	t.Helper()
	address := programtest.FreeAddress(t)
	pages := &others{pages: make(map[string]foreignPage)}
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	return place{
		origin: "http://localhost:" + port(address), address: address,
		neighbour: "http://localhost:" + port(server.Listener.Addr().String()), stranger: server.URL, others: pages,
	}
}

// behindProxy is a place that a proxy with TLS is in front of.
func behindProxy(t *testing.T) place {
	t.Helper()
	address := programtest.FreeAddress(t)
	pages := &others{pages: make(map[string]foreignPage)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "escrow.bank.test" {
			proxy.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)

	key := sha256.Sum256(server.Certificate().RawSubjectPublicKeyInfo)
	return place{
		origin: "https://escrow.bank.test", address: address, isSecure: true,
		neighbour: "https://intranet.bank.test", stranger: "https://evil.test", others: pages,
		flags: []chromedp.ExecAllocatorOption{
			chromedp.Flag("host-resolver-rules", "MAP *.test "+server.Listener.Addr().String()),
			chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
		},
	}
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
