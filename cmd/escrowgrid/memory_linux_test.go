package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// A server that may have 512 MiB survives fifty readers of the largest pages at once.
func TestMemoryOfLargestPages(t *testing.T) {
	const (
		memoryLimit = 512 << 20
		readers     = 50
		positions   = 3 * escrow.MaxPageBytes / escrow.MaxMetadataSize
	)
	server := serve(t, []string{"DATABASE_URL=sqlite:memory.db", "REQUEST_TIMEOUT=5m", fmt.Sprintf("GOMEMLIMIT=%d", memoryLimit)})
	b := openBank(t, server.Client)
	// What is escaped twice makes the journal's page the largest.
	padding := strings.Repeat(`"",`, escrow.MaxMetadataSize/3-4)
	claim := strings.TrimSuffix(b.claim("x"), "}") + `, "metadata": {"a":[` + padding + `""]}}`
	admin := server.As(b.key)
	for range positions {
		admin.Post(t, "/positions", claim).Want(t, http.StatusCreated)
	}
	lists := []string{
		"/institutions/" + b.id + "/journal?limit=1000", "/ledger-events?limit=1000", "/audit-events?limit=1000",
		"/positions?limit=1000", "/positions?include=events&limit=100", "/institutions/" + b.id + "/statements",
	}
	var reading sync.WaitGroup
	for reader := range readers {
		reading.Go(func() {
			for i := range lists {
				path := lists[(reader+i)%len(lists)]
				size, err := read(admin, path)
				if err != nil || size > escrow.MaxPageBytes+1024 {
					t.Errorf("%s is answered with %d bytes, %v", path, size, err)
				}
			}
		})
	}
	reading.Wait()
	if peak := peakMemory(t, server.cmd.Process.Pid); peak > memoryLimit {
		t.Errorf("the server took %d MiB", peak>>20)
	}
}

// read reads an answer, keeps nothing of it, and returns its size.
func read(client apitest.Client, path string) (size int64, err error) {
	request, err := http.NewRequest(http.MethodGet, client.URL+path, http.NoBody) //nolint:noctx // Its end is the server's.
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-API-KEY", client.Key)
	answer, err := client.HTTP.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the answer is %s", answer.Status)
	}
	return io.Copy(io.Discard, answer.Body)
}

// peakMemory is the most that a process ever had in memory, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(peak), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kibibytes << 10
		}
	}
	t.Fatal("the kernel tells no peak")
	return 0
}
