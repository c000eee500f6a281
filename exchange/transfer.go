package exchange

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/google/uuid"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/record"
)

// Direction says which way a transfer goes.
type Direction string

// The directions. A notarisation goes nowhere.
const (
	In   Direction = "in"
	Out  Direction = "out"
	None Direction = "none"
)

// State is where a transfer stands.
type State string

// The states, as people and applications are told them. Sending is never
// stored: it is Queued while a stream for it is up.
const (
	Queued    State = "queued"
	Sending   State = "sending"
	Delivered State = "delivered"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Receiving State = "receiving"
	Received  State = "received"
	Accepted  State = "accepted" // by the recipient's application
	Refused   State = "refused"  // likewise
	Recorded  State = "recorded"
)

// laneOf is the lane in which items of this kind travel.
func laneOf(kind record.ItemKind) record.Lane {
	if kind == record.Document {
		return record.LaneDoc
	}
	return record.LaneMsg
}

// Said tells whether the recipient's application has spoken.
func (s State) Said() bool { return s == Accepted || s == Refused }

// across tells whether the recipient has the payload whole.
func (s State) across() bool { return s == Delivered || s == Received || s.Said() }

// Terminal tells whether the transfer's way has ended without delivery.
func (s State) Terminal() bool { return s == Failed || s == Cancelled }

// Transfer is the row of one document or message to or from one partner, of a
// bundle of messages, or of a notarisation. Times are in ms since 1970.
//
// The row of a small message that we send is written once, unless it is erased
// or held: as long as its state is "", it is where its bundle is, or waits for
// one.
type Transfer struct {
	ID        record.TransferID `json:"id"`
	Direction Direction         `json:"direction"`
	Partner   record.OrgID      `json:"partner,omitzero"`
	Kind      record.ItemKind   `json:"kind"`
	Name      string            `json:"name,omitzero"`
	MediaType string            `json:"media_type,omitzero"`
	Size      int64             `json:"size"` // unknownLength while it is on its way in, and its sender is still reading it
	Digest    record.Digest     `json:"digest,omitzero"`
	State     State             `json:"state"`
	Reason    string            `json:"reason,omitzero"`
	Created   int64             `json:"created"`
	Updated   int64             `json:"updated"`
	Expires   int64             `json:"expires,omitzero"`
	RequestID string            `json:"request_id,omitzero"`
	WireBytes int64             `json:"wire_bytes"`
	Ended     int64             `json:"ended,omitzero"`     // when its way ended
	Erased    int64             `json:"erased,omitzero"`    // when its payload was destroyed here
	ErasedBy  string            `json:"erased_by,omitzero"` // and what asked for it

	Payload      blobstore.FileID `json:"payload,omitzero"`
	SealedLength int64            `json:"sealed_length"`
	Reserved     int64            `json:"reserved,omitzero"` // of its sender's quota, while its length is not known
	BodyNonce    record.BodyNonce `json:"body_nonce,omitzero"`
	Ordinal      int64            `json:"ordinal,omitzero"` // its place in the lane's queue
	Record       record.RecordID  `json:"record,omitzero"`  // manifest or notarisation

	Items  int64             `json:"items,omitzero"`  // of a bundle: its messages
	Bundle record.TransferID `json:"bundle,omitzero"` // of a message from a partner: its carrier
	Index  int64             `json:"index,omitzero"`  // and its place in it
}

func newTransferID() record.TransferID { return record.TransferID(uuid.Must(uuid.NewV7())) }

// bundleKind is the kind of a payload of messages. It never leaves this room:
// to the outside a bundle is its messages.
const bundleKind record.ItemKind = "bundle"

// View is a transfer with what is known elsewhere, or changes too fast to be
// stored.
type View struct {
	Transfer
	carrier   Transfer // zero as long as a message waits for its bundle
	Alias     string   // the partner's, "" if it was removed
	BytesDone int64    // of the document
	Hold      Hold
	Asking    Asking
	Anchor    queue.State
}

