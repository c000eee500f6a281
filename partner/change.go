package partner

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

// Add accepts a card that a person was handed, under an alias. A newer card of
// a known partner takes the place of the older; its alias stays, and may be
// left empty here. A partner that was removed comes back.
func (b *Book) Add(ctx context.Context, file record.OpenedCardFile, alias string) (Partner, error) {
	return b.accept(ctx, file, b.adding(file, alias))
}

// errWouldAdd ends an update that was only tried.
var errWouldAdd = errors.New("the card would be accepted")

// MayAdd tells whether Add would accept the card under this alias by now, and
// changes nothing.
func (b *Book) MayAdd(ctx context.Context, file record.OpenedCardFile, alias string) error {
	add := b.adding(file, alias)
	_, err := b.accept(ctx, file, func(tx blobstore.Tx, r *row, known, fresh bool) error {
		if err := add(tx, r, known, fresh); err != nil {
			return err
		}
		return errWouldAdd
	})
	if errors.Is(err, errWouldAdd) {
		return nil
	}
	return err
}

// adding completes the row of a card that a person accepts under an alias.
func (b *Book) adding(file record.OpenedCardFile, alias string) func(tx blobstore.Tx, r *row, known, fresh bool) error {
	return func(tx blobstore.Tx, r *row, known, _ bool) error {
		if !known || r.State == Removed {
			r.Added, r.State = b.Now().UnixMilli(), Active
			if alias != "" {
				r.Alias = alias
			}
		}
		if err := checkAliasOf(tx, r, alias); err != nil {
			return err
		}
		r.Private = r.Private || slices.ContainsFunc(file.Addresses(), b.IsPrivate)
		return nil
	}
}

// checkAliasOf tells whether the row's alias is its own.
func checkAliasOf(tx blobstore.Tx, r *row, alias string) error {
	if alias != "" {
		if err := CheckAlias(alias); err != nil {
			return err
		}
	}
	if r.Alias == "" {
		return record.WithHint(record.Errorf(record.Invalid, "a new partner needs an alias"), "add --alias NAME")
	}
	if alias != "" && alias != r.Alias {
		return record.WithHint(record.Errorf(record.Conflict, "this organisation is known as %q already", r.Alias),
			"leave out --alias, or remove the partner first")
	}
	owner, err := tx.Get(aliasKey(tx, r.Alias))
	if record.KindOf(err) == record.NotFound {
		return nil
	}
	if err == nil && string(owner) != string(r.Org.Key()) {
		err = record.WithHint(record.Errorf(record.Conflict, "the alias %q belongs to another partner", r.Alias),
			"choose another alias with --alias")
	}
	return err
}

// Learn takes over a card and presences that an active partner sent of itself
// over an authenticated connection. An error of kind Quota says that they hold,
// and that the card is refused for now, since the partner brings too many.
func (b *Book) Learn(ctx context.Context, org record.OrgID, file record.OpenedCardFile) error {
	if file.Card.Body.Org != org {
		return record.Errorf(record.Refused, "a partner sent another organisation's card")
	}
	if b.has(org, file) {
		return nil // as on most connects
	}
	// One after the other, or each update would meet what the one before it wrote
	// and the book has not read yet, and verify it while all others wait.
	turn, _ := b.turns.LoadOrStore(org, &sync.Mutex{})
	turn.(*sync.Mutex).Lock()
	defer turn.(*sync.Mutex).Unlock()
	if b.has(org, file) {
		return nil // by another hello, a moment ago
	}
	known, err := b.ByOrg(org)
	if err == nil && known.Card.ID() == file.Card.ID() {
		_, err := b.accept(ctx, file, func(_ blobstore.Tx, r *row, known, _ bool) error { return r.mayLearn(known) })
		return err
	}
	return b.learnCard(ctx, org, file)
}

// has tells whether nothing in the file of an active partner is new.
func (b *Book) has(org record.OrgID, file record.OpenedCardFile) bool {
	p, err := b.ByOrg(org)
	return err == nil && p.State == Active && p.has(file)
}

// mayLearn tells whether the row is there, and of an active partner.
func (r *row) mayLearn(known bool) error {
	if !known || r.State != Active {
		return errNotActive()
	}
	return nil
}

