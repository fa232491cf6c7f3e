package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var requests atomic.Int64
			p := newPlace(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				http.Redirect(w, r, "/elsewhere", status)
			})
			s := newSender(t, p.config())

			_, _, err := s.get(t, p.URL)
			var redirect *egress.RedirectError
			if !errors.As(err, &redirect) || redirect.Status != status || redirect.Location != "/elsewhere" {
				t.Errorf("the error is %v", err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
			s.wantOutcomes(t, map[string]float64{"redirected": 1})
		})
	}
}

func TestStatusesThatNoClientFollowsAreAnswers(t *testing.T) {
	for _, want := range []int{http.StatusMultipleChoices, http.StatusNotModified} {
		p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(want) })
		s := newSender(t, p.config())
		if status, _, err := s.get(t, p.URL); err != nil || status != want {
			t.Errorf("the status is %d, %v", status, err)
		}
	}
}

func TestABodyIsReadUpToItsBound(t *testing.T) {
	const bound = 1000
	for _, c := range []struct {
		name  string
		size  int
		fits  bool
		known bool // The length is in the header.
	}{
		{"empty", 0, true, true},
		{"less", bound - 1, true, true},
		{"just as much", bound, true, true},
		{"just as much, in chunks", bound, true, false},
		{"a byte more", bound + 1, false, true},
		{"a byte more, in chunks", bound + 1, false, false},
		{"much more", 100 * bound, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := strings.Repeat("x", c.size)
			p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) {
				if !c.known {
					w.(http.Flusher).Flush()
				}
				io.WriteString(w, sent)
			})
			config := p.config()
			config.Bounds.Body = bound
			s := newSender(t, config)

			_, body, err := s.get(t, p.URL)
			if c.fits {
				if err != nil || body != sent {
					t.Errorf("%d bytes were read, %v", len(body), err)
				}
				s.wantOutcomes(t, map[string]float64{"succeeded": 1})
				return
			}
			if !errors.Is(err, egress.ErrBodyTooLarge) || body != sent[:bound] {
				t.Errorf("%d bytes were read, %v", len(body), err)
			}
			s.wantOutcomes(t, map[string]float64{"too_large": 1})
		})
	}
}

func TestABodyWithoutEndIsTooLarge(t *testing.T) {
	p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) {
		for chunk := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	s := newSender(t, p.config())

	_, body, err := s.get(t, p.URL)
	if !errors.Is(err, egress.ErrBodyTooLarge) || len(body) != 1<<20 {
		t.Errorf("%d bytes were read, %v", len(body), err)
	}
	s.wantOutcomes(t, map[string]float64{"too_large": 1})
}

// Whoever reads on after the error learns the same, and never that the body has ended.
func TestABodyThatIsTooLargeStaysSo(t *testing.T) {
	p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "12345") })
	config := p.config()
	config.Bounds.Body = 3
	s := newSender(t, config)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.For(egress.IdentityProvider).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	for i, want := range []string{"123", "", ""} {
		if body, err := io.ReadAll(response.Body); !errors.Is(err, egress.ErrBodyTooLarge) || string(body) != want {
			t.Errorf("reading for the %d. time gives %q, %v", i+1, body, err)
		}
	}
	s.wantOutcomes(t, map[string]float64{"too_large": 1})
}

// A bomb is small as it is sent. It stays what it is, and is counted as it is.
func TestNothingIsDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	compressor := gzip.NewWriter(&bomb)
	compressor.Write(make([]byte, 4<<20))
	compressor.Close()
	p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	s := newSender(t, p.config())

	if _, body, err := s.get(t, p.URL); err != nil || body != bomb.String() {
		t.Errorf("%d bytes were read, %v", len(body), err)
	}
}

func TestAHeadThatIsTooLargeFails(t *testing.T) {
	p := newPlace(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-Bomb-%d", i), strings.Repeat("x", 1<<10))
		}
	})
	s := newSender(t, p.config())

	if status, _, err := s.get(t, p.URL); err == nil {
		t.Errorf("it is answered %d", status)
	}
	s.wantOutcomes(t, map[string]float64{"failed": 1})
}

