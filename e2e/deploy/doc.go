// Package deploy tests the files of deployment, each with the library of the tool that
// reads it. It is a module of its own, so that what they need is no dependency of the
// program.
package deploy
