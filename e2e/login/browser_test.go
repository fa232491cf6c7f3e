package login

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// patience bounds each step of a browser, which takes a busy machine long.
const patience = 10 * time.Minute

// browser is a tab of a Chromium, with cookies that no other browser has.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // It is chromedp's handle of the tab.
}

// browser starts a Chromium, in a directory of its own.
func (p place) browser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, end := chromedp.NewExecAllocator(t.Context(), append(options, p.flags...)...)
	t.Cleanup(end)
	return newTab(t, ctx)
}

// tab is another tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

// another is a browser of somebody else, who shares nothing with this one.
func (b *browser) another() *browser {
	b.t.Helper()
	return newTab(b.t, b.ctx, chromedp.WithNewBrowserContext())
}

func newTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *browser {
	t.Helper()
	ctx, end := chromedp.NewContext(parent, options...)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return &browser{t, ctx}
}

// step has a browser do something.
func step[T any](b *browser, what chromedp.Action[T]) T {
	b.t.Helper()
	ctx, done := context.WithTimeout(b.ctx, patience)
	defer done()
	got, err := chromedp.Run(ctx, what)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// page is what a browser has come to.
type page struct {
	url    string
	status int64
	header network.Headers
	text   string
}

// open goes to a URL, as whoever types it does.
func (b *browser) open(url string) page {
	b.t.Helper()
	return b.shown(step(b, chromedp.NavigateResponse(url)))
}

// leads does what makes the browser go to another page, and waits for that.
func (b *browser) leads(steps ...chromedp.Action[chromedp.Void]) page {
	b.t.Helper()
	return b.shown(step(b, func(ctx context.Context, _ *chromedp.Target) (*network.Response, error) {
		return chromedp.RunResponse(ctx, steps...)
	}))
}

// back goes back in the tab's history, as the button does, and waits until the page that was shown
// before at a URL is shown again, be it from memory or loaded anew.
func (b *browser) back(url string) page {
	b.t.Helper()
	history := step(b, chromedp.NavigationEntries())
	entry := history.Entries[history.CurrentIndex-1]
	step(b, func(ctx context.Context, t *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, t, cdppage.NavigateToHistoryEntry, cdppage.NavigateToHistoryEntryParams{EntryID: entry.ID})
	})
	var p page
	programtest.Eventually(b.t, "the browser is back", func() bool {
		p = b.now()
		return p.url == url && p.text != ""
	})
	return p
}

// now is what the tab shows at this moment; nothing while it goes elsewhere.
func (b *browser) now() (p page) {
	ctx, done := context.WithTimeout(b.ctx, patience)
	defer done()
	type shown struct{ URL, Text string }
	s, err := chromedp.Run(ctx, chromedp.Evaluate[shown](`({url: location.href, text: document.body?.innerText ?? ""})`))
	if err != nil {
		return p
	}
	return page{url: s.URL, text: s.Text}
}

// shown is what the tab shows once it is there as a whole, with the answer that brought it.
func (b *browser) shown(response *network.Response) page {
	b.t.Helper()
	p := page{text: step(b, chromedp.Evaluate[string](`new Promise(done =>
		document.readyState === "complete" ? done() : addEventListener("load", done)
	).then(() => document.body?.innerText ?? "")`, chromedp.EvalAwaitPromise))}
	p.url = step(b, chromedp.Location())
	if response != nil {
		p.status, p.header = response.Status, response.Headers
	}
	return p
}

// logIn fills in the provider's form, and goes where that leads.
func (b *browser) logIn(p *provider, name string) page {
	b.t.Helper()
	return b.leads(
		chromedp.SendKeys(chromedp.CSS("[name=name]"), name),
		chromedp.SendKeys(chromedp.CSS("[name=password]"), p.people[name].Password),
		chromedp.Click(chromedp.CSS("button")))
}

// meets has something happen before the first request of the tab for a URL, in which * stands for
// anything, and then sends that request, unless what happens returns false. The channel is closed when
// that is done.
func (b *browser) meets(pattern string, happens func(url string) (goOn bool)) <-chan struct{} {
	b.t.Helper()
	patterns := []*fetch.RequestPattern{{URLPattern: pattern}}
	if _, err := chromedp.Call(b.ctx, fetch.Enable, fetch.EnableParams{Patterns: patterns}); err != nil {
		b.t.Fatal(err)
	}
	paused := chromedp.Events(b.ctx, fetch.RequestPaused)

	done := make(chan struct{})
	go func() {
		defer close(done)
		for event, err := range paused {
			if err != nil {
				return // The test has ended.
			}
			if happens(event.Request.URL) {
				_, err = chromedp.Call(b.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: event.RequestID})
			} else {
				_, err = chromedp.Call(b.ctx, fetch.FailRequest,
					fetch.FailRequestParams{RequestID: event.RequestID, ErrorReason: network.ErrorReasonAborted})
			}
			if err == nil {
				_, err = chromedp.Call(b.ctx, fetch.Disable, cdp.Empty{})
			}
			if err != nil {
				b.t.Error(err)
			}
			return
		}
	}()
	return done
}

// answer is what a script of a page got.
type answer struct {
	Status int    `json:"status"`
	Text   string `json:"text"`
}

// fetch has a script of the page that is shown send a request.
func (b *browser) fetch(method, url, body string, headers fields) answer {
	b.t.Helper()
	options := fields{"method": method, "credentials": "include"}
	if headers != nil {
		options["headers"] = headers
	}
	if method != http.MethodGet {
		options["body"] = body
	}
	return step(b, chromedp.Evaluate[answer](`fetch(`+quote(url)+`, `+text(options)+`)
		.then(async answer => ({status: answer.status, text: await answer.text()}))
		.catch(error => ({status: 0, text: String(error)}))`, chromedp.EvalAwaitPromise))
}

// ours shows a page of the server's own, whose scripts may send requests. Its scripts themselves,
// which take seconds, are left out.
func (b *browser) ours(p place) {
	b.t.Helper()
	block := network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: p.origin + "/docs/*", Block: true}}}
	if _, err := chromedp.Call(b.ctx, network.SetBlockedURLs, block); err != nil {
		b.t.Fatal(err)
	}
	b.open(p.origin + "/docs")
}

// quote is a text as JavaScript has it.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // Every text has one.
	}
	return string(quoted)
}

// cookies are those that the browser keeps, by name and domain.
func (b *browser) cookies() map[string]*network.Cookie {
	b.t.Helper()
	found := make(map[string]*network.Cookie)
	all := step(b, func(ctx context.Context, t *chromedp.Target) (storage.GetCookiesResult, error) {
		id := chromedp.FromContext(ctx).BrowserContextID
		return chromedp.CallBrowser(ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: id})
	})
	for _, cookie := range all.Cookies {
		found[cookie.Domain+" "+cookie.Name] = cookie
	}
	return found
}
