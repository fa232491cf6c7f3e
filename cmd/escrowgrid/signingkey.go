package main

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

type signingKeyCommand struct {
	Name string `arg:"" default:"escrowgrid" help:"The name of the logs, as LOG_NAME has it; escrowgrid when left out."`
}

// Run prints a new key as a variable, and says what its public key is.
func (c *signingKeyCommand) Run(out output) error {
	if !translog.IsName(c.Name) {
		return &usageError{fmt.Sprintf("%q is no name of a log: it has no spaces and plus signs", c.Name)}
	}
	key, signer, err := translog.GenerateKey(c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out.stderr, "The public key is %s. Keep the line below secret.\n", signer.VerifierKey())
	_, err = fmt.Fprintf(out.stdout, "LOG_SIGNING_KEY=%s\n", key)
	return err
}
