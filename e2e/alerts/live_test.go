package alerts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// breakage is a way in which an installation breaks.
type breakage struct {
	name string
	// told are the alerts that tell of it, by whom they are told, like "page EscrowGridAllDown".
	told []string
	// later are told once the pages that stand for them have ended. They last: they look at
	// six hours, which are six minutes here.
	later []string
	// with are alerts that the same cause may raise.
	with []string
	// breaks is called again and again until all of told have arrived, mends once then.
	breaks, mends func(*testing.T)
}

// once makes a breakage of what breaks for long at once.
func once(breaks func(*testing.T)) func(*testing.T) {
	done := false
	return func(t *testing.T) {
		if !done {
			done = true
			breaks(t)
		}
	}
}

// busyMachine are alerts that tests raise which run beside this one, on a machine that has no time
// for these servers: an instance then answers Prometheus too late, and clients, too.
var busyMachine = []string{
	"EscrowGridInstanceDown", "EscrowGridLatencyP95BurnsFast", "EscrowGridLatencyP99BurnsFast",
}

// lasts tells whether an alert is one of those that last.
func lasts(alert string) bool { return strings.HasSuffix(alert, "BurnsSlowly") }

// run breaks an installation, and sees that whom it concerns is told, of nothing else, and
// that it ended.
func (i *installation) run(t *testing.T, b breakage) {
	t.Run(b.name, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("firing is %q, told was %q", i.alerts(t), i.receiver.all())
			}
		}()
		// An alert that an earlier breakage has left, or a busy machine, would not be told of again.
		programtest.Eventually(t, fmt.Sprintf("%q have ended", b.later), func() bool {
			return !slices.ContainsFunc(i.alerts(t), func(alert string) bool { return slices.Contains(b.later, "ticket "+alert) })
		})
		i.receiver.clear()
		mend := sync.OnceFunc(func() {
			if b.mends != nil {
				b.mends(t)
			}
		})
		defer mend() // What comes next is not to fail of this.
		programtest.Eventually(t, fmt.Sprintf("%q are told", b.told), func() bool {
			if b.breaks != nil {
				b.breaks(t)
			}
			return i.receiver.has("firing", b.told)
		})
		mend()
		programtest.Eventually(t, fmt.Sprintf("the end of %q is told", b.told), func() bool { return i.receiver.has("resolved", b.told) })
		programtest.Eventually(t, fmt.Sprintf("%q are told", b.later), func() bool { return i.receiver.has("firing", b.later) })
		programtest.Eventually(t, "nothing is firing any more", func() bool {
			return !slices.ContainsFunc(i.alerts(t), func(alert string) bool { return !lasts(alert) })
		})
		for _, what := range i.receiver.all() {
			severity, status, alert := strings.Fields(what)[0], strings.Fields(what)[1], strings.Fields(what)[2]
			expected := slices.Contains(b.told, severity+" "+alert) || slices.Contains(slices.Concat(b.with, busyMachine), alert)
			if status == "firing" && !expected && !lasts(alert) {
				t.Errorf("%s was told of as well", alert)
			}
		}
	})
}

// refuse makes PostgreSQL refuse rows of a table, as another's trigger or a broken index
// may; accept ends that.
func refuse(table, operation string) string {
	return fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by the test'; END $$;
		CREATE TRIGGER refuse BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION refuse()`, operation, table)
}

func accept(table string) string {
	return fmt.Sprintf("DROP TRIGGER refuse ON %s; DROP FUNCTION refuse", table)
}

// answersRunbooks sees that Prometheus has something for each query of the runbooks that is
// chosen, and that there are any.
func (i *installation) answersRunbooks(t *testing.T, chosen func(query string) bool) {
	t.Run("the runbooks' queries", func(t *testing.T) {
		_, runbooks, _ := strings.Cut(read(t, "../../docs/operations.md"), "\n## Alerts\n")
		asked := false
		for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(runbooks, -1) {
			query := strings.Trim(code, "`")
			if isQuery := regexp.MustCompile(`^(sum|histogram_quantile|max|rate)\b|^(escrowgrid|go|process)_\w+$`).MatchString(query); !isQuery || !chosen(query) {
				continue
			}
			asked = true
			// A histogram is named without what its series end in. On a busy machine a server may just
			// have answered too late.
			programtest.Eventually(t, "Prometheus has something for "+query, func() bool {
				return i.value(t, query) != "" || i.value(t, query+"_count") != ""
			})
		}
		if !asked {
			t.Error("there are no queries")
		}
	})
}

