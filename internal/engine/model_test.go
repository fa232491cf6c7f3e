package engine_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The model is the contract's rules for positions, policies and keys, written
// down a second time without a look at the domain's code. Amounts are in cents.

// modelPosition is what the model knows of a position.
type modelPosition struct {
	state                            escrow.State
	amount, held, released, refunded int64
	retained                         int64
	version                          int64
	erased                           bool
}

// transition leads the position to a state, or returns the code of the refusal.
// An amount of 0 was not given.
func (p *modelPosition) transition(to escrow.State, amount int64) escrow.Code {
	open := p.state == "FUNDED" || p.state == "PARTIALLY_RELEASED"
	switch {
	case p.state == "CREATED" && (to == "FUNDED" || to == "CANCELLED" || to == "EXPIRED"), open && to != "CREATED" && to != "FUNDED":
	default:
		return escrow.CodeInvalidTransition
	}
	moves := p.held
	if to == "FUNDED" {
		moves = p.amount
	}
	switch {
	case to == "PARTIALLY_RELEASED" && amount >= p.held, to != "PARTIALLY_RELEASED" && amount != 0 && amount != moves:
		return escrow.CodeTransitionAmount
	case to == "PARTIALLY_RELEASED" && p.held-amount < p.retained:
		return escrow.CodeTemplateRetainage
	case to == "PARTIALLY_RELEASED":
		moves = amount
	}
	switch to {
	case "FUNDED":
		p.held = moves
	case "PARTIALLY_RELEASED", "RELEASED":
		p.held, p.released = p.held-moves, p.released+moves
	default:
		p.held, p.refunded = p.held-moves, p.refunded+moves
	}
	p.state = to
	p.version++
	return ""
}

// erase takes away what is private of the position, or returns the code of the refusal. What is
// erased stays so, without another entry.
func (p *modelPosition) erase() (code escrow.Code, changes bool) {
	switch {
	case p.state == "CREATED" || p.state == "FUNDED" || p.state == "PARTIALLY_RELEASED":
		return escrow.CodePositionOpen, false
	case p.erased:
		return "", false
	}
	p.erased = true
	p.version++
	return "", true
}

// matches compares the model's position with the engine's.
func (p *modelPosition) matches(got escrow.Position) bool {
	funded := p.held + p.released + p.refunded
	hasNames := got.HolderReference != "" || got.ExternalReference != "" || len(got.Metadata) > 0
	return hasNames != p.erased && got.Erased() == p.erased && got.State == p.state && got.Version == p.version && int64(got.Amount) == p.amount && int64(got.Held) == p.held &&
		int64(got.Released) == p.released && int64(got.Refunded) == p.refunded && int64(got.Retained) == p.retained && int64(got.Funded) == funded
}

// act is one thing that a teller does; what its numbers mean depends on what.
type act struct {
	What     string
	Which    int
	To       escrow.State
	Amount   int64
	Exactly  bool // The amount is at a bound, in place of Amount.
	Repeated bool
}

func acts() *rapid.Generator[act] {
	return rapid.Custom(func(t *rapid.T) act {
		return act{
			What: rapid.SampledFrom([]string{
				"create", "create", "create", "transition", "transition", "transition", "transition", "transition", "transition",
				"policy", "rotate", "revoke", "contest", "contest", "erase", "erase",
			}).Draw(t, "what"),
			Which: rapid.IntRange(0, 5).Draw(t, "which"),
			// Lives that are worth a look begin with these two.
			To: rapid.SampledFrom(append(escrow.States(), "FUNDED", "FUNDED", "FUNDED", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED",
				"PARTIALLY_RELEASED")).Draw(t, "to"),
			Amount:   rapid.Int64Range(1, 3000).Draw(t, "amount"),
			Exactly:  rapid.Bool().Draw(t, "exactly"),
			Repeated: rapid.Bool().Draw(t, "repeated"),
		}
	})
}

// teller works on positions of its own, in a region of its own and with a key of
// its own, so that the model knows the answer to each of its requests, whatever
// others do at the same time. On contested positions only the sum is known.
type teller struct {
	server *server
	name   string
	region string
	key    escrow.APIKey
	active bool
	assets [2]escrow.AssetID // the second retains a tenth

	positions  []escrow.PositionID
	model      map[escrow.PositionID]*modelPosition
	low, high  int64 // the policy's bounds in whole dollars; a high of 0 is none
	contested  []escrow.PositionID
	won        map[escrow.PositionID]int64 // released by this teller
	entries    int                         // that this teller added
	complaints []string
}

func (w *teller) complain(format string, args ...any) {
	w.complaints = append(w.complaints, w.name+": "+fmt.Sprintf(format, args...))
}

