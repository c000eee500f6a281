package exchange

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// maxBundle is what the bodies and the packed openings of a bundle have
// together at most (docs/spec/wire.md).
const maxBundle = 512 << 10

// bundle is a payload of messages that was not numbered yet.
type bundle struct {
	row      Transfer
	places   []blobstore.Key // of its messages in the queue; none of a message that is just being submitted
	last     int64           // the ordinal of the last message
	members  []record.TransferID
	openings [][]byte
	packed   int // bytes of the packed openings
	bodies   [][]byte
	plain    int // bytes of the bodies
	key      crypto.FileKey
	sealed   []byte
	header   func() ([]byte, error)
	card     record.RecordID // the partner's, for which the header is
	manifest record.Envelope // once it has a number
}

func newBundle(to record.OrgID) *bundle {
	return &bundle{row: Transfer{ID: newTransferID(), Direction: Out, Partner: to, Kind: bundleKind, State: Queued}}
}

// add takes the next message, unless the bundle is full.
func (b *bundle) add(m Transfer, body []byte) (full bool, err error) {
	opening, err := openingAt(m, int64(len(b.members)))
	if err != nil {
		return false, err
	}
	plain, packed := b.plain+len(body), b.packed+openingLength+len(opening)
	if len(b.members) == record.MaxItems || plain+packed > maxBundle {
		return true, nil
	}
	if len(b.members) == 0 {
		b.row.Ordinal = m.Ordinal
	}
	b.last = m.Ordinal
	b.row.Expires = max(b.row.Expires, m.Expires)
	b.members, b.openings, b.bodies = append(b.members, m.ID), append(b.openings, opening), append(b.bodies, body)
	b.plain, b.packed = plain, packed
	return false, nil
}

// openingAt draws a salt and writes the opening of a transfer's item.
func openingAt(t Transfer, index int64) ([]byte, error) {
	o := record.Opening{Transfer: t.ID, Index: index, Kind: t.Kind, Name: t.Name, MediaType: t.MediaType, Length: t.Size, Digest: t.Digest}
	rand.Read(o.Salt[:])
	return o.Bytes()
}

// seal seals the bodies, one after the other.
func (b *bundle) seal() (err error) {
	b.sealed, b.key, b.row.BodyNonce, err = sealInMemory(b.bodies...)
	b.row.SealedLength, b.row.Size, b.row.Items = int64(len(b.sealed)), int64(b.plain), int64(len(b.members))
	b.bodies = nil
	return err
}

// sealHeader seals the header for the partner in a goroutine, since others wait
// for the disk meanwhile.
func (b *bundle) sealHeader(to partner.Partner) {
	b.card = to.Card.ID()
	var header []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		header, err = crypto.SealHeader(b.key, to.Card.Body.Recipients[0])
	}()
	b.header = func() ([]byte, error) {
		<-done
		return header, err
	}
}

// pack is Exchange.pack of a bundle that was numbered just now, without reading
// it back.
func (b *bundle) pack() (parcel, error) {
	header, err := b.header()
	return parcel{
		Transfer: b.row, key: b.key, header: header, manifest: b.manifest,
		file:     memoryFile{bytes.NewReader(b.sealed)},
		openings: crypto.SealOpenings(b.key, packOpenings(b.openings...)),
	}, err
}

// sealInMemory seals what is so small that it needs no file.
func sealInMemory(parts ...[]byte) (sealed []byte, key crypto.FileKey, nonce record.BodyNonce, err error) {
	var buf bytes.Buffer
	w, err := crypto.SealBody(&buf)
	if err != nil {
		return nil, key, nonce, err
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return nil, key, nonce, err
		}
	}
	err = w.Close()
	return buf.Bytes(), w.Key(), w.Nonce(), err
}

// gather reads the longest run of small messages from the head of the
// partner's lane on that one bundle takes. It is empty if what stands there
// is none. A damaged row of the queue ends the run, and so does a message that is
// damaged here; at its head that is the error, of kind Damaged or NotFound.
func (x *Exchange) gather(ctx context.Context, to record.OrgID, head blobstore.Key) (b *bundle, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		b = newBundle(to)
		for e, err := range tx.Scan(laneKey(tx, prefixQueue, to, record.LaneMsg), head, false) {
			if record.KindOf(err) == record.Damaged {
				return nil // which whoever looks for the next one mends
			}
			if err != nil {
				return err
			}
			over, err := x.gatherOne(tx, b, e)
			if over && len(b.members) > 0 {
				return nil
			}
			if over || err != nil {
				return err
			}
			b.places = append(b.places, e.Key)
		}
		return nil
	})
	if err == nil && len(b.members) > 0 {
		err = b.seal()
	}
	return b, err
}