// bank is an institution that an installation has.
type bank struct {
	// admin is the key of an admin, home is the path of the institution, keys is where its keys are made.
	admin, home, keys string
	template, asset   string
}

// assetNamed is the body of a request for an asset.
func (b bank) assetNamed(label string) string {
	return fmt.Sprintf(`{"templateId": %q, "label": %q}`, b.template, label)
}

// newBank makes an institution. The root key comes from here for the first time: that is told.
func (i *installation) newBank(t *testing.T) bank {
	institution := i.post(t, "", "/institutions", `{"name": "Meridian Bank", "regions": ["US"]}`)["id"].(string)
	home := "/institutions/" + institution
	i.run(t, breakage{name: "the root key is used", told: []string{"ticket EscrowGridRootKeyNewAddress"}})

	b := bank{home: home, keys: home + "/api-keys"}
	b.admin = i.post(t, "", b.keys, `{"label": "bank", "role": "admin"}`)["apiKey"].(string)
	b.template = i.post(t, b.admin, "/asset-templates", `{"code": "CONSTR_ESCROW", "name": "Escrow", "vertical": "CONSTRUCTION",
		"region": "US", "config": {"currency": "USD"}}`)["id"].(string)
	b.asset = i.post(t, b.admin, "/assets", b.assetNamed("Harbour Tower"))["id"].(string)
	return b
}

// ruleRoles has a bank set its own roles with the approval of somebody else, for which it has an hour.
func (i *installation) ruleRoles(t *testing.T, b bank) {
	i.post(t, "", b.keys, `{"label": "checks", "role": "approver"}`)
	rules := `{"rules": [{"id": "roles", "on": ["roles.manage"], "require": [{"role": "approver", "count": 1}], "expiresIn": "1h"}]}`
	status, answer := i.send(t, call{key: b.admin, method: http.MethodPut, path: b.home + "/approval-rules", body: rules})
	if status != http.StatusOK {
		t.Fatalf("the rules are set with %d %v", status, answer)
	}
}

