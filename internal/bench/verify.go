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

const (
	// The verified journals have these parts of Config.Positions. Of ten million positions, the
	// larger one has half a million, with two entries each.
	verifiedShare      = 20
	smallVerifiedShare = 200
	// aMinute is how long a million entries may take, in seconds.
	aMinute = 60
	million = 1_000_000
)

// verify measures how long the verification of a database takes, and how much memory.
func (b *bench) verify(ctx context.Context) error {
	for _, store := range b.stores() {
		small, err := b.fillJournal(ctx, store, b.config.Positions/smallVerifiedShare)
		if err != nil {
			return err
		}
		large, err := b.fillJournal(ctx, store, b.config.Positions/verifiedShare)
		if err != nil {
			return err
		}

		minute := contender{name: "a minute", run: func(context.Context, turn) (float64, load, error) {
			return aMinute, load{}, nil
		}}
		err = b.compare(ctx, Comparison{
			Name:   "a million entries verified, " + store,
			Unit:   "s",
			Goal:   1,
			AtMost: true,
		}, minute, b.verifying(large, func(v verification) float64 {
			return v.duration.Seconds() * million / float64(large.entries)
		}))
		if err != nil {
			return err
		}

		memory := func(v verification) float64 { return v.memory / (1 << 20) }
		err = b.compare(ctx, Comparison{
			Name:   "memory of a verification by the size of the journal, " + store,
			Unit:   "MB",
			Goal:   1.2,
			AtMost: true,
		}, b.verifying(small, memory), b.verifying(large, memory))
		if err != nil {
			return err
		}
	}
	return nil
}

// filledJournal is a database whose server has ended.
type filledJournal struct {
	name, database string
	entries        int
}

// fillJournal fills a database with positions, waits until its journal is signed, and ends the
// server, because only one process at a time can use an SQLite file.
func (b *bench) fillJournal(ctx context.Context, store string, positions int) (*filledJournal, error) {
	s, err := b.open(ctx, setup{store: store, environment: []string{"CHECKPOINT_INTERVAL=1s"}})
	if err != nil {
		return nil, err
	}
	if _, err := b.fill(ctx, s, positions); err != nil {
		return nil, err
	}

	entries := 2 * positions
	s.name = fmt.Sprintf("%d entries", entries)
	if err := b.awaitVacuum(ctx, store, s); err != nil {
		return nil, err
	}
	if err := b.awaitCheckpoint(ctx, s); err != nil {
		return nil, err
	}

	err = s.close()
	s.servers = nil
	return &filledJournal{name: s.name, database: s.database, entries: entries}, err
}

// awaitCheckpoint waits until a checkpoint covers every entry.
func (b *bench) awaitCheckpoint(ctx context.Context, s *subject) error {
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

// verification is how long a verification took, and its greatest memory in bytes.
type verification struct {
	duration time.Duration
	memory   float64
}

// verifying is a contender that verifies a database once a round.
func (b *bench) verifying(j *filledJournal, figure func(verification) float64) contender {
	return contender{name: j.name, run: func(ctx context.Context, _ turn) (float64, load, error) {
		took, err := b.verifyOnce(ctx, j)
		if err != nil {
			return unmeasured, load{}, err
		}
		return figure(took), load{}, nil
	}}
}

// verifyOnce runs escrowgrid verify on a database.
func (b *bench) verifyOnce(ctx context.Context, j *filledJournal) (verification, error) {
	command := exec.CommandContext(ctx, b.config.Server, "verify") //nolint:gosec // The flags say which program to measure.
	command.Env = append(os.Environ(), "DATABASE_URL="+j.database)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	begun := time.Now()
	if err := command.Start(); err != nil {
		return verification{}, err
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
				return verification{}, fmt.Errorf("verify: %w: %s", err, output.String())
			}
			return verification{duration: time.Since(begun), memory: memory}, nil
		}
	}
}

// memoryInterval is how often the greatest memory of a process is read while it runs. What the
// system says of a process that has ended includes the memory of its parent.
const memoryInterval = 20 * time.Millisecond

// peakMemory returns the greatest memory that a running process has had, in bytes; 0 where the
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