// do carries out a request and compares its outcome with the wanted code. A
// repeated one is sent again and must be answered as before.
func (w *teller) do(number int, a act, command escrow.Command, want escrow.Code) escrow.Resource {
	r := by(w.key, command)
	if a.Repeated {
		key := fmt.Sprint(w.name, "-", number)
		r = under(key, key, r)
	}
	answer, err := w.server.Do(context.Background(), r)
	if got := codeOf(err); got != want {
		w.complain("act %d, %+v: the code is %q, want %q: %v", number, a, got, want, err)
	}
	if err == nil {
		w.entries++
	}
	if a.Repeated && want != escrow.CodeInvalidKey {
		again, repeated := w.server.Do(context.Background(), r)
		if codeOf(repeated) != want || !again.Replayed || !cmp.Equal(answer.Resource, again.Resource, exactly()) {
			w.complain("act %d, %+v: repeated, it is answered with %+v, %v, after %+v, %v", number, a, again, repeated, answer, err)
		}
	}
	return answer.Resource
}

func codeOf(err error) escrow.Code {
	if err == nil {
		return ""
	}
	return escrow.ErrorCode(err)
}

// work does one act after the other.
func (w *teller) work(acts []act) {
	for number, a := range acts {
		switch a.What {
		case "create":
			w.create(number, a)
		case "transition":
			w.transition(number, a)
		case "policy":
			w.setPolicy(number, a)
		case "rotate", "revoke":
			w.endKey(number, a)
		case "contest":
			w.contest(number, a)
		case "erase":
			w.erase(number, a)
		}
	}
}

// orInvalidKey is a code, unless the teller's key has ended.
func (w *teller) orInvalidKey(code escrow.Code) escrow.Code {
	if !w.active {
		return escrow.CodeInvalidKey
	}
	return code
}

func cents(amount int64) string { return fmt.Sprintf("%d.%02d", amount/100, amount%100) }

func (w *teller) create(number int, a act) {
	want := escrow.Code("")
	if a.Exactly {
		bound := w.low
		if a.Which > 2 {
			bound = w.high
		}
		a.Amount = max(1, bound*100+int64(a.Which%3-1)) // at it, or a cent beside it
	}
	switch {
	case a.Amount < w.low*100:
		want = escrow.CodePolicyMinAmount
	case w.high != 0 && a.Amount > w.high*100:
		want = escrow.CodePolicyMaxAmount
	}
	made, ok := w.do(number, a, createPosition(w.assets[a.Which%2], w.name, cents(a.Amount)), w.orInvalidKey(want)).(escrow.Position)
	if !ok {
		return
	}
	position := &modelPosition{state: "CREATED", amount: a.Amount, version: 1}
	if a.Which%2 == 1 {
		position.retained = (a.Amount + 9) / 10 // rounded up
	}
	w.positions = append(w.positions, made.ID)
	w.model[made.ID] = position
}

func (w *teller) transition(number int, a act) {
	if len(w.positions) == 0 {
		return
	}
	id := w.positions[len(w.positions)-1-a.Which%len(w.positions)]
	position := w.model[id]
	given := a.Amount
	switch {
	case a.To != "PARTIALLY_RELEASED" && a.Which%2 == 0:
		given = 0
	case a.Exactly && a.To == "PARTIALLY_RELEASED": // what retainage leaves, or a cent beside it
		given = max(0, position.held-position.retained+int64(a.Which%3-1))
	case a.Exactly:
		given = position.held
	}
	text := ""
	if given > 0 {
		text = cents(given)
	} else if a.To == "PARTIALLY_RELEASED" {
		return // There is no such request.
	}
	want := escrow.CodeInvalidKey
	if w.active {
		want = position.transition(a.To, given)
	}
	if got, ok := w.do(number, a, transition(id, a.To, text), want).(escrow.Position); ok && !position.matches(got) {
		w.complain("act %d, %+v: the position is %+v, want %+v", number, a, got, position)
	}
}

func (w *teller) erase(number int, a act) {
	if len(w.positions) == 0 {
		return
	}
	id := w.positions[len(w.positions)-1-a.Which%len(w.positions)]
	position := w.model[id]
	want, changes := escrow.CodeInvalidKey, false
	if w.active {
		want, changes = position.erase()
	}
	got, ok := w.do(number, a, valid(escrow.NewErasePosition(id, nil, nil, 0)), want).(escrow.Position)
	if ok && !position.matches(got) {
		w.complain("act %d, %+v: the position is %+v, want %+v", number, a, got, position)
	}
	if ok && !changes {
		w.entries--
	}
}

func (w *teller) setPolicy(number int, a act) {
	low, high := a.Amount/200, a.Amount/100
	rules := escrow.RulesInput{MinAmount: new(money.Digits(fmt.Sprint(low)))}
	if a.Exactly {
		high = 0
	} else {
		rules.MaxAmount = new(money.Digits(fmt.Sprint(high)))
	}
	command := valid(escrow.NewSetPolicy(w.region, escrow.PolicyInput{Position: rules}))
	if _, ok := w.do(number, a, command, w.orInvalidKey("")).(escrow.Policy); ok {
		w.low, w.high = low, high
		if !a.Exactly && high == 0 {
			w.high = -1 // A bound of nothing.
		}
	}
}