// The room's keys. What stands behind x/t/ is a Transfer; x/n/ lists all by
// time; the others hold one thing each, so that it can be destroyed alone.
const (
	keyEpoch       blobstore.Key = "x/epoch"
	keyRestored    blobstore.Key = "x/restored"
	keyAdopted     blobstore.Key = "x/adopted"
	prefixRow      blobstore.Key = "x/t/" // <transfer>
	prefixTime     blobstore.Key = "x/n/" // <created><transfer>
	prefixKey      blobstore.Key = "x/f/" // <transfer>: the wrapped file key
	prefixOpening  blobstore.Key = "x/a/" // <transfer>: the opening's bytes
	prefixRecord   blobstore.Key = "x/m/" // <transfer>: manifest or notarisation
	prefixReceipt  blobstore.Key = "x/r/" // <transfer>/<n>: 0 is about all of a payload, 1 the word on one item
	prefixLast     blobstore.Key = "x/y/" // <transfer>: the last receipt about its manifest, if not the first
	prefixVoid     blobstore.Key = "x/v/" // <transfer>: the void that we signed
	prefixVoided   blobstore.Key = "x/w/" // <org>/<manifest>: its sender's void of it
	prefixVoidID   blobstore.Key = "x/x/" // <org>/<void>: its manifest
	prefixGivenUp  blobstore.Key = "x/0/" // <org>/<transfer>: that its sender gave it up before anything of it was here
	prefixFile     blobstore.Key = "x/b/" // <file>/<transfer>: that the transfer needs it
	prefixByID     blobstore.Key = "x/i/" // <record>: its transfer
	prefixRequest  blobstore.Key = "x/u/" // <request id>: its transfers
	prefixQueue    blobstore.Key = "x/o/" // <org>/<lane>/<ordinal>: what waits
	prefixHead     blobstore.Key = "x/h/" // <org>/<lane>: the last number that we gave
	prefixNumber   blobstore.Key = "x/k/" // <org>/<lane>/<epoch><sequence>: the manifest with the partner's number
	prefixRun      blobstore.Key = "x/6/" // <org>/<lane>/<epoch><sequence>: the other end of a run of those numbers, behind a gap
	prefixOpen     blobstore.Key = "x/j/" // <org>/<lane>/<epoch><sequence>: a number of ours that has not ended, its manifest
	prefixFormer   blobstore.Key = "x/s/" // <transfer>/<record>: a manifest or void of it that another took the place of
	prefixTail     blobstore.Key = "x/e/" // <org>/<lane>: the last of the partner's numbers
	prefixPush     blobstore.Key = "x/p/" // <org>/<record>: what the partner is to be told
	prefixShelf    blobstore.Key = "x/d/" // <shelf>/<time><transfer>: what is kept for some time
	prefixContent  blobstore.Key = "x/c/" // <transfer>: a message's body, or the sealed body of a bundle
	prefixMembers  blobstore.Key = "x/g/" // <bundle>: its messages
	prefixBundled  blobstore.Key = "x/q/" // <org>/<ordinal of its last message>: our bundle
	prefixPlace    blobstore.Key = "x/z/" // <org>/: the last ordinal in its queue of messages
	prefixHold     blobstore.Key = "x/1/" // <transfer>: who holds it, and since when
	prefixAsking   blobstore.Key = "x/2/" // <transfer>: what the two sides asked each other to erase
	prefixErasure  blobstore.Key = "x/3/" // <transfer>/in, /out: the partner's signed answer to that, and ours
	prefixReminded blobstore.Key = "x/5/" // <org>/: which restore of the partner's it was reminded after
	prefixAlarm    blobstore.Key = "x/l/" // <org>/: the alarms about it that were told not long ago
)

func rowKey(id record.TransferID) blobstore.Key     { return prefixRow + blobstore.Key(id[:]) }
func keyKey(id record.TransferID) blobstore.Key     { return prefixKey + blobstore.Key(id[:]) }
func openingKey(id record.TransferID) blobstore.Key { return prefixOpening + blobstore.Key(id[:]) }
func recordKey(id record.TransferID) blobstore.Key  { return prefixRecord + blobstore.Key(id[:]) }
func lastKey(id record.TransferID) blobstore.Key    { return prefixLast + blobstore.Key(id[:]) }
func voidKey(id record.TransferID) blobstore.Key    { return prefixVoid + blobstore.Key(id[:]) }
func contentKey(id record.TransferID) blobstore.Key { return prefixContent + blobstore.Key(id[:]) }
func membersKey(id record.TransferID) blobstore.Key { return prefixMembers + blobstore.Key(id[:]) }
func fileKey(id blobstore.FileID) blobstore.Key     { return prefixFile + blobstore.Key(id[:]) }

func timeKey(t Transfer) blobstore.Key {
	return prefixTime + bigEndian(t.Created) + blobstore.Key(t.ID[:])
}

// idIn reads the transfer at the end of a key.
func idIn(key blobstore.Key) record.TransferID {
	return record.TransferID([]byte(key[len(key)-len(record.TransferID{}):]))
}

