// Package engine carries out the platform's commands and queries.
//
// Commands go through group commit, as databases do it inside: those that wait
// while a transaction is under way form the next one. There is no timer and no
// added delay: an idle engine commits a single command at once, a loaded one
// commits hundreds together.
package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// Engine is safe for concurrent use.
type Engine struct {
	Queries

	config     Config
	store      *store.Store
	log        *slog.Logger
	metrics    *metrics
	committers []*committer
	keys       *lru.Cache[escrow.SecretHash, escrow.APIKey]
	users      *lru.Cache[ownedIdentity, escrow.UserID]
	issuers    *lru.Cache[string, []escrow.IdentityProvider]
	// ruled are the institutions that have approval rules or approvals that are pending, as far as this
	// process knows.
	ruled          *lru.Cache[escrow.InstitutionID, escrow.RulesHint]
	securityEvents securityEvents
	keyUses        latest[escrow.KeyID, escrow.KeyUse]
	seenSessions   latest[escrow.SessionID, escrow.Session]

	// accepting is held for reading while a command is put into a queue, and for
	// writing to close the queues.
	accepting sync.RWMutex
	closed    bool
	// stop ends the transactions and the duties that are still under way.
	stop context.CancelFunc
	// quit ends the background work.
	quit chan struct{}
	// loops are the committers, duties the background work.
	loops, duties sync.WaitGroup
}

// New starts an engine. Close ends it.
func New(config Config) (*Engine, error) {
	config = config.withDefaults()
	var seed [32]byte
	if _, err := io.ReadFull(config.Random, seed[:]); err != nil {
		return nil, err
	}

	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		Queries:      config.Store,
		config:       config,
		store:        config.Store,
		log:          config.Logger,
		metrics:      newMetrics(config.Metrics),
		keys:         newCache[escrow.SecretHash, escrow.APIKey](maxCachedKeys),
		users:        newCache[ownedIdentity, escrow.UserID](maxCachedUsers),
		issuers:      newCache[string, []escrow.IdentityProvider](maxCachedIssuers),
		ruled:        newCache[escrow.InstitutionID, escrow.RulesHint](maxRuledInstitutions),
		stop:         stop,
		keyUses:      latest[escrow.KeyID, escrow.KeyUse]{of: keyUsed},
		seenSessions: latest[escrow.SessionID, escrow.Session]{of: sessionSeen},
		quit:         make(chan struct{}),
	}
	e.metrics.observeEngine(config.Metrics, e)
	config.Store.OnHistoryLost(e.historyLost)

	for i := range config.Committers {
		// Each committer has its own sequence of random bits.
		binary.LittleEndian.PutUint64(seed[24:], binary.LittleEndian.Uint64(seed[24:])+uint64(i))
		c := &committer{
			engine: e,
			ctx:    ctx,
			random: rand.New(rand.NewChaCha8(seed)), //nolint:gosec // Ids are no secrets.
			queue:  newQueue(max(1, config.QueueSize/config.Committers)),
		}
		e.committers = append(e.committers, c)
		e.loops.Go(c.run)
	}

	e.duties.Go(func() { e.expirePositions(ctx) })
	e.duties.Go(func() { e.expireApprovals(ctx) })
	e.duties.Go(func() { e.purge(ctx) })
	e.duties.Go(func() { e.writeSecurityEvents(ctx) })
	e.duties.Go(func() { e.writeKeyUses(ctx) })
	e.duties.Go(func() { e.writeSeenSessions(ctx) })
	e.duties.Go(func() { e.tellExpiringKeys(ctx) })
	e.duties.Go(func() { e.watchHistory(ctx) })
	e.duties.Go(func() { e.endAbandoned(ctx) })
	return e, nil
}

// Close stops accepting commands, finishes those that were accepted, and ends
// the engine. What is not finished when the context ends is given up; its callers
// get an error.
func (e *Engine) Close(ctx context.Context) error {
	e.accepting.Lock()
	already := e.closed
	e.closed = true
	e.accepting.Unlock()
	if already {
		return nil
	}

	close(e.quit)
	finished := make(chan struct{})
	go func() {
		e.duties.Wait()
		for _, c := range e.committers {
			close(c.queue.requests)
		}
		e.loops.Wait()
		close(finished)
	}()

	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = ctx.Err()
		e.stop()
		<-finished
	}
	e.stop()
	return err
}

// Answer is the outcome of an accepted request.
type Answer struct {
	Resource escrow.Resource
	// Replayed says that the answer is that of an earlier request under the same
	// idempotency key; Nonce and RequestID are that request's.
	Replayed  bool
	Nonce     []byte
	RequestID string
	// JudgedOn is where the journal stood on which a dry run was judged, its refusals included; nil of what
	// was no dry run, or was not judged.
	JudgedOn *int64
}

// Do carries out a request and returns when it is committed or refused. Errors
// are *escrow.Error. Among them, all with no effect: refusals of the domain;
// CodeOverloaded when the queue is full; CodeShuttingDown; CodeRequestTimeout
// when the context ended before the command's turn; CodeStoreUnavailable when the
// database could not be had. CodeOutcomeUnknown says that the command may or may
// not have been carried out; repeating it under its idempotency key finds out.
//
// A replayed refusal comes with an Answer that has Replayed set. A batch is one
// request: what became of its items is in the Answer's BatchResults, or, where it
// was refused as a whole, in the error's Items.
//
// A command that takes an approval is answered with the Approval that waits for it, and so is a decision on
// one. The answer to a dry run is what would become of the request.
//
// A secret that comes with a command is sealed first; without a keyring it is refused with
// CodeEncryptionKeyMissing.
func (e *Engine) Do(ctx context.Context, request escrow.Request) (Answer, error) {
	answer, err := e.do(ctx, request)

	switch {
	case answer.Replayed: // It was counted when it was decided.
	case request.DryRun: // Nothing was asked for.
	case errors.Is(ctx.Err(), context.Canceled): // Nobody is there who was refused.
	case err != nil:
		e.metrics.refused(request.Weight(), err)
	default:
		e.metrics.refusedItems(answer.Resource)
	}
	return answer, err
}