// endKey ends the teller's key, or has the operator give it a new one.
func (w *teller) endKey(number int, a act) {
	if !w.active {
		w.key, _ = w.server.key(w.key.InstitutionID, escrow.RoleAdmin, nil)
		w.active = true
		w.entries++
		return
	}
	a.Repeated = false // Its key cannot ask again.
	if a.What == "revoke" {
		w.do(number, a, escrow.RevokeKey{Key: w.key.ID}, "")
		w.active = false
		return
	}
	hash := escrow.HashSecret(fmt.Sprint(w.name, w.key.ID))
	rotated, _ := w.do(number, a, valid(escrow.NewRotateKey(w.key.ID, escrow.RotationInput{}, hash)), "").(escrow.APIKey)
	w.do(number, a, valid(escrow.NewSetPolicy(w.region, escrow.PolicyInput{})), escrow.CodeInvalidKey)
	w.key = rotated
}

// contest releases a part of a position that others want as well.
func (w *teller) contest(number int, a act) {
	id := w.contested[a.Which%len(w.contested)]
	_, err := w.server.Do(context.Background(), root(w.key.InstitutionID, transition(id, escrow.StatePartiallyReleased, cents(a.Amount))))
	switch codeOf(err) {
	case "":
		w.won[id] += a.Amount
		w.entries++
	case escrow.CodeTransitionAmount:
	default:
		w.complain("act %d, %+v: %v", number, a, err)
	}
}

// Several tellers in two institutions work at once, through one engine or two:
// each is answered as the model says, and at the end the tables are what the
// journals tell.
func TestTellersAreAnsweredAsTheModelSays(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		rapid.Check(t, func(t *rapid.T) {
			var tellers []*teller
			var institutions []escrow.InstitutionID
			for i := range 2 {
				servers[i].t = t
				of := servers[i].institution()
				institutions = append(institutions, of)
				tellers = append(tellers, hire(servers, of, 2)...)
			}
			before := make(map[escrow.InstitutionID]int)
			for _, of := range institutions {
				before[of] = len(servers[0].journal(of, escrow.EntryFilter{}))
			}
			var busy sync.WaitGroup
			for i, w := range tellers {
				acts := rapid.SliceOfN(acts(), 10, 30).Draw(t, fmt.Sprint("acts of teller ", i))
				busy.Go(func() { w.work(acts) })
			}
			busy.Wait()

			added, contested := make(map[escrow.InstitutionID]int), make(map[escrow.PositionID]int64)
			for _, w := range tellers {
				if len(w.complaints) > 0 {
					t.Errorf("%s", strings.Join(w.complaints, "\n"))
				}
				added[w.key.InstitutionID] += w.entries
				for id, amount := range w.won {
					contested[id] += amount
				}
			}
			for _, of := range institutions {
				entries := servers[1].checkJournal(of)
				if got := len(entries) - before[of]; got != added[of] {
					t.Errorf("%d entries were added, and %d commands accepted", got, added[of])
				}
				checkPositions(t, servers[0], of, tellers, contested)
			}
		})
	})
}

// hire prepares tellers of an institution, with two positions that they contest.
func hire(servers [2]*server, of escrow.InstitutionID, count int) []*teller {
	regions := []string{"US", "SG"}
	shared := servers[0].assetOf(of, "UAE", "CONSTR_ESCROW", `{"currency":"USD"}`)
	var contested []escrow.PositionID
	for range 2 {
		id := accept[escrow.Position](servers[0], root(of, createPosition(shared, "contested", "50"))).ID
		accept[escrow.Position](servers[0], root(of, transition(id, escrow.StateFunded, "")))
		contested = append(contested, id)
	}
	var tellers []*teller
	for i := range count {
		s := servers[i%2]
		key, _ := s.key(of, escrow.RoleAdmin, nil)
		tellers = append(tellers, &teller{
			server: s, name: fmt.Sprintf("teller %d of %s", i, of), region: regions[i], key: key, active: true,
			assets: [2]escrow.AssetID{
				s.assetOf(of, regions[i], "CONSTR_ESCROW", `{"currency":"USD"}`),
				s.assetOf(of, regions[i], "CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":10}`),
			},
			model: make(map[escrow.PositionID]*modelPosition), contested: contested, won: make(map[escrow.PositionID]int64),
		})
	}
	return tellers
}

// checkPositions compares an institution's positions with the model's.
func checkPositions(
	t *rapid.T, s *server, of escrow.InstitutionID, tellers []*teller, contested map[escrow.PositionID]int64,
) {
	t.Helper()
	known := make(map[escrow.PositionID]*modelPosition)
	for _, w := range tellers {
		if w.key.InstitutionID != of {
			continue
		}
		maps.Copy(known, w.model)
	}
	for _, position := range s.tables(of).Positions {
		if position.HolderReference == "contested" {
			if int64(position.Released) != contested[position.ID] {
				t.Errorf("of a contested position %d were released, and those who released were told of %d", position.Released, contested[position.ID])
			}
			continue
		}
		if model, ok := known[position.ID]; !ok || !model.matches(position) {
			t.Errorf("the position is %+v, want %+v", position, model)
		}
		delete(known, position.ID)
	}
	if len(known) > 0 {
		t.Errorf("positions that were acknowledged are missing: %+v", known)
	}
}
