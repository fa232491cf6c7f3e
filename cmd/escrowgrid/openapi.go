package main

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

// openAPICommand prints the API's description, for people who generate clients without a server.
type openAPICommand struct{}

// Run prints the OpenAPI document.
func (openAPICommand) Run(out output) error {
	document, err := httpapi.Specification()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out.stdout, string(document))
	return err
}
