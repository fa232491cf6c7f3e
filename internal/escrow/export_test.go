package escrow

// CanWait reports whether a command has a written form, in which it waits for approval.
func CanWait(command Command) bool {
	c, ok := command.(approvable)
	return ok && c.written() != nil
}
