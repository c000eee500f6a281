package partner_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

const (
	publicAddr  = "/ip4/192.0.2.1/tcp/1"
	otherAddr   = "/ip4/192.0.2.2/tcp/1"
	privateAddr = "/ip4/10.0.0.1/tcp/1"
)

func TestOnlyTheNewestPresenceCounts(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card := globex.card(nil)
	h.has(file(t, card, globex.presence(card, in(0), publicAddr)), "globex")
	where := func() []string {
		p, err := h.ByAlias("globex")
		check(t, err)
		return p.Addresses(globex.nodeID())
	}
	for _, older := range []int64{in(0), in(-time.Second)} {
		check(t, h.learn(globex.id(), file(t, card, globex.presence(card, older, otherAddr))))
		h.has(file(t, card, globex.presence(card, older, otherAddr)), "")
	}
	if got := where(); !slices.Equal(got, []string{publicAddr}) {
		t.Errorf("after an older presence: %v", got)
	}
	both := file(t, card, globex.presence(card, in(2*time.Second), otherAddr), globex.presence(card, in(time.Second), publicAddr))
	check(t, h.learn(globex.id(), both))
	if got := where(); !slices.Equal(got, []string{otherAddr}) {
		t.Errorf("after a newer presence: %v", got)
	}
	future := file(t, card, globex.presence(card, in(49*time.Hour), publicAddr))
	if err := h.learn(globex.id(), future); record.KindOf(err) != record.Invalid {
		t.Errorf("a presence from the future: %v", err)
	}
	if got := where(); !slices.Equal(got, []string{otherAddr}) {
		t.Errorf("after one from the future: %v", got)
	}
	// The presence names its card, so it goes with it.
	check(t, h.learn(globex.id(), file(t, globex.after(card, nil))))
	if got := where(); got != nil {
		t.Errorf("after a newer card: %v", got)
	}
}

func TestOnlyAddressesOnThePresenceAreDialled(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	card := globex.card(nil)
	h.has(file(t, card, globex.presence(card, in(0), publicAddr)), "globex")
	h.has(file(t, acme.card(nil)), "acme")
	may := func(o *org, addr string, want bool) {
		t.Helper()
		if h.MayDial(o.nodeID(), addr) != want {
			t.Errorf("MayDial(%s) is %v", addr, !want)
		}
	}
	may(globex, publicAddr, true)
	may(globex, otherAddr, false)
	may(globex, publicAddr+"0", false)
	may(globex, privateAddr, false)
	may(acme, publicAddr, false)
	may(newOrg(t), publicAddr, false)
	// A partner can't send us into our own network.
	check(t, h.learn(globex.id(), file(t, card, globex.presence(card, in(time.Second), privateAddr, otherAddr))))
	may(globex, privateAddr, false)
	may(globex, otherAddr, true)
	may(globex, publicAddr, false)
	// Unless a person accepted a card that says so.
	h.has(file(t, card, globex.presence(card, in(2*time.Second), privateAddr)), "")
	may(globex, privateAddr, true)
	h.reopen()
	may(globex, privateAddr, true)
	h.set("globex", partner.Suspended)
	may(globex, privateAddr, false)
}

func TestTheGateAnswersAlikeForAllThatAreNotActive(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card := globex.card(nil)
	node := globex.nodeID()
	_, unknown := h.ByNode(node)
	closed := func(what string) {
		t.Helper()
		_, err := h.ByNode(node)
		if h.Admit(node) || h.MayDial(node, publicAddr) || record.KindOf(err) != record.Refused || err.Error() != unknown.Error() {
			t.Errorf("%s: the gate is open, or says %v", what, err)
		}
		err = h.store.View(t.Context(), func(tx blobstore.ReadTx) error { return partner.Require(tx, globex.id(), today) })
		stranger := h.store.View(t.Context(), func(tx blobstore.ReadTx) error { return partner.Require(tx, newOrg(t).id(), today) })
		if record.KindOf(err) != record.Refused || err.Error() != stranger.Error() {
			t.Errorf("%s: %v, and of a stranger %v", what, err, stranger)
		}
	}
	open := func(what string) {
		t.Helper()
		if !h.Admit(node) || !h.MayDial(node, publicAddr) {
			t.Errorf("%s: the gate is closed", what)
		}
	}
	closed("unknown")
	h.has(file(t, card, globex.presence(card, in(0), publicAddr)), "globex")
	open("added")
	h.set("globex", partner.Suspended)
	closed("suspended")
	h.set("globex", partner.Active)
	open("resumed")
	h.set("globex", partner.Removed)
	closed("removed")
	h.has(file(t, card), "globex")
	open("added again")
}

