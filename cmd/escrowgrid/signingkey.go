package main

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// signingKeyCommand makes a key that signs checkpoints, for operators who keep it outside the
// database.
type signingKeyCommand struct {
	Origin string `arg:"" default:"escrowgrid" help:"The server's CHECKPOINT_ORIGIN; escrowgrid when left out."`
}

// Run prints a new key to stdout, as a line for an environment file, and its public key to stderr.
func (c *signingKeyCommand) Run(out output) error {
	if !translog.IsName(c.Origin) {
		return wrongUsage("%q cannot be CHECKPOINT_ORIGIN: it takes a name without spaces and plus signs", c.Origin)
	}

	key, signer, err := translog.GenerateKey(c.Origin)
	if err != nil {
		return err
	}

	fmt.Fprintf(out.stderr, "The public key is %s. Keep the line below secret.\n", signer.VerifierKey())
	_, err = fmt.Fprintf(out.stdout, "CHECKPOINT_SIGNING_KEY=%s\n", key)
	return err
}