func byRecordKey(tx blobstore.ReadTx, id record.RecordID) blobstore.Key {
	return prefixByID + tx.Index("record", id[:])
}

// voidedKey names its sender, too: a void says nothing of another's manifest.
func voidedKey(tx blobstore.ReadTx, sender record.OrgID, manifest record.RecordID) blobstore.Key {
	return orgKey(tx, prefixVoided, sender) + tx.Index("record", manifest[:])
}

// givenUpKey names its sender, too: an id means nothing without it.
func givenUpKey(tx blobstore.ReadTx, sender record.OrgID, id record.TransferID) blobstore.Key {
	return orgKey(tx, prefixGivenUp, sender) + blobstore.Key(id[:])
}

// voidIDKey finds a partner's void by its own id.
func voidIDKey(tx blobstore.ReadTx, sender record.OrgID, void record.RecordID) blobstore.Key {
	return orgKey(tx, prefixVoidID, sender) + tx.Index("record", void[:])
}

func orgKey(tx blobstore.ReadTx, prefix blobstore.Key, org record.OrgID) blobstore.Key {
	return prefix + tx.Index("org", org.Key()) + "/"
}

// laneKey is what the keys of a partner's lane begin with.
func laneKey(tx blobstore.ReadTx, prefix blobstore.Key, org record.OrgID, lane record.Lane) blobstore.Key {
	return orgKey(tx, prefix, org) + blobstore.Key(lane) + "/"
}

func bigEndian(n int64) blobstore.Key {
	return blobstore.Key(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func getTransfer(tx blobstore.ReadTx, id record.TransferID) (Transfer, error) {
	var t Transfer
	raw, err := tx.Get(rowKey(id))
	if record.KindOf(err) == record.NotFound {
		return t, errNoTransfer(id)
	}
	if err != nil {
		return t, err
	}
	if err := record.Load(raw, &t); err != nil {
		return t, record.Errorf(record.Damaged, "the row of transfer %s: %w", id, err)
	}
	return t, nil
}

// getItem is getTransfer for what may be shown to those outside.
func getItem(tx blobstore.ReadTx, id record.TransferID) (Transfer, error) {
	t, err := getTransfer(tx, id)
	if err == nil && t.Kind == bundleKind {
		return Transfer{}, errNoTransfer(id)
	}
	return t, err
}

func errNoTransfer(id record.TransferID) error {
	return record.WithHint(record.Errorf(record.NotFound, "no transfer %s", id), "`dxd transfers` lists them")
}

func (t Transfer) put(tx blobstore.Tx) error {
	raw, err := record.Marshal(t)
	if err != nil {
		return err
	}
	return tx.Set(rowKey(t.ID), raw)
}

// create writes a row that was not there, and what finds it.
func (t Transfer) create(tx blobstore.Tx) error {
	if _, err := tx.Get(rowKey(t.ID)); record.KindOf(err) != record.NotFound {
		return record.Errorf(record.Conflict, "transfer %s is there already", t.ID)
	}
	if t.Kind != bundleKind { // which nobody is shown
		if err := tx.Set(timeKey(t), nil); err != nil {
			return err
		}
	}
	if err := t.mark(tx); err != nil {
		return err
	}
	if err := recharge(tx, Transfer{}, t); err != nil {
		return err
	}
	return t.put(tx)
}

// end is the one change of state of a row after it was made.
func (x *Exchange) end(t *Transfer, s State, reason string) {
	t.State, t.Reason, t.Updated = s, reason, x.Now().UnixMilli()
}

// progress counts the bytes of a transfer that moves right now.
type progress struct {
	done  int64  // of the sealed body, at the recipient or on its way to it
	wire  int64  // over the wire in this attempt
	reset func() // ends the stream
}

// flight knows the transfers that move right now.
type flight struct {
	mu  sync.Mutex // guards of, what it points to, and off
	of  map[record.TransferID]*progress
	off map[record.TransferID]string // why the partner put off one that waits
}

// begin notes a stream for the transfer. The caller calls the function that it
// returns when the stream has ended.
func (f *flight) begin(id record.TransferID, reset func()) (p *progress, end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p = &progress{reset: reset}
	f.of[id] = p
	delete(f.off, id)
	return p, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.of[id] == p {
			delete(f.of, id)
		}
	}
}

// add counts n bytes over the wire, after which done of the body are across.
func (f *flight) add(p *progress, n, done int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.wire += n
	p.done = done
}

func (f *flight) get(id record.TransferID) (progress, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.of[id]; ok {
		return *p, true
	}
	return progress{}, false
}

// putOff notes what the partner said to the last attempt: not now. What it may
// say is a closed set.
func (f *flight) putOff(id record.TransferID, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch reason {
	case reasonFull, reasonQuota, reasonCard:
		f.off[id] = reason
	}
}

// whyOff is what the partner said, "" if it did not put the transfer off.
func (f *flight) whyOff(id record.TransferID) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.off[id]
}

