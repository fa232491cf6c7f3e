package main

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// operatorIDCommand tells under which ids journals name people of the operator. No table has that: whoever
// has a list of the people of the provider finds out who an id is.
type operatorIDCommand struct {
	Issuer   string   `required:"" env:"OPERATOR_OIDC_ISSUER" placeholder:"URL" help:"The issuer of the identity provider that they come from."`
	Subjects []string `arg:"" name:"subject" help:"What that provider calls them: sub in their tokens."`
}

// Run prints a line for each subject: the id, a tab and the subject.
func (c *operatorIDCommand) Run(out output) error {
	for _, subject := range c.Subjects {
		if _, err := fmt.Fprintf(out.stdout, "%s\t%s\n", escrow.NewOperatorID(c.Issuer, subject), subject); err != nil {
			return err
		}
	}
	return nil
}
