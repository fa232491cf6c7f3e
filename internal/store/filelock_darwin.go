package store

// setDescriptionLock is F_OFD_SETLK of sys/fcntl.h, which package syscall does not have.
const setDescriptionLock = 90
