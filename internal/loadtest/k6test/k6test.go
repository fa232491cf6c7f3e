// Package k6test gives tests the k6 with which the load scripts are written.
package k6test

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/load"
)

// Path returns the path of k6: what the variable K6 says, or the pinned version,
// which takes minutes to build the first time. Tests fail, and are never skipped,
// when there is none.
func Path(tb testing.TB) string {
	tb.Helper()
	path, err := find()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var find = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("K6"); path != "" {
		return path, nil
	}
	return load.PinnedK6(context.Background(), os.Stderr)
})