func (e *Engine) do(ctx context.Context, request escrow.Request) (Answer, error) {
	request, err := e.sealed(request)
	if err != nil {
		return Answer{}, err
	}
	request.Hint, _ = e.ruled.Get(request.Institution)
	p := &pending{
		ctx:     ctx,
		request: request,
		weight:  request.Weight(),
		done:    make(chan result, 1),
		caller:  trace.SpanFromContext(ctx),
	}
	_, p.waiting = tracing.Start(ctx, "queue")
	if err := e.enqueue(p); err != nil {
		tracing.Fail(p.waiting, string(escrow.ErrorCode(err)))
		p.waiting.End()
		return Answer{}, err
	}

	select {
	case result := <-p.done:
		return e.answer(ctx, request, result)
	case <-ctx.Done():
	}

	select {
	case result := <-p.done: // Both came at once.
		return e.answer(ctx, request, result)
	default:
	}
	if p.state.CompareAndSwap(queued, abandoned) {
		return Answer{}, escrow.Wrap(escrow.CodeRequestTimeout, ctx.Err(),
			"The request's time ran out before its turn; nothing was done.")
	}
	return Answer{}, escrow.UnknownOutcome(ctx.Err())
}

// answer makes the answer to a command of its result.
func (e *Engine) answer(ctx context.Context, request escrow.Request, r result) (Answer, error) {
	var judgedOn *int64
	if request.DryRun {
		judgedOn = new(r.outcome.Sequence) // A copy: all outcomes would be on the heap otherwise.
	}
	switch {
	case r.err != nil:
		return Answer{}, r.err
	case r.outcome.Record != nil:
		return e.replay(ctx, request.Institution, *r.outcome.Record)
	case r.outcome.Refusal != nil:
		return Answer{JudgedOn: judgedOn}, r.outcome.Refusal
	}
	return Answer{Resource: r.outcome.Resource, RequestID: request.RequestID, JudgedOn: judgedOn}, nil
}

// replay reads the answer of an earlier request again, out of the journal.
func (e *Engine) replay(ctx context.Context, institution escrow.InstitutionID, record escrow.Record) (Answer, error) {
	answer := Answer{Replayed: true, Nonce: record.Nonce, RequestID: record.RequestID}
	if record.Refusal != nil {
		return answer, record.Refusal
	}

	if institution.IsZero() {
		// The record of a command that made an institution: its journal is its own.
		if err := institution.UnmarshalText([]byte(record.Subject)); err != nil {
			return Answer{}, store.Failure(err)
		}
	}

	if record.Items != nil {
		results, err := e.batchResults(ctx, institution, record)
		if err != nil {
			return Answer{}, store.Failure(err)
		}
		answer.Resource = results
		return answer, nil
	}

	history, err := e.history(ctx, institution, record.Subject, record.Sequence)
	if err != nil {
		return Answer{}, store.Failure(err)
	}
	answer.Resource, err = escrow.ResourceOf(history)
	return answer, store.Failure(err)
}

// maxPositionEntries is how many entries a position can have: its events, of which the last
// is always possible, and two erasures.
const maxPositionEntries = escrow.MaxPositionEvents + 3

// history returns the entries of a subject up to a sequence, oldest first; of a
// position all of them, of anything else the last.
func (e *Engine) history(
	ctx context.Context, institution escrow.InstitutionID, subject string, upTo int64,
) ([]escrow.Entry, error) {
	return e.lastEntries(ctx, institution, escrow.EntryFilter{Subject: subject, UpTo: upTo}, maxPositionEntries)
}

// lastEntries returns the last of some entries of a journal, oldest first.
func (e *Engine) lastEntries(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.EntryFilter, limit int,
) ([]escrow.Entry, error) {
	page, err := e.store.Entries(ctx, institution, filter, escrow.PageRequest{Limit: limit, Descending: true})
	slices.Reverse(page.Items)
	return page.Items, err
}

func (e *Engine) enqueue(p *pending) error {
	e.accepting.RLock()
	defer e.accepting.RUnlock()
	if e.closed && p.request.Actor != escrow.ActorSystem() {
		return escrow.Errorf(escrow.CodeShuttingDown, "The server is shutting down; nothing was done.")
	}
	if !e.committerFor(p.request.Institution).queue.put(p) {
		return overloaded()
	}
	return nil
}

func overloaded() *escrow.Error {
	return escrow.Errorf(escrow.CodeOverloaded, "The server has more to do than it can hold; nothing was done.")
}

// Admit returns CodeOverloaded where a command on an institution's books would find
// the queue full. It lets a server refuse at once what it would read, check and then
// refuse: most of its time goes on what it accepts, however much more comes.
func (e *Engine) Admit(institution escrow.InstitutionID) error {
	if !e.committerFor(institution).queue.full() {
		return nil
	}
	refusal := overloaded()
	e.metrics.refused(1, refusal)
	return refusal
}

// committerFor gives all of an institution's commands to the same committer:
// they would wait for each other's lock otherwise.
func (e *Engine) committerFor(institution escrow.InstitutionID) *committer {
	// The last bytes of a UUIDv7 are random.
	return e.committers[binary.BigEndian.Uint32(institution[12:])%uint32(len(e.committers))]
}
