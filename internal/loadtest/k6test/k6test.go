// Package k6test gives tests the k6 for which the load scripts are written.
package k6test

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/load"
)

// Path returns the path of k6: the value of the variable K6 or, without it, the pinned
// version, which takes minutes to build the first time. Without k6, tests fail; they are
// never skipped.
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