// stop ends the stream of a transfer that is over, if there is one.
func (f *flight) stop(id record.TransferID) {
	f.mu.Lock()
	delete(f.off, id)
	f.mu.Unlock()
	if p, ok := f.get(id); ok {
		p.reset()
	}
}

// row reads the row of a transfer, or of a bundle.
func (x *Exchange) row(ctx context.Context, id record.TransferID) (t Transfer, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		t, err = getTransfer(tx, id)
		return err
	})
	return t, err
}

// Get finds one transfer.
func (x *Exchange) Get(ctx context.Context, id record.TransferID) (v View, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		t, err := getItem(tx, id)
		if err != nil {
			return err
		}
		v, err = x.view(tx, t)
		return err
	})
	return v, err
}

// view adds to a row what is known elsewhere.
func (x *Exchange) view(tx blobstore.ReadTx, t Transfer) (View, error) {
	c, _, err := x.carrier(tx, t)
	return x.viewOn(tx, t, c, err, &recent{held: true, asked: true})
}

// viewOn is view with what was found of the carrier.
func (x *Exchange) viewOn(tx blobstore.ReadTx, t, c Transfer, err error, last *recent) (View, error) {
	v := View{Anchor: queue.Unanchored}
	if v.Transfer, v.carrier, err = settledBy(tx, t, c, err); err != nil {
		return v, err
	}
	t = v.Transfer
	if last.held {
		if v.Hold, err = holdOf(tx, t.ID); err != nil {
			return v, err
		}
	}
	if last.asked {
		if v.Asking, err = askingOf(tx, t.ID); err != nil {
			return v, err
		}
	}
	if p, err := x.Book.ByOrg(t.Partner); err == nil {
		v.Alias = p.Alias
	}
	if !t.Record.IsZero() {
		if v.Anchor, err = last.anchorOf(tx, t.Record); err != nil {
			return v, err
		}
	}
	if t.State.across() {
		v.BytesDone = t.Size
	}
	if v.State == Queued {
		v.Reason = x.flight.whyOff(v.carrier.ID)
	}
	// One that has just ended has counted its bytes already.
	if p, moving := x.flight.get(v.carrier.ID); moving && (t.State == Queued || t.State == Receiving) {
		if t.State == Queued {
			v.State = Sending
		}
		v.WireBytes += p.wire
		if v.carrier.ID == t.ID {
			v.BytesDone = plainSoFar(p.done)
			if t.Size != unknownLength {
				v.BytesDone = min(v.BytesDone, t.Size)
			}
		}
	}
	return v, nil
}

// Filter says which transfers to list. Zero values mean all.
type Filter struct {
	Direction Direction
	Partner   record.OrgID
	State     State
	Limit     int               // 100 unless set
	After     record.TransferID // begin with the next older one
}

// maxList is the most transfers in one page.
const maxList = 1000

func (f Filter) matches(v View) bool {
	return (f.Direction == "" || f.Direction == v.Direction) &&
		(f.Partner.IsZero() || f.Partner == v.Partner) &&
		(f.State == "" || f.State == v.State)
}

// List gives transfers, newest first.
func (x *Exchange) List(ctx context.Context, f Filter) (page []View, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, maxList)
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) (err error) {
		page, err = x.list(ctx, tx, f)
		return err
	})
	return page, err
}

func (x *Exchange) list(ctx context.Context, tx blobstore.ReadTx, f Filter) ([]View, error) {
	page := []View{}
	last, err := newRecent(tx)
	if err != nil {
		return nil, err
	}
	from := blobstore.Key("")
	if !f.After.IsZero() {
		t, err := getTransfer(tx, f.After)
		if err != nil {
			return nil, err
		}
		from = timeKey(t)
	}
	for e, err := range tx.Scan(prefixTime, from, true) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if e.Key == from {
			continue
		}
		t, err := getTransfer(tx, idIn(e.Key))
		if err != nil {
			return nil, err
		}
		c, err := last.carrier(x, tx, t)
		v, err := x.viewOn(tx, t, c, err, &last)
		if err != nil {
			return nil, err
		}
		if f.matches(v) {
			page = append(page, v)
		}
		if len(page) == f.Limit {
			break
		}
	}
	return page, nil
}