// learnCard is Learn of a new card, at the partner's pace.
func (b *Book) learnCard(ctx context.Context, org record.OrgID, file record.OpenedCardFile) error {
	b.learning.Lock()
	defer b.learning.Unlock()
	now, spent := b.Now(), 0
	_, err := b.accept(ctx, file, func(_ blobstore.Tx, r *row, known, fresh bool) error {
		spent = 0
		if err := r.mayLearn(known); err != nil || !fresh {
			return err // by another hello, a moment ago
		}
		spent = 1
		return b.paces.check(org, spent, now)
	})
	if err == nil {
		b.paces.spend(org, spent, now)
	}
	return err
}

// accept checks a card file and writes it, once more has agreed and completed
// the row; an identical row is not written again. more is told whether there
// was a row, and whether the card is a new one.
func (b *Book) accept(ctx context.Context, file record.OpenedCardFile, more func(tx blobstore.Tx, r *row, known, fresh bool) error) (Partner, error) {
	card := file.Card
	if err := b.checkCard(card); err != nil {
		return Partner{}, err
	}
	if err := b.checkPresence(file.Presence); err != nil {
		return Partner{}, err
	}
	org := card.Body.Org
	err := b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		r := rawRow{row: row{Org: org}}
		old, err := getRow(tx, org)
		known := err == nil
		if known {
			r = old
		} else if record.KindOf(err) != record.NotFound {
			return err
		}
		fresh := !known || old.Card.ID() != card.ID()
		if fresh {
			if err := b.checkKeys(tx, card); err != nil {
				return err
			}
		}
		if err := r.take(file, known, b.opened()[org].Partner); err != nil {
			return err
		}
		if err := more(tx, &r.row, known, fresh); err != nil {
			return err
		}
		if fresh {
			if err := tx.Set(cardKey(tx, card.ID()), card.Bytes()); err != nil {
				return err
			}
		}
		return b.put(tx, r)
	})
	if err != nil {
		return Partner{}, err
	}
	if err := b.reload(ctx); err != nil {
		return Partner{}, err
	}
	return b.ByOrg(org)
}

// checkCard holds the rules that need our own card and the clock.
func (b *Book) checkCard(card record.Signed[record.Card]) error {
	now := b.Now()
	if card.Body.Org == b.Self().Body.Org {
		return record.WithHint(record.Errorf(record.Conflict, "this is your own organisation's card"),
			"ask the other organisation for the file that its `dxd card` prints")
	}
	if now.UnixMilli() >= card.Body.Expires {
		return record.WithHint(record.Errorf(record.Invalid, "the card expired on %s", time.UnixMilli(card.Body.Expires).UTC().Format(time.DateOnly)),
			"ask for a new one (`dxd card renew` on their side)")
	}
	for _, r := range card.Body.Recipients {
		if err := crypto.CheckRecipient(r); err != nil {
			return err
		}
	}
	return nil
}

// maxAhead is how far a partner's clock may be ahead of ours.
const maxAhead = 48 * time.Hour

// checkPresence refuses presences from the future, which no later one could
// ever replace.
func (b *Book) checkPresence(list []record.Signed[record.Presence]) error {
	for _, p := range list {
		if b.fromTheFuture(p.Body.Created) {
			return record.WithHint(record.Errorf(record.Invalid, "a presence from the future"), "compare the clocks of both machines")
		}
	}
	return nil
}

// checkKeys refuses a card that holds a key, node or account of our own or of
// another partner: it would act, or be acted for, as somebody else. That a recipient
// key stands on another partner's card says nothing: anybody can copy one, and could
// keep its owner's card out by it. The others' cards are not verified anew: it runs
// where all other updates wait.
func (b *Book) checkKeys(tx blobstore.ReadTx, card record.Signed[record.Card]) error {
	keys := card.Body.Keys()
	have := func(others []string) bool {
		return slices.ContainsFunc(others, func(k string) bool { return slices.Contains(keys, k) })
	}
	if have(b.Self().Body.Keys()) {
		return record.Errorf(record.Conflict, "the card holds a key of your own organisation")
	}
	rows, err := scanRows(tx)
	if err != nil {
		return err
	}
	known := b.opened()
	for _, r := range rows {
		if r.Org == card.Body.Org {
			continue
		}
		other := known[r.Org]
		if other.raw != r.raw {
			if other.Partner, err = r.open(other.Partner); err != nil {
				return err
			}
		}
		if have(other.Card.Body.ProvenKeys()) {
			return record.Errorf(record.Conflict, "the card holds a key of another partner (%s)", r.Alias)
		}
	}
	return nil
}