func TestOfACardTheFirstNodesGetIn(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	signers := globex.signers()[:2] // root and signing key
	var nodes []record.NodeID
	for range 16 {
		globex.node = newKey(t)
		nodes = append(nodes, globex.nodeID())
		signers = append(signers, signWith(globex.node))
	}
	body := globex.body(func(c *record.Card) { c.Nodes = nodes })
	h.has(file(t, globex.signCard(body, append(signers, globex.signAccount)...)), "globex")
	for i, node := range nodes {
		if got, want := h.Admit(node), i < 3; got != want {
			t.Errorf("node %d of 16 gets in: %t", i+1, got)
		}
	}
}

func TestEachNodeThatTheGateShutsOutIsTold(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	var told []record.NodeID
	h.OnShut = func(node record.NodeID) {
		if h.Admit(node) {
			t.Errorf("%s is still let in", node)
		}
		told = append(told, node)
	}
	shut := func(what string, want ...record.NodeID) {
		t.Helper()
		if !slices.Equal(told, want) {
			t.Errorf("%s: told of %v, not of %v", what, told, want)
		}
		told = nil
	}
	h.has(file(t, acme.card(nil)), "acme")
	first := globex.card(nil)
	h.has(file(t, first), "globex")
	second := globex.after(first, nil)
	check(t, h.learn(globex.id(), file(t, second)))
	check(t, h.Seen(t.Context(), globex.id()))
	shut("a card with the same node")
	before := globex.nodeID()
	globex.node = newKey(t)
	third := globex.after(second, nil)
	check(t, h.learn(globex.id(), file(t, third)))
	shut("a card with another node", before)
	h.set("globex", partner.Suspended)
	shut("suspended", globex.nodeID())
	globex.node = newKey(t)
	h.has(file(t, globex.after(third, nil)), "") // a person may bring it
	shut("another card of one who is suspended")
	h.set("globex", partner.Active)
	shut("resumed")
	h.set("globex", partner.Removed)
	shut("removed", globex.nodeID())
}

func TestAnExpiredPartnerMayOnlyBringANewCard(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	card := globex.card(nil)
	h.has(file(t, card), "globex")
	h.now = today.Add(2 * time.Hour)
	err := h.store.View(t.Context(), func(tx blobstore.ReadTx) error { return partner.Require(tx, globex.id(), h.now) })
	if p, _ := h.ByAlias("globex"); !p.Expired(h.now) || record.KindOf(err) != record.Refused {
		t.Errorf("an expired partner may send: %v", err)
	}
	if !h.Admit(globex.nodeID()) {
		t.Error("an expired partner can't bring a new card")
	}
	check(t, h.learn(globex.id(), file(t, globex.after(card, func(c *record.Card) { c.Expires = in(9 * time.Hour) }))))
	check(t, h.store.View(t.Context(), func(tx blobstore.ReadTx) error { return partner.Require(tx, globex.id(), h.now) }))
}

