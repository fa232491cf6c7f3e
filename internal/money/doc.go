// Package money is amounts of money and the exact decimal numbers beside them. Amounts
// are integers of a currency's minor unit (ISO 4217); no floating point is anywhere.
//
// It knows nothing of escrow, and does no I/O.
package money