// take puts a newer card and newer presences into the row. opened is what the book
// holds of it: it is not verified anew, where all other updates wait.
func (r *rawRow) take(file record.OpenedCardFile, known bool, opened Partner) error {
	card := file.Card
	var presence []record.Signed[record.Presence]
	if known {
		old, err := r.open(opened)
		if err != nil {
			return err
		}
		if err := succeeds(old.Card, card); err != nil {
			return err
		}
		if old.Card.ID() == card.ID() {
			presence = old.Presence
		}
	}
	r.Card, r.Expires = card.Envelope, card.Body.Expires
	r.Presence = []record.Envelope{}
	for _, p := range mergePresence(card, presence, file.Presence) {
		r.Presence = append(r.Presence, p.Envelope)
	}
	return nil
}

// succeeds tells whether next can take the place of the known card, or is it.
func succeeds(known, next record.Signed[record.Card]) error {
	k, n := known.Body.Serial, next.Body.Serial
	switch {
	case next.ID() == known.ID():
		return nil
	case n < k:
		return record.WithHint(record.Errorf(record.Conflict, "the card has serial %d; a newer one, %d, is known", n, k),
			"ask for the file that `dxd card` prints now; one whose state was put back to an older copy has to renew its card past serial "+
				strconv.FormatInt(k+1, 10)+" first, with `dxd card renew`")
	case n == k:
		return alarm("two different cards with serial %d are signed by one root key", n)
	case n-k > record.MaxSerialJump:
		return alarm("the card's serial jumps from %d to %d", k, n)
	case n == k+1 && next.Body.Previous != known.ID():
		return alarm("card %d does not follow the card %d that is known", n, k)
	}
	return nil
}

// alarmError says that two signed cards contradict each other.
type alarmError struct{ error }

func (e alarmError) Unwrap() error { return e.error }

func alarm(format string, args ...any) error {
	return alarmError{record.WithHint(record.Errorf(record.Conflict, format, args...),
		"this must not happen: call the partner, over a line that you trust, before you go on")}
}

// IsAlarm tells whether a card was refused since it contradicts a known one:
// then the partner's root key is in other hands, too, or its memory is damaged.
func IsAlarm(err error) bool { return errors.As(err, new(alarmError)) }

// SetState suspends, resumes or removes a partner. What more does, in the same
// update, belongs to the change; it may be nil.
func (b *Book) SetState(ctx context.Context, alias string, s State, more func(tx blobstore.Tx, org record.OrgID) error) (Partner, error) {
	return b.setRow(ctx, alias, func(r *row) { r.State = s }, more)
}

// setRow has change change the row of a partner; more is that of SetState.
func (b *Book) setRow(ctx context.Context, alias string, change func(r *row), more func(tx blobstore.Tx, org record.OrgID) error) (Partner, error) {
	p, err := b.ByAlias(alias)
	if err != nil {
		return Partner{}, err
	}
	err = b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		r, err := getRow(tx, p.Org)
		if err != nil {
			return err
		}
		if r.State == Removed || r.Alias != p.Alias { // meanwhile, by another
			return record.Errorf(record.NotFound, "no partner has the alias %q any more", p.Alias)
		}
		change(&r.row)
		if err := b.put(tx, r); err != nil {
			return err
		}
		if more == nil {
			return nil
		}
		return more(tx, p.Org)
	})
	if err != nil {
		return Partner{}, err
	}
	if err := b.reload(ctx); err != nil {
		return Partner{}, err
	}
	return b.ByOrg(p.Org)
}