func TestARemovedPartnerCanComeBack(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	first := globex.card(nil)
	second := globex.after(first, nil)
	h.has(file(t, second), "globex")
	h.set("globex", partner.Removed)
	if _, err := h.ByAlias("globex"); record.KindOf(err) != record.NotFound || len(h.List()) != 0 {
		t.Errorf("a removed partner is listed: %v", err)
	}
	if _, err := h.SetState(t.Context(), "globex", partner.Active, nil); record.KindOf(err) != record.NotFound {
		t.Errorf("a removed partner is resumed: %v", err)
	}
	h.has(file(t, acme.card(nil)), "globex") // the alias is free
	if _, err := h.add(file(t, second), ""); record.KindOf(err) != record.Conflict {
		t.Errorf("it comes back under an alias that belongs to another by now: %v", err)
	}
	if _, err := h.add(file(t, first), "back"); record.KindOf(err) != record.Conflict {
		t.Errorf("it comes back with an older card: %v", err)
	}
	p := h.has(file(t, second), "back")
	if p.State != partner.Active || p.Alias != "back" {
		t.Errorf("it came back as %+v", p)
	}
	if acme, err := h.ByAlias("globex"); err != nil || acme.Org == p.Org {
		t.Errorf("the alias now belongs to %v (%v)", acme.Org, err)
	}
}

func TestTheAliasOfARemovedPartnerStaysWithWhoTookIt(t *testing.T) {
	h, globex, acme, third := newHome(t), newOrg(t), newOrg(t), newOrg(t)
	h.has(file(t, globex.card(nil)), "x")
	stale := h.open(h.store)
	h.set("x", partner.Removed)
	h.has(file(t, acme.card(nil)), "x")
	// Its last connection ends, and another process has not heard of it yet.
	check(t, h.Seen(t.Context(), globex.id()))
	for _, s := range []partner.State{partner.Removed, partner.Suspended, partner.Active} {
		if _, err := stale.SetState(t.Context(), "x", s, nil); record.KindOf(err) != record.NotFound {
			t.Errorf("a partner that was removed meanwhile becomes %s: %v", s, err)
		}
	}
	if _, err := h.add(file(t, third.card(nil)), "x"); record.KindOf(err) != record.Conflict {
		t.Errorf("two partners have one alias: %v", err)
	}
	if p, err := h.ByAlias("x"); err != nil || p.Org != acme.id() || p.State != partner.Active {
		t.Errorf("the alias belongs to %v (%v)", p.Org, err)
	}
}

func TestTheBookSurvivesReopening(t *testing.T) {
	h := newHome(t)
	var orgs []*org
	for i, alias := range []string{"a", "b", "c", "d"} {
		o := newOrg(t)
		card := o.card(nil)
		h.has(file(t, card, o.presence(card, in(0), publicAddr)), alias)
		orgs = append(orgs, o)
		if i%2 == 0 {
			check(t, h.Seen(t.Context(), o.id()))
		}
	}
	h.set("b", partner.Suspended)
	h.set("c", partner.Removed)
	before := h.List()
	h.reopen()
	if !same(before, h.List()) || len(before) != 3 {
		t.Errorf("%d partners became %d, or others", len(before), len(h.List()))
	}
	for i, want := range []bool{true, false, false, true} {
		if h.Admit(orgs[i].nodeID()) != want {
			t.Errorf("the gate for partner %d is not as it was", i)
		}
	}
	if p, err := h.ByOrg(orgs[2].id()); err != nil || p.State != partner.Removed {
		t.Errorf("the removed partner is %s (%v)", p.State, err)
	}
}

func TestTwoBooksOverOneJournalSeeEachOthersChanges(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	states := make(chan partner.State, 16)
	other, err := partner.Open(t.Context(), partner.Config{
		Journal: h.store, Keys: h.keys, Now: func() time.Time { return today }, IsPrivate: func(string) bool { return false },
		OnState: func(p partner.Partner) { states <- p.State },
	})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	defer func() { cancel(); check(t, <-done) }()
	h.has(file(t, globex.card(nil)), "globex")
	_, err = other.SetState(t.Context(), "globex", partner.Suspended, nil) // it reads what was there before
	for record.KindOf(err) == record.NotFound {
		<-time.After(time.Millisecond) // until Run has seen the card
		_, err = other.SetState(t.Context(), "globex", partner.Suspended, nil)
	}
	check(t, err)
	if s := <-states; s != partner.Suspended {
		t.Errorf("the other book calls it %s", s)
	}
	h.Book = h.open(h.store)
	h.set("globex", partner.Active)
	if s := <-states; s != partner.Active || !other.Admit(globex.nodeID()) {
		t.Errorf("the other book calls it %s", s)
	}
	h.set("globex", partner.Removed)
	if s := <-states; s != partner.Removed || other.Admit(globex.nodeID()) {
		t.Errorf("the other book calls it %s", s)
	}
}

