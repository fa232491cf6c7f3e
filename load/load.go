// Package load holds the scripts with which k6 puts load on a server, and tests
// them. docs/load-testing.md says how they are used.
package load

import "embed"

// Scripts are the scripts and the library that they share, in lib.
//
//go:embed *.js lib/*.js
var Scripts embed.FS
