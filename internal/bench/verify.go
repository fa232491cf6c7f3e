package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// The journals that are verified have so many positions, as parts of the large database of
// the experiment size: half a million, with two entries each, where that has ten million.
const (
	verifiedShare      = 20
	smallVerifiedShare = 200
	// aMinute is what a million entries may take, in seconds.
	aMinute = 60
	million = 1_000_000
)

// verify measures how long it takes to verify a database, and in how much memory.
func (b *bench) verify(ctx context.Context) error {
	for _, store := range b.stores() {
		small, err := b.filledJournal(ctx, store, b.config.Positions/smallVerifiedShare)
		if err != nil {
			return err
		}
		large, err := b.filledJournal(ctx, store, b.config.Positions/verifiedShare)
		if err != nil {
			return err
		}
		minute := contender{"a minute", nil, func(context.Context, turn) (float64, load, error) { return aMinute, load{}, nil }}
		err = b.compare(ctx, Comparison{Name: "a million entries verified, " + store, Unit: "s", Goal: 1, AtMost: true},
			minute, b.verified(large, func(v verified) float64 { return v.seconds * million / float64(large.entries) }))
		if err != nil {
			return err
		}
		memory := func(v verified) float64 { return v.memory / (1 << 20) }
		err = b.compare(ctx, Comparison{Name: "memory of a verification by the size of the journal, " + store, Unit: "MB", Goal: 1.2, AtMost: true},
			b.verified(small, memory), b.verified(large, memory))
		if err != nil {
			return err
		}
	}
	return nil
}

// filledJournal is a database whose servers have ended.
type filledJournal struct {
	*subject
	entries int
}

func (b *bench) filledJournal(ctx context.Context, store string, positions int) (*filledJournal, error) {
	s, err := b.open(ctx, setup{store: store, environment: []string{"CHECKPOINT_INTERVAL=1s"}})
	if err != nil {
		return nil, err
	}
	if _, err := b.fill(ctx, s, positions); err != nil {
		return nil, err
	}
	s.name = fmt.Sprintf("%d entries", 2*positions)
	if err := b.settle(ctx, store, s); err != nil {
		return nil, err
	}
	if err := b.followed(ctx, s); err != nil {
		return nil, err
	}
	// An SQLite file takes one process.
	err = s.close()
	s.servers = nil
	return &filledJournal{s, 2 * positions}, err
}

// followed waits until all is signed.
func (b *bench) followed(ctx context.Context, s *subject) error {
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	for {
		metrics, err := s.servers[0].Metrics(ctx)
		if err != nil {
			return err
		}
		lag := metrics.Value("escrowgrid_checkpoint_lag_entries")
		if lag == 0 && metrics.Value("escrowgrid_checkpoints_signed_total") > 0 {
			return nil
		}
		b.progress.say("sign "+s.name, fmt.Sprintf("%.0f entries", lag))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// verified is what a verification took: seconds, and bytes at the most.
type verified struct{ seconds, memory float64 }

// verified is a contender that verifies a database once a round.
func (b *bench) verified(j *filledJournal, figure func(verified) float64) contender {
	return contender{j.name, nil, func(ctx context.Context, _ turn) (float64, load, error) {
		command := exec.CommandContext(ctx, b.config.Server, "verify") //nolint:gosec // Whoever measures says which.
		command.Env = append(os.Environ(), "DATABASE_URL="+j.database)
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, &output
		begun := time.Now()
		if err := command.Start(); err != nil {
			return 0, load{}, err
		}
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		ticker := time.NewTicker(memoryInterval)
		defer ticker.Stop()
		for memory := peakMemory(command.Process.Pid); ; {
			select {
			case <-ticker.C:
				memory = max(memory, peakMemory(command.Process.Pid))
			case err := <-ended:
				if err != nil {
					return 0, load{}, fmt.Errorf("verify: %w: %s", err, output.String())
				}
				return figure(verified{time.Since(begun).Seconds(), memory}), load{}, nil
			}
		}
	}}
}

// memoryInterval is how often is looked how much memory a process has had at the most. What
// the system tells of a process that has ended begins with the memory of its parent.
const memoryInterval = 20 * time.Millisecond

// peakMemory returns the most memory that a running process has had, in bytes; 0 where the
// system has no /proc.
func peakMemory(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kibibytes float64
	if _, err := fmt.Sscan(rest, &kibibytes); err != nil {
		return 0
	}
	return kibibytes * (1 << 10)
}