// short is a bound that ends soon, beside others that would end long after the test.
const (
	short = 50 * time.Millisecond
	long  = time.Hour
)

func TestAnAnswerThatDoesNotBeginIsWaitedForNoLongerThanTheBound(t *testing.T) {
	p := newPlace(t, func(_ http.ResponseWriter, r *http.Request) { answerNever(r) })
	config := p.config()
	config.Bounds = egress.Bounds{Headers: short, Exchange: long}
	s := newSender(t, config)

	_, _, err := s.get(t, p.URL)
	if !isTimeout(err) {
		t.Errorf("the error is %v", err)
	}
	s.wantOutcomes(t, map[string]float64{"timed_out": 1})
}

// answerNever waits until the other side is gone. It does not return: an answer could still arrive,
// while the connection is being closed.
func answerNever(r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

func TestAHandshakeThatDoesNotBeginIsWaitedForNoLongerThanTheBound(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	s := newSender(t, egress.Config{
		AllowedNetworks: networks(loopback),
		Bounds:          egress.Bounds{Handshake: short, Headers: long, Exchange: long},
	})

	if _, _, err = s.get(t, "https://"+silent.Addr().String()); !isTimeout(err) {
		t.Errorf("the error is %v", err)
	}
	s.wantOutcomes(t, map[string]float64{"timed_out": 1})
}

// The other side sends a byte now and then: no wait is long, but there is no end to them.
func TestABodyThatDripsEndsWithTheExchange(t *testing.T) {
	p := newPlace(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for pause := time.NewTicker(time.Millisecond); r.Context().Err() == nil; {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-pause.C
		}
	})
	config := p.config()
	config.Bounds = egress.Bounds{Exchange: 20 * short, Headers: long}
	s := newSender(t, config)

	if _, _, err := s.get(t, p.URL); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	s.wantOutcomes(t, map[string]float64{"timed_out": 1})
}

func TestAHeadThatDripsEndsWithTheExchange(t *testing.T) {
	p := newPlace(t, func(w http.ResponseWriter, r *http.Request) {
		for pause := time.NewTicker(time.Millisecond); r.Context().Err() == nil; {
			w.WriteHeader(http.StatusEarlyHints)
			<-pause.C
		}
	})
	config := p.config()
	config.Bounds = egress.Bounds{Exchange: 20 * short, Headers: long}
	s := newSender(t, config)

	if status, _, err := s.get(t, p.URL); err == nil {
		t.Errorf("it is answered %d", status)
	}
}

func TestWhoeverAsksCanStopWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := newPlace(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		answerNever(r)
	})
	s := newSender(t, p.config())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := s.For(egress.IdentityProvider).Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	s.wantOutcomes(t, map[string]float64{"cancelled": 1})
}

// Whoever has read it all may take its time to close it.
func TestAnExchangeEndsWithItsBody(t *testing.T) {
	p := newPlace(t, here)
	s := newSender(t, p.config())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.For(egress.IdentityProvider).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	s.wantOutcomes(t, map[string]float64{})
	if _, err := io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	s.wantOutcomes(t, map[string]float64{"succeeded": 1})
	response.Body.Close()
	s.wantOutcomes(t, map[string]float64{"succeeded": 1})
}

// A body that is closed early ends its exchange well: whoever closes it has seen enough.
func TestABodyThatIsClosedEarlyIsNotReadToItsEnd(t *testing.T) {
	gone := make(chan struct{})
	p := newPlace(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	s := newSender(t, p.config())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.For(egress.IdentityProvider).Do(request)
	if err != nil {
		t.Fatal(err)
	}

	response.Body.Close()
	response.Body.Close()
	<-gone
	s.wantOutcomes(t, map[string]float64{"succeeded": 1})
}