// gatherOne adds what waits in this place, unless the run is over before it.
func (x *Exchange) gatherOne(tx blobstore.ReadTx, b *bundle, e blobstore.Entry) (over bool, err error) {
	w, err := parseWaiting(e.Value)
	if err != nil {
		return true, err
	}
	m, err := getTransfer(tx, w.id)
	if err != nil || !m.small() || w.expires <= x.Now().UnixMilli() {
		return true, err
	}
	body, err := tx.Get(contentKey(m.ID))
	if err != nil {
		return true, err
	}
	return b.add(m, body)
}

// small tells whether this is a message that travels in a bundle.
func (t Transfer) small() bool { return t.Kind == record.Message && t.SealedLength == 0 }

// errTaken says that a message left the queue while its bundle was made.
var errTaken = record.Errorf(record.Conflict, "a message was taken out of its bundle")

// putBundle is Cb: it writes all of a bundle but its messages, which lie where
// they were put, and moves the lane from them to the bundle.
func (x *Exchange) putBundle(tx blobstore.Tx, b *bundle, to partner.Partner) error {
	for _, place := range b.places {
		if err := takeOut(tx, place); err != nil {
			return err
		}
	}
	t := b.row
	t.Created = x.Now().UnixMilli()
	t.Updated = t.Created
	signed, err := x.number(tx, &t, to, record.Manifest{
		Items: t.Items, Root: record.TreeRoot(leavesOf(b.openings)),
		SealedLength: t.SealedLength, BodyNonce: t.BodyNonce, Beacon: x.Beacon(),
	})
	if err != nil {
		return err
	}
	if err := x.putRecord(tx, t, signed.Envelope); err != nil {
		return err
	}
	b.row, b.manifest = t, signed.Envelope
	return x.putPayload(tx, b, t)
}

// takeOut takes a message out of its place in the queue.
func takeOut(tx blobstore.Tx, place blobstore.Key) error {
	_, err := tx.Get(place)
	if record.KindOf(err) == record.NotFound {
		return errTaken
	}
	if err != nil {
		return err
	}
	return tx.Delete(place)
}

// putPayload writes what the openings, the body and the messages of a bundle
// are found by.
func (x *Exchange) putPayload(tx blobstore.Tx, b *bundle, t Transfer) error {
	if err := tx.Set(keyKey(t.ID), x.Keys.WrapFileKey(b.key, t.ID[:])); err != nil {
		return err
	}
	if err := tx.Set(openingKey(t.ID), packOpenings(b.openings...)); err != nil {
		return err
	}
	if err := tx.Set(contentKey(t.ID), b.sealed); err != nil {
		return err
	}
	if err := putMembers(tx, t.ID, b.members); err != nil {
		return err
	}
	if err := tx.Set(orgKey(tx, prefixBundled, t.Partner)+bigEndian(b.last), t.ID[:]); err != nil {
		return err
	}
	return t.create(tx)
}

// dropPayload forgets the sealed body of a bundle whose way has ended. Its
// messages keep theirs.
func dropPayload(tx blobstore.Tx, t Transfer) error {
	if t.Kind != bundleKind {
		return nil
	}
	if err := tx.Delete(contentKey(t.ID)); err != nil {
		return err
	}
	return tx.Delete(keyKey(t.ID))
}

// nextPlace takes the next place in the partner's queue of messages. Numbers
// are taken later, when it is settled what travels together.
func nextPlace(tx blobstore.Tx, org record.OrgID) (int64, error) {
	key := orgKey(tx, prefixPlace, org)
	last, err := tx.Get(key)
	if err != nil && record.KindOf(err) != record.NotFound {
		return 0, err
	}
	next := int64(1)
	if err == nil {
		next += int64(binary.BigEndian.Uint64(last))
	}
	return next, tx.Set(key, []byte(bigEndian(next)))
}
