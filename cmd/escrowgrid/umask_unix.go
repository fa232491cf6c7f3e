//go:build unix

package main

import "syscall"

// keepPrivate makes all that the process creates its owner's alone. Databases, bundles and
// reports hold what clients wrote, and SQLite makes the files beside a database by itself:
// whoever can read its -shm can stop all writes with a read lock.
func keepPrivate() { syscall.Umask(0o077) }
