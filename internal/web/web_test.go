package web_test

import (
	"net/http"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/web"
)

func TestCommands(t *testing.T) {
	for method, want := range map[string]bool{
		http.MethodGet: false, http.MethodHead: false,
		http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true, http.MethodDelete: true, "QUERY": true, "get": true,
	} {
		if got := web.IsCommand(method); got != want {
			t.Errorf("%s is a command: %t", method, got)
		}
	}
}
