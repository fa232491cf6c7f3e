// Package clients tests that the document of the API is good to generate clients from: what
// common generators make of it compiles, and does what it says against a server. The stories
// that the clients are taken through are in testdata. It is a module of its own, like all that
// tests the program from outside.
package clients