// What a database and servers do that are slow, or are not there, is told to whom it concerns,
// and that it ended. What requests suffer is looked at for six hours, which are six minutes
// here: so this has an installation of its own, and other requests have another.
func TestAlertsOfRequestsArrive(t *testing.T) { //nolint:tparallel // One installation is broken in one way after the other.
	t.Parallel()
	database := pgtest.Start(t)
	// One institution's queue has room for 16 commands.
	i := newInstallation(t, database.NewDatabase(t), 2, "QUEUE_SIZE=64", "GROUP_SIZE=1", "DATABASE_CONNECTIONS=64")
	meridian := i.newBank(t)
	var stop sync.Once

	for _, b := range []breakage{
		{
			name: "the database is slow",
			told: []string{
				"page EscrowGridQueueSaturated", "ticket EscrowGridConnectionsSaturated", "page EscrowGridLatencyP95BurnsFast", "page EscrowGridLatencyP99BurnsFast",
			},
			later: []string{"ticket EscrowGridLatencyP95BurnsSlowly", "ticket EscrowGridLatencyP99BurnsSlowly"},
			// What waits for longer than a request may take is answered as an error.
			with: []string{"EscrowGridErrorBudgetBurnsFast"},
			breaks: func(t *testing.T) {
				var seen atomic.Bool
				var requests sync.WaitGroup
				defer requests.Wait()
				defer i.lock(t, "idempotency_records, security_events")()
				defer seen.Store(true)
				begun := time.Now()
				// Each has its time, which may be over before a busy machine's Prometheus has looked.
				again := func(send func()) {
					requests.Go(func() {
						for !seen.Load() {
							send()
						}
					})
				}
				for range 17 { // One is under way, and the others fill the queue.
					again(func() {
						i.send(t, call{key: meridian.admin, method: http.MethodPost, path: "/assets", body: meridian.assetNamed("late"), idempotencyKey: "late-" + rand.Text()})
					})
				}
				for range 58 { // These take nearly all connections.
					again(func() { i.send(t, call{path: "/audit-events?outcome=refused"}) })
				}
				programtest.Eventually(t, "the server is saturated, and requests are late", func() bool {
					firing := i.alerts(t)
					return slices.Contains(firing, "EscrowGridQueueSaturated") && slices.Contains(firing, "EscrowGridConnectionsSaturated") && time.Since(begun) > 2*time.Second
				})
			},
		},
		{
			name:  "the database is stopped",
			told:  []string{"page EscrowGridStoreUnreachable", "page EscrowGridErrorBudgetBurnsFast"},
			later: []string{"ticket EscrowGridErrorBudgetBurnsSlowly"},
			with: []string{
				"EscrowGridCheckpointsFailing", "EscrowGridCheckpointsLagging", "EscrowGridDutyFailing", "EscrowGridVerificationFailing",
				"EscrowGridVerificationStale", "EscrowGridSecurityEventsLost",
			},
			breaks: func(t *testing.T) {
				stop.Do(func() { database.Stop(t) })
				i.send(t, call{path: "/audit-events?outcome=refused"})
			},
			mends: func(t *testing.T) { database.Restart(t) },
		},
		{
			name:   "all servers are stopped",
			told:   []string{"page EscrowGridAllDown"},
			breaks: once(func(*testing.T) { i.servers[0].Stop(); i.servers[1].Stop() }),
			mends:  func(*testing.T) { i.serve(0); i.serve(1) },
		},
	} {
		i.run(t, b)
	}
	i.answersRunbooks(t, func(query string) bool { return !strings.HasPrefix(query, "escrowgrid_store_size_bytes") })
}