// Seen notes that the partner was connected just now. One that was removed
// meanwhile stays as it is.
func (b *Book) Seen(ctx context.Context, org record.OrgID) error {
	err := b.Journal.Update(ctx, func(tx blobstore.Tx) error {
		r, err := getRow(tx, org)
		if err != nil || r.State == Removed {
			return err
		}
		r.LastSeen = b.Now().UnixMilli()
		return r.put(tx)
	})
	if err != nil {
		return err
	}
	return b.reload(ctx)
}

// presenceValidity is how long a presence says to be good for. Addresses are
// used beyond it while nothing newer is known.
const presenceValidity = 30 * 24 * time.Hour

// presencePace is how often the same presence is signed anew.
const presencePace = 24 * time.Hour

// CardFile is what to hand to a partner: our card, and for each of our nodes a
// presence at these addresses. One that is only announced will be there, too,
// once it serves. They are signed anew only when something changed or a day
// has passed, so that a partner need not write them down at each connect.
func (b *Book) CardFile(addresses []string) (record.OpenedCardFile, error) {
	// Held until these are the last ones: two that are made after the same one
	// may be of the same time, and a partner that has one would refuse the other,
	// though it is shown that one for a day.
	b.presenting.Lock()
	defer b.presenting.Unlock()
	card := b.Self()
	file := record.OpenedCardFile{Card: card}
	for _, node := range card.Body.Nodes {
		if !slices.Contains(b.Keys.Keys(crypto.RoleNode), node.String()) {
			continue // its key has just gone, and the card without it comes
		}
		p, err := b.presenceOf(card.ID(), node, presenceIn(b.presence, node), addresses)
		if err != nil {
			return record.OpenedCardFile{}, err
		}
		file.Presence = append(file.Presence, p)
	}
	if err := b.present(file.Presence); err != nil {
		return record.OpenedCardFile{}, err
	}
	b.presence = file.Presence
	return file, nil
}

// latest is what the next presence has to be later than.
func (b *Book) latest() presented {
	if b.fromTheFuture(b.presented.Created) {
		return presented{}
	}
	return b.presented
}

// fromTheFuture tells whether a presence of this time is of a clock that was
// wrong: no partner takes it, nor any that is later.
func (b *Book) fromTheFuture(created int64) bool { return created > b.Now().Add(maxAhead).UnixMilli() }

// present notes how late these are, before anybody sees them. On a full disk it
// does without: that partners hear where we are counts for more.
func (b *Book) present(list []record.Signed[record.Presence]) error {
	latest := b.latest()
	for _, p := range list {
		latest.Created = max(latest.Created, p.Body.Created)
	}
	if latest == b.presented {
		return nil
	}
	raw, err := record.Marshal(latest)
	if err != nil {
		return record.Errorf(record.Internal, "couldn't encode the time of a presence: %w", err)
	}
	err = b.Journal.Update(context.Background(), func(tx blobstore.Tx) error { return tx.Set(keyPresence, raw) })
	if err != nil && record.KindOf(err) != record.Full {
		return err
	}
	b.presented = latest
	return nil
}

// presenceOf is the node's last presence, or a new one if that is needed.
func (b *Book) presenceOf(card record.RecordID, node record.NodeID, last record.Signed[record.Presence], addresses []string) (record.Signed[record.Presence], error) {
	now := b.Now()
	if b.fromTheFuture(last.Body.Created) {
		last = record.Signed[record.Presence]{}
	}
	fresh := now.Sub(time.UnixMilli(last.Body.Created)) < presencePace
	if fresh && last.Body.Card == card && slices.Equal(last.Body.Addresses, addresses) {
		return last, nil
	}
	// Later than the last one even if the clock was set back, or this process
	// has signed none yet: partners keep the latest.
	created := max(now.UnixMilli(), last.Body.Created+1, b.latest().Created+1)
	return b.Keys.SignPresence(record.Presence{
		Header:    record.Header{Card: card, Created: created},
		Node:      node,
		Addresses: addresses,
		Expires:   created + presenceValidity.Milliseconds(),
	})
}

func presenceIn(list []record.Signed[record.Presence], node record.NodeID) (last record.Signed[record.Presence]) {
	for _, p := range list {
		if p.Body.Node == node {
			return p
		}
	}
	return last
}
