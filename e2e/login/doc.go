// Package login tests how people log in: the program as built, oidc-provider, which runs on
// Node.js, and Chromium, as a person and those who attack one use it. It is a module of its own,
// like all that tests the program from outside.
package login
