package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Cleanup is what was done with the institutions that a run made on a target, so that nothing is
// held there and nothing is left to work with.
type Cleanup struct {
	// Cancelled counts the positions that were open, and Erased those whose data were erased.
	Cancelled int `json:"cancelled"`
	Erased    int `json:"erased"`
	// Closed counts institutions, and Revoked keys.
	Closed  int `json:"closed"`
	Revoked int `json:"revoked"`
	// Retained is why the target keeps data; "" where it keeps none.
	Retained string `json:"retained,omitempty"`
	// Left says why the institutions were left as they are but for their keys; "" where they
	// were not.
	Left string `json:"left,omitempty"`
}

// String says what was done.
func (c *Cleanup) String() string {
	text := fmt.Sprintf("%s cancelled, the data of %s erased, %s closed, %s revoked",
		plural(c.Cancelled, "position"), grouped(c.Erased), plural(c.Closed, "institution"), plural(c.Revoked, "key"))
	if c.Left != "" {
		return "left as it is: " + c.Left
	}
	if c.Retained != "" {
		text += "; the target retains data: " + strings.TrimSuffix(c.Retained, ".")
	}
	return text
}

// cleaner cleans up after a run.
type cleaner struct {
	server   *testbed.Server
	progress io.Writer

	mu sync.Mutex
	Cleanup
	toldAt time.Time
}

// cleanUp ends what a run has left open in the institutions that it made on a target, closes them,
// erases their data and revokes their keys. Where the results are not what they should be, or are
// not known, all but the keys is left for whoever looks into it. What was done is in the result
// also where it fails.
func (t *test) cleanUp(ctx context.Context, r k6Run, found Correctness) (*Cleanup, error) {
	c := &cleaner{server: r.server, progress: t.config.Progress, toldAt: time.Now()}
	switch {
	case found.DifferenceCount > 0:
		c.Left = "its entries differ from what was acknowledged"
	case found.Journals == 0:
		c.Left = "its results could not be read back"
	}
	if c.Left == "" {
		fmt.Fprintln(c.progress, "cleaning up: ending, closing and erasing what the test made on the target")
		for _, tenant := range r.tenants {
			if err := c.clean(ctx, tenant); err != nil {
				if cause := context.Cause(ctx); cause != nil {
					err = errors.New(problemOf(cause))
				}
				return &c.Cleanup, fmt.Errorf("the institution %s is not cleaned up: %w", tenant.InstitutionID, err)
			}
		}
	}
	return &c.Cleanup, nil
}

// clean ends the work of an institution. Closed, it still takes what is left to do.
func (c *cleaner) clean(ctx context.Context, tenant testbed.Tenant) error {
	if err := c.withdrawPending(ctx, tenant); err != nil {
		return err
	}
	if err := c.cancelOpen(ctx, tenant); err != nil {
		return err
	}
	path := "/institutions/" + tenant.InstitutionID + "/close"
	if err := c.server.Call(ctx, c.server.RootKey, http.MethodPost, path, nil, nil); err != nil {
		return err
	}
	c.Closed++
	return c.erase(ctx, tenant)
}

// withdrawPending withdraws what the load has asked for and nobody has approved: a position that
// waits to be released cannot be cancelled. Without a checker, nothing was to wait.
func (c *cleaner) withdrawPending(ctx context.Context, tenant testbed.Tenant) error {
	if tenant.CheckerID == "" {
		return nil
	}
	return apiclient.List(ctx, c.server.Client, tenant.APIKey, "/approvals", url.Values{"status": {"PENDING"}}, math.MaxInt64,
		func(approval struct{ ID string }) error {
			path := "/approvals/" + approval.ID + "/withdraw"
			return c.server.Call(ctx, tenant.APIKey, http.MethodPost, path, nil, nil)
		})
}

// cancelledAtOnce is how many positions one request cancels: few enough for networks that cut
// connections after some kilobytes, and to erase them takes longer in any case.
const cancelledAtOnce = 40

// cancelOpen cancels the positions that are open, a batch at a time, until there are none.
func (c *cleaner) cancelOpen(ctx context.Context, tenant testbed.Tenant) error {
	type item struct {
		PositionID string       `json:"positionId"`
		ToState    escrow.State `json:"toState"`
	}
	states := make([]string, len(escrow.OpenStates()))
	for i, state := range escrow.OpenStates() {
		states[i] = string(state)
	}
	query := url.Values{"state": {strings.Join(states, ",")}, "limit": {fmt.Sprint(cancelledAtOnce)}}

	for {
		var open struct{ Data []struct{ ID string } }
		if err := c.server.Call(ctx, tenant.APIKey, http.MethodGet, "/positions?"+query.Encode(), nil, &open); err != nil {
			return err
		}
		if len(open.Data) == 0 {
			return nil
		}
		items := make([]item, len(open.Data))
		for i, p := range open.Data {
			items[i] = item{PositionID: p.ID, ToState: escrow.StateCancelled}
		}

		var done struct {
			Results []struct {
				Error *struct{ Code, Detail string }
			}
		}
		err := c.server.Call(ctx, tenant.APIKey, http.MethodPost, "/positions/transitions/batch",
			map[string]any{"items": items}, &done)
		if err != nil {
			return err
		}
		// Some may have expired in the meantime. Where none could be cancelled, none ever will.
		refused := 0
		for _, result := range done.Results {
			if result.Error == nil {
				c.count(&c.Cancelled)
				continue
			}
			refused++
			if refused == len(items) {
				return fmt.Errorf("a position cannot be cancelled: %s: %s", result.Error.Code, result.Error.Detail)
			}
		}
	}
}

// erasers is how many positions are erased at the same time: their transactions become groups.
const erasers = 64

// errRetained ends an erasure where the target keeps data.
var errRetained = errors.New("the target keeps data")

// erase erases the data of all positions. Where the target keeps data for a time, it keeps those
// of a test as well.
func (c *cleaner) erase(ctx context.Context, tenant testbed.Tenant) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(erasers)
	type position struct {
		ID     string
		Erased bool
	}
	listed := apiclient.List(ctx, c.server.Client, tenant.APIKey, "/positions", url.Values{}, math.MaxInt64,
		func(p position) error {
			if !p.Erased {
				work.Go(func() error { return c.eraseOne(ctx, tenant, p.ID) })
			}
			return ctx.Err()
		})

	err := work.Wait()
	if err == nil {
		err = listed
	}
	if errors.Is(err, errRetained) {
		return nil
	}
	return err
}

func (c *cleaner) eraseOne(ctx context.Context, tenant testbed.Tenant, position string) error {
	path := "/positions/" + position + "/erase"
	err := c.server.Call(ctx, tenant.APIKey, http.MethodPost, path, struct{}{}, nil)
	if refusal, ok := errors.AsType[*apiclient.Error](err); ok && refusal.Code == string(escrow.CodeRetentionPeriod) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Retained = refusal.Detail
		return errRetained
	}
	if err == nil {
		c.count(&c.Erased)
	}
	return err
}

// count adds one, and tells how far it is every few seconds.
func (c *cleaner) count(what *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*what++
	if time.Since(c.toldAt) >= progressInterval {
		c.toldAt = time.Now()
		fmt.Fprintf(c.progress, "cleaning up: %s cancelled, %s erased\n", grouped(c.Cancelled), grouped(c.Erased))
	}
}
