package main

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

const (
	// memoryRatio is the part of a container's memory that the garbage collector keeps within; the
	// rest is for what the collector does not count: mapped files, and the kernel's buffers.
	memoryRatio = 0.9
	// answerShare is the part of that memory, as its divisor, that the rows of large answers may
	// have at the same time. While one is sent it takes some three times its rows.
	answerShare = 8
)

// limitMemory has the garbage collector keep within the memory of the container that the server
// runs in, unless GOMEMLIMIT says otherwise: a server that does not know its limit is killed at it.
// It returns what large answers may take at the same time, in bytes.
func limitMemory(logger *slog.Logger) int64 {
	// Where there is no container, there is no limit.
	_, err := memlimit.Set(memlimit.WithProvider(memlimit.FromCgroup), memlimit.WithRatio(memoryRatio))
	if err != nil {
		logger.Debug("no limit of memory was found", "error", err)
	}

	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return httpapi.DefaultAnswerMemory
	}
	return min(limit/answerShare, httpapi.DefaultAnswerMemory)
}
