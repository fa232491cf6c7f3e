package bench

import (
	"context"
	"errors"
	"fmt"
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
		if err := run.save(directory); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := ReadFigures(filepath.Join(directory, file))
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
		"all but the large":  {Config{PostgreSQL: "p"}, "pairs paced reads batches instances log traces overload", ""},
		"without PostgreSQL": {Config{}, "pairs reads log traces overload", ""},
		"by name":            {Config{Experiments: []string{"size", "pairs"}}, "pairs size", ""},
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
	const duration, rate = 200 * time.Millisecond, 500
	var requests atomic.Int64
	released := make(chan struct{})
	addresses := serve(t, func(http.ResponseWriter, *http.Request) {
		if requests.Add(1) == 1 {
			<-released
		}
	})
	timer := time.AfterFunc(duration, func() { close(released) })
	defer timer.Stop()
	did, err := openLoop(t.Context(), addresses, 1, rate, duration, get(http.StatusOK))
	if err != nil || did.done != requests.Load() || did.done < 20 {
		t.Fatalf("%d pieces of work for %d requests, %v", did.done, requests.Load(), err)
	}
	// All were answered after the last had arrived: half of them waited half the time,
	// but for chance.
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
	did, err := openLoop(t.Context(), addresses, 4, 1000, 100*time.Millisecond, get(http.StatusOK))
	if err != nil || did.done+did.shed != requests.Load() || did.shed != requests.Load()/2 {
		t.Errorf("%d done and %d shed of %d, %v", did.done, did.shed, requests.Load(), err)
	}
}

func TestALoopEndsWithTheFirstFailure(t *testing.T) {
	addresses := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "out of order")
	})
	for name, run := range map[string]func() (load, error){
		"closed": func() (load, error) { return closedLoop(t.Context(), addresses, 4, time.Hour, get(http.StatusOK)) },
		"open":   func() (load, error) { return openLoop(t.Context(), addresses, 4, 1000, time.Hour, get(http.StatusOK)) },
	} {
		if _, err := run(); err == nil || !strings.Contains(err.Error(), "500 instead of 200: out of order") {
			t.Errorf("the %s loop ends with %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := closedLoop(ctx, addresses, 4, time.Hour, get(http.StatusOK)); !errors.Is(err, context.Canceled) {
		t.Errorf("a loop without a context goes on, or ends with %v", err)
	}
}
