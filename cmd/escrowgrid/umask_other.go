//go:build !unix

package main

// keepPrivate does nothing: files have the rights of their directory.
func keepPrivate() {}
