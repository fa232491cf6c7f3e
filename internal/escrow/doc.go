// Package escrow is the domain of the EscrowGrid platform: institutions
// tokenize escrowable assets, holders have positions on them, and each position
// moves through its lifecycle with its money accounted for to the last minor unit.
//
// The package does no I/O. Every rule of the platform stands here once: what a
// valid name, amount or template is, which transitions exist, what a policy
// refuses, and which bytes an entry of the journal has. Time, ids and randomness
// come in as arguments (see Stamp), so the same inputs always give the same result.
//
// The centre is Books. A Request is executed against the books it needs: either
// it is refused, with an *Error, and the books are as they were; or it is
// accepted, and the books hold the new state together with the one Entry that
// the institution's journal gains. Applying a journal's entries again rebuilds the
// books row by row.
package escrow