// Each other way in which an installation breaks is told to whom it concerns, and that it ended.
// Only a clock that is wrong cannot be had without changing this machine's.
func TestAlertsArrive(t *testing.T) { //nolint:tparallel // One installation is broken in one way after the other.
	t.Parallel()
	database := pgtest.Start(t)
	i := newInstallation(t, database.NewDatabase(t), 2, "DATABASE_CONNECTIONS=64")
	meridian := i.newBank(t)

	// Its last bracket is missing, for which a server has to read all of it.
	wrongBatch := `{"items": [{}` + strings.Repeat(`, {"assetId": "ast_1", "holderReference": "ACME", "currency": "USD", "amount": "10.00"}`, 999) + `]`
	var busy sync.WaitGroup
	var idle atomic.Bool
	elsewhere, broken, asked := 0, 0, ""
	i.ruleRoles(t, meridian)

	for _, b := range []breakage{
		{
			name: "the database refuses rows",
			told: []string{"ticket EscrowGridCommandsFailing", "ticket EscrowGridExpiryBehind", "ticket EscrowGridDutyFailing"},
			breaks: once(func(t *testing.T) {
				i.post(t, meridian.admin, "/positions", fmt.Sprintf(`{"assetId": %q, "holderReference": "ACME-1", "currency": "USD", "amount": "10.00", "expiresAt": %q}`,
					meridian.asset, time.Now().Add(5*time.Second).UTC().Format(time.RFC3339Nano)))
				i.sql(t, refuse("positions", "UPDATE"))
			}),
			mends: func(t *testing.T) { i.sql(t, accept("positions")) },
		},
		{
			name: "security events cannot be written",
			told: []string{"ticket EscrowGridSecurityEventsLost", "ticket EscrowGridDutyFailing"},
			with: []string{"EscrowGridRefusalsSurging"},
			breaks: once(func(t *testing.T) {
				i.sql(t, refuse("security_events", "INSERT"))
				// More of them wait than there is room for.
				for client := range 2100 {
					i.send(t, call{from: fmt.Sprintf("127.2.%d.%d", client/250, 1+client%250), key: "egk_wrong", path: "/institutions"})
				}
			}),
			mends: func(t *testing.T) { i.sql(t, accept("security_events")) },
		},
		{
			name: "checkpoints cannot be kept",
			told: []string{"ticket EscrowGridCheckpointsFailing", "ticket EscrowGridCheckpointsLagging"},
			breaks: once(func(t *testing.T) {
				i.sql(t, refuse("journal_checkpoints", "INSERT"))
				i.post(t, meridian.admin, "/assets", meridian.assetNamed("Harbour Tower, lot 3"))
			}),
			mends: func(t *testing.T) { i.sql(t, accept("journal_checkpoints")) },
		},
		{
			name:   "the log's keys cannot be read",
			told:   []string{"ticket EscrowGridVerificationFailing", "ticket EscrowGridVerificationStale"},
			with:   []string{"EscrowGridCheckpointsFailing"},
			breaks: once(func(t *testing.T) { i.sql(t, "ALTER TABLE checkpoint_keys RENAME TO mislaid") }),
			mends:  func(t *testing.T) { i.sql(t, "ALTER TABLE mislaid RENAME TO checkpoint_keys") },
		},
		{
			name:   "a server has less memory than it takes",
			told:   []string{"ticket EscrowGridMemoryHigh"},
			breaks: once(func(*testing.T) { i.replace(1, "GOMEMLIMIT=16MiB") }),
			mends:  func(*testing.T) { i.replace(1) },
		},
		{
			name: "a server has fewer processors than it takes",
			told: []string{"ticket EscrowGridCPUSaturated"},
			breaks: once(func(t *testing.T) {
				i.replace(1, "GOMAXPROCS=1")
				for range 3 {
					busy.Go(func() {
						for !idle.Load() {
							i.send(t, call{server: 1, key: meridian.admin, method: http.MethodPost, path: "/positions/batch", body: wrongBatch})
						}
					})
				}
			}),
			mends: func(*testing.T) {
				idle.Store(true)
				busy.Wait()
				i.replace(1)
			},
		},
		{
			name: "Prometheus drops a metric",
			told: []string{"ticket EscrowGridMetricsMissing"},
			breaks: once(func(t *testing.T) {
				i.configure(t, "    metric_relabel_configs: [{source_labels: [__name__], regex: escrowgrid_clock_seconds, action: drop}]\n")
			}),
			mends: func(t *testing.T) { i.configure(t, "") },
		},
		{
			name: "the root key is used from elsewhere",
			told: []string{"ticket EscrowGridRootKeyNewAddress"},
			breaks: func(t *testing.T) {
				elsewhere++
				i.send(t, call{server: 1, from: fmt.Sprintf("127.0.1.%d", elsewhere%250), path: "/institutions"})
			},
		},
		{
			name:   "a client has a wrong key",
			told:   []string{"ticket EscrowGridRefusalsSurging"},
			breaks: func(t *testing.T) { i.send(t, call{server: 1, key: "egk_wrong", path: "/institutions"}) },
		},
		{
			name: "many keys are revoked",
			told: []string{"page EscrowGridKeyRevocationsSurging"},
			breaks: func(t *testing.T) {
				key := i.post(t, "", meridian.keys, `{"label": "to be revoked", "role": "read_only"}`)["id"].(string)
				i.post(t, "", meridian.keys+"/"+key+"/revoke", "")
			},
		},
		{
			name: "the operator breaks the glass",
			told: []string{"ticket EscrowGridGlassBroken"},
			breaks: func(t *testing.T) {
				broken++
				permissions := []string{`[]`, `["positions.read"]`}[broken%2]
				role := `{"permissions": ` + permissions + `, "breakGlass": {"reason": "all are away"}}`
				if status, answer := i.send(t, call{method: http.MethodPut, path: meridian.home + "/roles/clerk", body: role}); status != http.StatusOK {
					t.Fatalf("the role is set with %d %v", status, answer)
				}
			},
		},
		{
			name: "nobody approves",
			told: []string{"ticket EscrowGridApprovalExpiring"},
			breaks: once(func(t *testing.T) {
				status, answer := i.send(t, call{key: meridian.admin, method: http.MethodPut, path: meridian.home + "/roles/teller", body: `{"permissions": []}`})
				if status != http.StatusAccepted {
					t.Fatalf("the role is set with %d %v", status, answer)
				}
				asked = "/approvals/" + answer["id"].(string)
			}),
			mends: func(t *testing.T) { i.post(t, meridian.admin, asked+"/withdraw", "") },
		},
		{
			name: "a row is changed past the servers",
			told: []string{"page EscrowGridVerificationDifferent"},
			with: []string{"EscrowGridVerificationStale"},
			breaks: once(func(t *testing.T) {
				i.sql(t, "ALTER TABLE institutions DISABLE TRIGGER ALL; UPDATE institutions SET name = 'Tampered Bank'")
			}),
			mends: func(t *testing.T) {
				i.sql(t, "UPDATE institutions SET name = 'Meridian Bank'; ALTER TABLE institutions ENABLE TRIGGER ALL")
			},
		},
		{
			name:   "a server is stopped",
			told:   []string{"ticket EscrowGridInstanceDown"},
			breaks: once(func(*testing.T) { i.servers[1].Stop() }),
			mends:  func(*testing.T) { i.serve(1) },
		},
	} {
		i.run(t, b)
	}
}

