package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestARatioIsTheMedianOfTheRounds(t *testing.T) {
	c := Comparison{Goal: 0.5, Contenders: []Contender{{Rounds: []float64{10, 20, 40}}, {Rounds: []float64{5, 20, 16}}}}
	c = c.finished()
	// The rounds' own ratios are 0.5, 1 and 0.4; that of the medians would be 0.8.
	if c.Ratio != 0.5 || c.Contenders[0].Median != 20 || c.Contenders[1].Median != 16 {
		t.Errorf("ratio %v of medians %v and %v", c.Ratio, c.Contenders[0].Median, c.Contenders[1].Median)
	}
	nothing := Comparison{Contenders: []Contender{{Rounds: []float64{0, 10}}, {Rounds: []float64{5, 20}}}}
	if got := nothing.finished().Ratio; got != 2 {
		t.Errorf("a round in which the floor finished nothing counts: %v", got)
	}
	for name, test := range map[string]struct {
		c    Comparison
		met  bool
		text string
	}{
		"at least, met":    {Comparison{Ratio: 0.5, Goal: 0.5}, true, "≥ 0.5"},
		"at least, missed": {Comparison{Ratio: 0.49, Goal: 0.5}, false, "≥ 0.5"},
		"at most, met":     {Comparison{Ratio: 3, Goal: 3, AtMost: true}, true, "≤ 3"},
		"at most, missed":  {Comparison{Ratio: 3.1, Goal: 3, AtMost: true}, false, "≤ 3"},
		"no goal":          {Comparison{Ratio: 0.1}, true, ""},
	} {
		if test.c.Met() != test.met || test.c.GoalText() != test.text {
			t.Errorf("%s: %v, %q", name, test.c.Met(), test.c.GoalText())
		}
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("the median of four is %v", got)
	}
}

