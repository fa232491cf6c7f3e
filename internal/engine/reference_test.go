package engine_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

func referenced(asset escrow.AssetID, reference string) escrow.PositionInput {
	return escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "h", Currency: "USD", Amount: money.Digits("10"),
		ExternalReference: new(reference),
	}
}

func withReference(asset escrow.AssetID, reference string) escrow.Command {
	return valid(escrow.NewCreatePosition(referenced(asset, reference)))
}

// Whoever asks at the same time, on whichever server, one has the reference.
func TestAUniqueReferenceHasOneWinner(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		const references, attempts = 6, 6
		s := servers[0]
		of := s.institution()
		asset := s.assetOf(of, "US", "CONSTR_ESCROW", `{"currency":"USD","uniqueExternalReference":true}`)

		var asking sync.WaitGroup
		var outcomes [references][attempts]escrow.Code
		for i := range references {
			for j := range attempts {
				command := withReference(asset, fmt.Sprint(i))
				if j%3 == 2 {
					command = valid(escrow.NewCreationBatch([]escrow.PositionInput{referenced(asset, fmt.Sprint(i))}, true))
				}
				asking.Go(func() {
					_, err := servers[j%2].Do(t.Context(), root(of, command))
					outcomes[i][j] = codeOf(err)
				})
			}
		}
		asking.Wait()

		for i, outcomes := range outcomes {
			count := make(map[escrow.Code]int)
			for _, code := range outcomes {
				count[code]++
			}
			if count[""] != 1 || count[escrow.CodeExternalReference]+count[escrow.CodeBatchRefused] != attempts-1 {
				t.Errorf("reference %d: the outcomes are %v", i, count)
			}
		}
		s.checkJournal(of)
	})
}

// A server that has written alone for long relies on what it remembers, which does not tell who
// has a reference.
func TestAReferenceIsLookedForWhateverIsRemembered(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		s := servers[0]
		of := s.institution()
		asset := s.assetOf(of, "US", "CONSTR_ESCROW", `{"currency":"USD","uniqueExternalReference":true}`)
		for i := range 10 {
			accept[escrow.Position](s, root(of, withReference(asset, fmt.Sprint(i))))
		}
		for i := range 10 {
			refuse(servers[i%2], root(of, withReference(asset, fmt.Sprint(i))), escrow.CodeExternalReference)
		}

		results := accept[escrow.BatchResults](servers[1], root(of, valid(escrow.NewCreationBatch([]escrow.PositionInput{
			referenced(asset, "new"), referenced(asset, "new"), referenced(asset, "3"),
		}, false))))
		for i, want := range []escrow.Code{"", escrow.CodeExternalReference, escrow.CodeExternalReference} {
			if refusal := results[i].Refusal; (refusal == nil) != (want == "") || refusal != nil && refusal.Code != want {
				t.Errorf("item %d was refused with %v, want %q", i, refusal, want)
			}
		}
		s.checkJournal(of)
	})
}
