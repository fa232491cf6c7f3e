// Package deploy tests the files of deployment, each with the library of the tool that
// reads it. It is a module of its own, so that the program does not depend on these
// libraries.
package deploy