// The figures of an experiment that was not measured again stay, in their order.
func TestFiguresOfOtherExperimentsStay(t *testing.T) {
	directory := t.TempDir()
	compared := func(experiment, name string) Comparison {
		return Comparison{Experiment: experiment, Name: name, Conditions: Conditions{Version: name}}
	}
	for _, run := range []Figures{
		{Comparisons: []Comparison{compared("reads", "old reads"), compared("pairs", "old pairs"), compared("pairs", "older pairs")}},
		{Comparisons: []Comparison{compared("paced", "new paced"), compared("pairs", "new pairs")}},
	} {
		if err := run.save(filepath.Join(directory, figuresFile)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := ReadFigures(filepath.Join(directory, figuresFile))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range kept.Comparisons {
		names = append(names, c.Name)
		if c.Conditions.Version != c.Name {
			t.Errorf("%s is said to be of the run %s", c.Name, c.Conditions.Version)
		}
	}
	if diff := cmp.Diff([]string{"new pairs", "new paced", "old reads"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestExperimentsAreChosenByName(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		want   string
		fails  string
	}{
		"all but the large":  {Config{PostgreSQL: "p"}, "pairs paced reads batches instances log traces rules overload", ""},
		"without PostgreSQL": {Config{}, "pairs reads log traces rules overload", ""},
		"by name":            {Config{Experiments: []string{"size", "pairs"}}, "pairs size", ""},
		"of two servers":     {Config{PostgreSQL: "p", Against: "a"}, "pairs reads", ""},
		"two, by name":       {Config{Against: "a", Experiments: []string{"reads"}}, "reads", ""},
		"not of two servers": {Config{PostgreSQL: "p", Against: "a", Experiments: []string{"paced"}}, "", "paced"},
		"unknown":            {Config{Experiments: []string{"pears"}}, "", "pears"},
		"impossible":         {Config{Experiments: []string{"paced"}}, "", "PostgreSQL"},
	} {
		chosen, err := test.config.experiments()
		var names []string
		for _, e := range chosen {
			names = append(names, e.Name)
		}
		if strings.Join(names, " ") != test.want || (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: %v, %v", name, names, err)
		}
	}
}

// serve answers with a handler, and returns where.
func serve(t *testing.T, handler http.HandlerFunc) []string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return []string{strings.TrimPrefix(server.URL, "http://")}
}

func get(status int) work {
	return func(_ int, c *connection) error {
		_, err := c.expect(status, request{method: http.MethodGet, path: "/"})
		return err
	}
}

// A server that holds one request up makes all that arrive behind it late, though
// they were sent only afterwards.
func TestAnOpenLoopCountsFromTheArrival(t *testing.T) {
	const duration, rate, work = 200 * time.Millisecond, 500, 100
	var requests atomic.Int64
	addresses := serve(t, func(http.ResponseWriter, *http.Request) {
		if requests.Add(1) == 1 {
			<-time.After(duration) // From the request on, however late that is.
		}
	})
	did, err := openLoop(t.Context(), addresses, 1, rate, turn{work: work}, get(http.StatusOK))
	if err != nil || did.done != work || requests.Load() != work {
		t.Fatalf("%d pieces of work for %d requests, %v; want %d", did.done, requests.Load(), err, work)
	}
	// All were answered after the first: half of them had arrived in half the time, but for
	// chance, and waited the other half at least.
	if waited := time.Duration(did.latency.ValueAtQuantile(50)) * time.Microsecond; waited < duration/8 {
		t.Errorf("half of the requests waited no longer than %s", waited)
	}
}

func TestWorkThatIsShedTakesNoTime(t *testing.T) {
	var requests atomic.Int64
	addresses := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	const work = 100
	did, err := openLoop(t.Context(), addresses, 4, 1000, turn{work: work}, get(http.StatusOK))
	if err != nil || requests.Load() != work || did.done+did.shed != requests.Load() || did.shed != requests.Load()/2 {
		t.Errorf("%d done and %d shed of %d, %v", did.done, did.shed, requests.Load(), err)
	}
}

func TestALoopEndsWithTheFirstFailure(t *testing.T) {
	anHour := turn{duration: time.Hour}
	addresses := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "out of order")
	})
	for name, run := range map[string]func() (load, error){
		"closed": func() (load, error) { return closedLoop(t.Context(), addresses, 4, anHour, get(http.StatusOK)) },
		"open":   func() (load, error) { return openLoop(t.Context(), addresses, 4, 1000, anHour, get(http.StatusOK)) },
	} {
		if _, err := run(); err == nil || !strings.Contains(err.Error(), "500 instead of 200: out of order") {
			t.Errorf("the %s loop ends with %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := closedLoop(ctx, addresses, 4, anHour, get(http.StatusOK)); !errors.Is(err, context.Canceled) {
		t.Errorf("a loop without a context goes on, or ends with %v", err)
	}
}

// A turn with so many pieces of work has them, and no more, however many share it.
func TestATurnEndsAfterItsWork(t *testing.T) {
	var requests atomic.Int64
	addresses := serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	const work = 10
	for name, run := range map[string]func() (load, error){
		"closed": func() (load, error) {
			return closedLoop(t.Context(), addresses, 4, turn{work: work}, get(http.StatusOK))
		},
		"open": func() (load, error) {
			return openLoop(t.Context(), addresses, 4, 1000, turn{work: work}, get(http.StatusOK))
		},
	} {
		requests.Store(0)
		if did, err := run(); err != nil || did.done != work || requests.Load() != work {
			t.Errorf("the %s loop did %d pieces of work with %d requests, %v; want %d", name, did.done, requests.Load(), err, work)
		}
	}
	if got := (turn{work: 10}).warmUp(); got.work != 3 {
		t.Errorf("the warm-up of 10 pieces of work has %d", got.work)
	}
	if got := (turn{work: 10}).times(7); got.work != 70 {
		t.Errorf("seven times 10 pieces of work are %d", got.work)
	}
}

// Where nothing was finished, there is no figure, and neither is a goal met nor missed.
func TestNothingFinishedIsUnmeasured(t *testing.T) {
	addresses := serve(t, func(http.ResponseWriter, *http.Request) {})
	over := turn{} // Its time is over before it begins.
	nothing := contender{"idle", nil, func(ctx context.Context, _ turn) (float64, load, error) {
		did, err := closedLoop(ctx, addresses, 1, over, get(http.StatusOK))
		return did.rate(), did, err
	}}
	late := contender{"late", nil, func(ctx context.Context, _ turn) (float64, load, error) {
		return p99(openLoop(ctx, addresses, 1, 1, over, get(http.StatusOK)))
	}}
	busy := inLoop("busy", addresses, 1, nil, get(http.StatusOK))
	for name, test := range map[string]struct {
		goal       Comparison
		contenders []contender
		unmeasured string
		figure     int
	}{
		"a floor, at least":        {Comparison{Goal: 0.5}, []contender{nothing, busy}, "idle", 0},
		"a floor, at most":         {Comparison{Goal: 3, AtMost: true}, []contender{nothing, busy}, "idle", 0},
		"a server, at least":       {Comparison{Goal: 0.5}, []contender{busy, nothing}, "idle", 1},
		"a latency, at most":       {Comparison{Goal: 3, AtMost: true}, []contender{busy, late}, "late", 1},
		"all, and there's no goal": {Comparison{}, []contender{nothing, late}, "idle and late", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			b := &bench{config: Config{Rounds: 2, Work: 5, Out: &out}, progress: newProgress(io.Discard)}
			if err := b.compare(t.Context(), test.goal, test.contenders...); err != nil {
				t.Fatal(err)
			}
			directory := t.TempDir()
			if err := b.figures.save(filepath.Join(directory, figuresFile)); err != nil {
				t.Fatal(err)
			}
			kept, err := ReadFigures(filepath.Join(directory, figuresFile))
			if err != nil {
				t.Fatal(err)
			}
			c := kept.Comparisons[0]
			if c.Met() || c.Measured() || c.Ratio != 0 || strings.Join(c.Unmeasured, " and ") != test.unmeasured {
				t.Errorf("kept is %+v", c)
			}
			if got := c.Contenders[test.figure]; got.Median != 0 || got.Latency != nil || got.CPU != 0 {
				t.Errorf("what finished nothing has the figures %+v", got)
			}
			said := out.String()
			if !strings.Contains(said, "UNMEASURED: "+test.unmeasured+" finished nothing") || strings.Contains(said, "met") || strings.Contains(said, "MISSED") {
				t.Errorf("it says %s", said)
			}
		})
	}
}

// A round without a figure leaves the goal open, though the others have a ratio.
func TestARoundThatMeasuredNothingLeavesTheGoalOpen(t *testing.T) {
	c := Comparison{Goal: 1, Contenders: []Contender{
		{Name: "floor", Rounds: []float64{10, 10, 20}}, {Name: "server", Rounds: []float64{20, 0, 60}},
	}}.finished()
	if c.Met() || c.Measured() || c.Ratio != 2.5 || c.Contenders[1].Median != 40 || strings.Join(c.Unmeasured, "") != "server" {
		t.Errorf("the comparison is %+v", c)
	}
}