// slowJournal is a journal whose next view ends only when it may.
type slowJournal struct {
	blobstore.Journal
	slow    chan chan struct{} // holds the view's leave to end, once
	started chan struct{}
}

func (j *slowJournal) View(ctx context.Context, fn func(blobstore.ReadTx) error) error {
	err := j.Journal.View(ctx, fn)
	select {
	case leave := <-j.slow:
		close(j.started)
		<-leave
	default:
	}
	return err
}

func TestASlowReaderDoesNotOpenTheGateAgain(t *testing.T) {
	h, globex := newHome(t), newOrg(t)
	h.has(file(t, globex.card(nil)), "globex")
	slow := &slowJournal{h.store, make(chan chan struct{}, 1), make(chan struct{})}
	b := h.open(slow)
	leave, seen, set := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	slow.slow <- leave
	go func() { seen <- b.Seen(t.Context(), globex.id()) }()
	<-slow.started // it has read an active partner, and not told the book yet
	go func() {
		_, err := b.SetState(t.Context(), "globex", partner.Suspended, nil)
		set <- err
	}()
	var err error
	select {
	case err = <-set: // the book has it, and must not forget it
		set <- err
	case <-time.After(200 * time.Millisecond): // it waits for the reader
	}
	close(leave)
	check(t, <-seen)
	check(t, <-set)
	if b.Admit(globex.nodeID()) {
		t.Error("a suspended partner passes the gate")
	}
}

func TestADamagedRowLeavesTheBookAsItWas(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	h.has(file(t, globex.card(nil)), "globex")
	h.has(file(t, acme.card(nil)), "acme")
	before := h.List()
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		for e, err := range tx.Scan("p/o/", "", false) {
			if err != nil {
				return err
			}
			return tx.Set(e.Key, []byte("{}"))
		}
		return nil
	}))
	if err := h.Seen(t.Context(), newOrg(t).id()); err == nil {
		t.Error("a stranger was seen")
	}
	for _, o := range []*org{globex, acme} {
		if err := h.Seen(t.Context(), o.id()); record.KindOf(err) != record.Damaged {
			t.Errorf("a damaged row gives %v", err)
		}
	}
	if len(h.List()) != len(before) || !h.Admit(globex.nodeID()) || !h.Admit(acme.nodeID()) {
		t.Error("what can't be read took other partners with it")
	}
	if _, err := partner.Open(t.Context(), h.Config); record.KindOf(err) != record.Damaged {
		t.Errorf("the book opens all the same: %v", err)
	}
}

func TestOurCardFileIsSignedAnewOnlyWhenItMust(t *testing.T) {
	h := newHome(t)
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		_, err := partner.Init(tx, h.keys, "Acme", today)
		return err
	}))
	h.Book = h.open(h.store)
	signed := func(addr string) record.RecordID {
		f, err := h.CardFile([]string{addr})
		check(t, err)
		return f.Presence[0].ID()
	}
	first := signed(publicAddr)
	if signed(publicAddr) != first {
		t.Error("signed anew without need")
	}
	if signed(otherAddr) == first {
		t.Error("not signed anew for another address")
	}
	second := signed(publicAddr)
	h.now = today.Add(25 * time.Hour)
	if signed(publicAddr) == second {
		t.Error("not signed anew after a day")
	}
}

