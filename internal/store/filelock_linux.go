package store

// setDescriptionLock is F_OFD_SETLK of fcntl(2), which package syscall does not have.
const setDescriptionLock = 37