// A disk that fills up is told of before it is full.
func TestAlertsOfADiskArrive(t *testing.T) { //nolint:tparallel // One looks at what the other has left.
	t.Parallel()
	directory := t.TempDir()
	// A fiftieth of what is free, taken in a minute, would be all of it within an hour, whatever
	// else the machine takes and gives back meanwhile. What was taken before is given back as
	// well, so that in the end more is free than in the beginning: for the alert looks at a day,
	// which is 24 minutes here.
	before, within := filepath.Join(directory, "before"), filepath.Join(directory, "within")
	part := free(t, directory) / 50
	take(t, before, part)
	i := newInstallation(t, "sqlite:"+filepath.Join(directory, "escrowgrid.db"), 1)
	// A trend takes a while before the fall as well: of a fall at once, a little that others
	// give back makes a rise.
	programtest.Eventually(t, "Prometheus has read the disk for twenty seconds", func() bool {
		return i.value(t, "count_over_time(escrowgrid_store_free_bytes[1m]) > 40") != ""
	})
	i.run(t, breakage{
		name:   "the disk fills up",
		told:   []string{"page EscrowGridDiskNearlyFull", "ticket EscrowGridDiskFilling"},
		breaks: once(func(t *testing.T) { take(t, within, part) }),
		mends: func(t *testing.T) {
			if err := errors.Join(os.Remove(before), os.Remove(within)); err != nil {
				t.Fatal(err)
			}
		},
	})
	i.answersRunbooks(t, func(query string) bool { return strings.HasPrefix(query, "escrowgrid_store_size_bytes") })
}

// free is how many bytes are free where a directory is.
func free(t *testing.T, directory string) int64 {
	t.Helper()
	var system syscall.Statfs_t
	if err := syscall.Statfs(directory, &system); err != nil {
		t.Fatal(err)
	}
	return int64(system.Bavail) * int64(system.Bsize) //nolint:unconvert // Elsewhere they are of other types.
}

// take makes a file of so many bytes, none of which is written.
func take(t *testing.T, path string, bytes int64) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), "fallocate", "--length", strconv.FormatInt(bytes, 10), path).CombinedOutput(); err != nil {
		t.Fatalf("fallocate: %v: %s", err, output)
	}
}
