package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

// errorTables returns a table for each status, in the order of httpapi.ErrorKinds.
func errorTables() string {
	var text strings.Builder
	status := 0
	for _, kind := range httpapi.ErrorKinds() {
		if kind.Status != status {
			if status != 0 {
				text.WriteString("\n")
			}
			status = kind.Status
			fmt.Fprintf(&text, "### %d %s\n\n", status, http.StatusText(status))
			writeRow(&text, "code", "title", "meaning")
			writeRow(&text, "---", "---", "---")
		}

		writeRow(&text, "`"+string(kind.Code)+"`", kind.Title, kind.Meaning)
	}
	return text.String()
}