// TestAPresenceOfAWrongClockIsMadeAnew has the clock be years ahead when the first
// one is made, and put right while the book is open.
func TestAPresenceOfAWrongClockIsMadeAnew(t *testing.T) {
	h, other := newHome(t), newHome(t)
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		_, err := partner.Init(tx, h.keys, "Acme", today)
		return err
	}))
	h.Book = h.open(h.store)
	for _, wrong := range []time.Duration{10 * 365 * 24 * time.Hour, 24 * time.Hour, 0} {
		h.now = today.Add(wrong)
		was, err := h.CardFile([]string{publicAddr})
		check(t, err)
		h.now = today
		for _, addr := range []string{publicAddr, otherAddr} {
			own, err := h.CardFile([]string{addr})
			check(t, err)
			if ahead := own.Presence[0].Body.Created - today.UnixMilli(); ahead > 48*time.Hour.Milliseconds() {
				t.Errorf("from a clock %s ahead: %s, %d ms ahead", wrong, addr, ahead)
			}
			if wrong <= 48*time.Hour && own.Presence[0].Body.Created < was.Presence[0].Body.Created {
				t.Errorf("%s: a partner keeps what it has", addr)
			}
			data, err := own.File().Bytes()
			check(t, err)
			if _, err := other.add(data, "acme"); err != nil {
				t.Errorf("from a clock %s ahead: %v", wrong, err)
			}
		}
	}
}

// TestAPresenceIsLaterThanThatBeforeARestart has the clock be set back while the
// book is closed.
func TestAPresenceIsLaterThanThatBeforeARestart(t *testing.T) {
	h, other := newHome(t), newHome(t)
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		_, err := partner.Init(tx, h.keys, "Acme", today)
		return err
	}))
	h.Book = h.open(h.store)
	shown := func(addr string) []string {
		own, err := h.CardFile([]string{addr})
		check(t, err)
		data, err := own.File().Bytes()
		check(t, err)
		p := other.has(data, "acme")
		return p.Addresses(p.Card.Body.Nodes[0])
	}
	h.now = today.Add(10 * time.Hour)
	shown(publicAddr)
	h.now = today
	h.reopen()
	if got := shown(otherAddr); !slices.Equal(got, []string{otherAddr}) {
		t.Errorf("a partner has the addresses %q", got)
	}
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error { return tx.Set("p/presence", []byte("damaged")) }))
	h.reopen() // and opens
}

func TestNoTwoOfOurPresencesAreOfTheSameTime(t *testing.T) {
	h := newHome(t)
	check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
		_, err := partner.Init(tx, h.keys, "Acme", today)
		return err
	}))
	h.Book = h.open(h.store)
	h.Now = func() time.Time {
		runtime.Gosched() // lets whoever else makes a card file go on
		return today
	}
	var made [2][]record.Signed[record.Presence]
	var callers sync.WaitGroup
	for i, addr := range []string{publicAddr, otherAddr} {
		callers.Go(func() {
			for range 300 {
				f, err := h.CardFile([]string{addr})
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = append(made[i], f.Presence...)
			}
		})
	}
	callers.Wait()
	at := map[int64]record.RecordID{}
	for _, p := range slices.Concat(made[:]...) {
		other, ok := at[p.Body.Created]
		if ok && other != p.ID() {
			t.Fatalf("two that differ were made at %d: who has one of them never takes the other", p.Body.Created)
		}
		at[p.Body.Created] = p.ID()
	}
}

func TestAStandingThatAnotherVersionDidNotWriteIsWrittenAnew(t *testing.T) {
	h, globex, acme := newHome(t), newOrg(t), newOrg(t)
	h.has(file(t, globex.card(nil)), "globex")
	h.has(file(t, acme.card(nil)), "acme")
	required := func(o *org) (err error) {
		check(t, h.store.View(t.Context(), func(tx blobstore.ReadTx) error {
			err = partner.Require(tx, o.id(), h.Now())
			return nil
		}))
		return err
	}
	for i, was := range []string{"", `{"state":"suspended","expires":1}`, `{}`} {
		check(t, h.store.Update(t.Context(), func(tx blobstore.Tx) error {
			for e, err := range tx.Scan("p/s/", "", false) {
				if err != nil {
					return err
				}
				if was == "" {
					err = tx.Delete(e.Key)
				} else {
					err = tx.Set(e.Key, []byte(was))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}))
		if required(globex) == nil {
			t.Fatalf("%d: the standing does not count", i)
		}
		h.open(h.store)
		if g, a := required(globex), required(acme); g != nil || a != nil {
			t.Errorf("%d: after a start: %v, %v", i, g, a)
		}
	}
}
