package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// DefaultExpiry is how long delivery is tried unless the caller says otherwise.
const DefaultExpiry = 7 * 24 * time.Hour

// Submission is a document or a message that a local application hands over.
type Submission struct {
	To        []string      // aliases
	Name      string        // a message has none
	MediaType string        // "application/octet-stream" if empty
	RequestID string        // makes the call idempotent
	Expires   time.Duration // DefaultExpiry if zero
	Size      int64         // bytes that the body must have; -1 if not known
	Stream    bool          // send a document while it is read

	kind  record.ItemKind
	relay *relay // nil: nothing goes out before C1
}

// MaxRecipients is to how many partners one call sends: what it promises to all
// of them is one update of the journal.
const MaxRecipients = 100

// MaxRequestID is the longest request id in bytes.
const MaxRequestID = 256

func (s *Submission) check() error {
	if err := checkItem(s.kind, s.Name, &s.MediaType, s.RequestID); err != nil {
		return err
	}
	if len(s.To) == 0 {
		return record.Errorf(record.Invalid, "no recipient")
	}
	if len(s.To) > MaxRecipients {
		return record.WithHint(record.Errorf(record.Invalid, "%d recipients, %d are allowed", len(s.To), MaxRecipients), "send to the others in another call")
	}
	if len(slices.Compact(slices.Sorted(slices.Values(s.To)))) != len(s.To) {
		return record.Errorf(record.Invalid, "a recipient is named twice")
	}
	if s.Expires == 0 {
		s.Expires = DefaultExpiry
	}
	if s.Expires < time.Second {
		return record.Errorf(record.Invalid, "an expiry of %s; the least is a second", s.Expires)
	}
	return nil
}

func checkItem(kind record.ItemKind, name string, mediaType *string, requestID string) error {
	if err := record.CheckName(name); err != nil && kind != record.Message {
		return record.WithHint(err, "give another name with --name")
	}
	if kind == record.Message && name != "" {
		return record.Errorf(record.Invalid, "a message has no name")
	}
	if *mediaType == "" {
		*mediaType = "application/octet-stream"
	}
	if len(requestID) > MaxRequestID {
		return record.Errorf(record.Invalid, "a request id of %d bytes, %d are allowed", len(requestID), MaxRequestID)
	}
	return record.CheckMediaType(*mediaType)
}

// payload is a document that lies sealed in a file, with all that is needed to
// make transfers of it.
type payload struct {
	file   blobstore.FileID
	sealed int64
	nonce  record.BodyNonce
	key    crypto.FileKey
	size   int64
	digest record.Digest
}

// Submit reads the body, seals it into a file, and makes a transfer for each
// recipient. When it returns without an error the document is queued: the
// promise survives a crash. A request id that is known returns the transfers
// that it made, and does not read the body.
func (x *Exchange) Submit(ctx context.Context, s Submission, body io.Reader) ([]View, error) {
	s.kind = record.Document
	if err := s.check(); err != nil {
		return nil, err
	}
	return x.submitFile(ctx, s, body, docWork, x.queueDocument)
}

// submitFile is Submit of what lies sealed in a file, whatever its kind.
func (x *Exchange) submitFile(ctx context.Context, s Submission, body io.Reader, w work,
	queue func(blobstore.Tx, Submission, partner.Partner, payload) (Transfer, error)) ([]View, error) {
	// Before all else: what was promised once does not depend on who can be
	// sent to now.
	if known, err := x.byRequest(ctx, s); known != nil || err != nil {
		return known, err
	}
	recipients, err := x.reachable(s)
	if err != nil {
		return nil, err
	}
	s.relay = x.newRelay(s, recipients)
	defer s.relay.end()
	p, err := x.ingest(ctx, s, body)
	if err != nil {
		return nil, err
	}
	x.Log.Debug("sealed a payload", "bytes", p.sealed, "recipients", len(recipients))
	queued, unknown, err := x.promise(ctx, s, recipients, w, func(tx blobstore.Tx, to partner.Partner) (Transfer, error) {
		return queue(tx, s, to, p)
	})
	if err != nil {
		if !unknown {
			err = joinRemove(err, x.Files.Remove(p.file))
		}
		if errors.Is(err, errTwice) {
			return x.byRequest(ctx, s)
		}
		return nil, err
	}
	s.relay.promised()
	return x.views(ctx, idsOf(queued))
}

// reachable finds the recipients, and refuses to begin what nobody would take.
func (x *Exchange) reachable(s Submission) ([]partner.Partner, error) {
	if err := x.maySign(); err != nil {
		return nil, err
	}
	return x.recipients(s.To)
}

// promise is C1: it queues one transfer for each recipient, all or none, and
// wakes their workers. unknown is that of update.
func (x *Exchange) promise(ctx context.Context, s Submission, recipients []partner.Partner, w work,
	queue func(blobstore.Tx, partner.Partner) (Transfer, error)) (queued []Transfer, unknown bool, err error) {
	x.at(BeforeQueued)
	unknown, err = x.update(ctx, func(tx blobstore.Tx) error {
		queued = nil
		if s.RequestID != "" {
			if _, err := tx.Get(requestKey(tx, s.RequestID)); record.KindOf(err) != record.NotFound {
				return errTwice
			}
		}
		for _, r := range recipients {
			t, err := queue(tx, r)
			if err != nil {
				return err
			}
			queued = append(queued, t)
		}
		return putRequest(tx, s.RequestID, idsOf(queued))
	})
	if err != nil {
		return nil, unknown, err
	}
	// At this point the transfers are queued; a crash after this delivers them.
	x.at(AfterQueued)
	for _, r := range recipients {
		x.wakeToSend(r.Org, w, x.Now().Add(s.Expires))
	}
	return queued, false, nil
}

func idsOf(all []Transfer) []record.TransferID {
	ids := make([]record.TransferID, len(all))
	for i, t := range all {
		ids[i] = t.ID
	}
	return ids
}

// maySign refuses to sign what nobody would take.
func (x *Exchange) maySign() error {
	if x.Now().UnixMilli() >= x.Book.Self().Body.Expires {
		return record.Errorf(record.Refused, "your own card has expired, and partners take nothing that is signed under it")
	}
	return nil
}

// errTwice says that another call with the same request id came first.
var errTwice = record.Errorf(record.Conflict, "the request was submitted at the same time")

func joinRemove(err, remove error) error {
	if remove != nil {
		return record.Errorf(record.KindOf(err), "%w (and couldn't remove its file: %v)", err, remove)
	}
	return err
}

// recipients finds the partners and refuses those that can't be sent to now.
func (x *Exchange) recipients(aliases []string) ([]partner.Partner, error) {
	var all []partner.Partner
	for _, alias := range aliases {
		p, err := x.Book.ByAlias(alias)
		if err != nil {
			return nil, record.WithHint(record.Errorf(record.Refused, "no partner has the alias %q", record.Printable(alias, 80)),
				"`dxd partner list` shows all partners")
		}
		if p.State != partner.Active {
			return nil, record.WithHint(record.Errorf(record.Refused, "%s is %s", alias, p.State), "`dxd partner resume "+alias+"` lets it in again")
		}
		if p.Expired(x.Now()) {
			return nil, record.WithHint(record.Errorf(record.Refused, "the card of %s has expired", alias), "ask for its new card")
		}
		all = append(all, p)
	}
	return all, nil
}

// ingest is the one pass over a document: digest and seal into a file, which
// is durable when it returns.
func (x *Exchange) ingest(ctx context.Context, s Submission, body io.Reader) (payload, error) {
	p := payload{file: x.newFile()}
	file, err := x.Files.Create(p.file)
	if err != nil {
		return p, err
	}
	file = s.relay.spooled(file, p.file)
	if err := x.seal(ctx, &p, file, s, body); err != nil {
		closeQuietly(file)
		return p, joinRemove(err, x.Files.Remove(p.file))
	}
	p.sealed = file.Size()
	if err := file.Commit(); err != nil {
		closeQuietly(file) // or what is removed goes on taking room on the disk
		return p, joinRemove(err, x.Files.Remove(p.file))
	}
	return p, nil
}

func (x *Exchange) seal(ctx context.Context, p *payload, file io.Writer, s Submission, body io.Reader) error {
	disk := newTrailing(file)
	err := x.sealInto(ctx, p, disk, s, body)
	if failed := disk.close(); failed != nil {
		return failed // which err is only told of
	}
	return err
}

func (x *Exchange) sealInto(ctx context.Context, p *payload, disk io.Writer, s Submission, body io.Reader) error {
	sealed, err := crypto.SealBody(disk)
	if err != nil {
		return err
	}
	p.key, p.nonce = sealed.Key(), sealed.Nonce()
	s.relay.begin(*p)
	if p.size, p.digest, err = digestInto(ctx, sealed, body, s.Size); err != nil {
		return err
	}
	return sealed.Close()
}

// digestInto copies the body while it is hashed, and refuses one that is not
// of the expected size; -1 expects nothing.
func digestInto(ctx context.Context, w io.Writer, body io.Reader, size int64) (int64, record.Digest, error) {
	n, digest, err := copyDigested(w, untilDone{ctx, body})
	if err != nil {
		if record.KindOf(err) == record.Internal {
			err = record.Errorf(record.Invalid, "couldn't read the document to its end: %w", err)
		}
		return 0, record.Digest{}, err
	}
	return n, digest, checkSize(size, n)
}

// checkSize refuses a body of another size than was announced; -1 is none.
func checkSize(announced, n int64) error {
	if announced >= 0 && n != announced {
		than := "shorter"
		if n > announced { // by how much, nobody has read
			than = "longer"
		}
		return record.WithHint(record.Errorf(record.Invalid, "the document was announced with %d bytes, and is %s", announced, than),
			"a file must not change while it is sent")
	}
	return nil
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// queueDocument writes all of C1 for one recipient: row, opening, file key,
// number, signed manifest, its leaf, and the place in the partner's queue.
func (x *Exchange) queueDocument(tx blobstore.Tx, s Submission, to partner.Partner, p payload) (Transfer, error) {
	now := x.Now()
	if err := partner.Require(tx, to.Org, now); err != nil {
		return Transfer{}, err
	}
	t := x.outgoing(s, to, now)
	t.State = Queued
	t.carry(p)
	if err := x.numberAlone(tx, &t, to); err != nil {
		return t, err
	}
	if err := tx.Set(keyKey(t.ID), x.Keys.WrapFileKey(p.key, t.ID[:])); err != nil {
		return t, err
	}
	return t, t.create(tx)
}

// outgoing is a new row that knows nothing of its content.
func (x *Exchange) outgoing(s Submission, to partner.Partner, now time.Time) Transfer {
	return Transfer{
		ID: s.relay.id(to.Org), Direction: Out, Partner: to.Org, Kind: s.kind,
		Name: s.Name, MediaType: s.MediaType, RequestID: s.RequestID,
		Created: now.UnixMilli(), Updated: now.UnixMilli(), Expires: now.Add(s.Expires).UnixMilli(),
	}
}

// carry makes the transfer that of a payload.
func (t *Transfer) carry(p payload) {
	t.Size, t.Digest = p.size, p.digest
	t.Payload, t.SealedLength, t.BodyNonce = p.file, p.sealed, p.nonce
}

// numberAlone opens and numbers a transfer that is the one item of its
// payload, and puts it into its queue. The row is for the caller to write.
func (x *Exchange) numberAlone(tx blobstore.Tx, t *Transfer, to partner.Partner) error {
	opening, err := putOpening(tx, *t)
	if err != nil {
		return err
	}
	manifest, err := x.number(tx, t, to, record.Manifest{
		Items: 1, Root: record.TreeRoot([]record.Hash{record.LeafHash(opening)}),
		SealedLength: t.SealedLength, BodyNonce: t.BodyNonce, Beacon: x.Beacon(),
	})
	if err != nil {
		return err
	}
	return x.putRecord(tx, *t, manifest.Envelope)
}

// putOpening draws a salt and keeps the opening of the transfer's one item.
func putOpening(tx blobstore.Tx, t Transfer) ([]byte, error) {
	raw, err := openingAt(t, 0)
	if err != nil {
		return nil, err
	}
	return raw, tx.Set(openingKey(t.ID), raw)
}

// putRecord keeps the record that a transfer stands on, and queues its leaf.
func (x *Exchange) putRecord(tx blobstore.Tx, t Transfer, e record.Envelope) error {
	if err := tx.Set(recordKey(t.ID), e.Bytes()); err != nil {
		return err
	}
	if err := tx.Set(byRecordKey(tx, e.ID()), t.ID[:]); err != nil {
		return err
	}
	return queue.Add(tx, e.ID(), e.Leaf())
}

// number takes the next number in the transfer's lane, signs the manifest with
// it, and puts the transfer into the lane's queue.
func (x *Exchange) number(tx blobstore.Tx, t *Transfer, to partner.Partner, m record.Manifest) (record.Signed[record.Manifest], error) {
	h, signed, err := x.takeNumber(tx, t, to, m)
	if err != nil {
		return signed, err
	}
	if t.Ordinal == 0 { // messages took their place before
		t.Ordinal = h.Ordinal
	}
	return signed, enqueue(tx, *t)
}

// enqueue puts the transfer into its place in its queue.
func enqueue(tx blobstore.Tx, t Transfer) error {
	return tx.Set(queueKey(tx, t), waiting{t.Partner, t.ID, t.Expires, max(t.Items, 1)}.value())
}

// queueKey is the transfer's place among those that wait for its partner.
func queueKey(tx blobstore.ReadTx, t Transfer) blobstore.Key {
	return laneKey(tx, prefixQueue, t.Partner, laneOf(t.Kind)) + bigEndian(t.Ordinal)
}

func requestKey(tx blobstore.ReadTx, id string) blobstore.Key {
	return prefixRequest + tx.Index("request", []byte(id))
}

func putRequest(tx blobstore.Tx, id string, transfers []record.TransferID) error {
	if id == "" {
		return nil
	}
	raw, err := json.Marshal(transfers)
	if err != nil {
		return err
	}
	return tx.Set(requestKey(tx, id), raw)
}

// byRequest gives the transfers of an earlier call with this id, nil if there
// was none; Conflict if that call had other recipients, or a document or
// message of another name or size.
func (x *Exchange) byRequest(ctx context.Context, s Submission) ([]View, error) {
	id := s.RequestID
	if id == "" {
		return nil, nil
	}
	var ids []record.TransferID
	err := x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		raw, err := tx.Get(requestKey(tx, id))
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &ids)
	})
	if record.KindOf(err) == record.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := x.views(ctx, ids)
	if err != nil {
		return nil, err
	}
	if !x.isOf(s, known) {
		return nil, errReused()
	}
	return known, nil
}

// isOf tells whether the submission is the one that made these transfers. Its
// recipients may be named in another order, and may be partners that nothing
// can be sent to by now.
func (x *Exchange) isOf(s Submission, known []View) bool {
	for _, v := range known {
		named := slices.ContainsFunc(s.To, func(alias string) bool { return x.isOrWas(alias, v) })
		same := v.bare() || v.Name == s.Name // what is erased can't be compared
		if !named || v.Kind != s.kind || !same || s.Size >= 0 && v.Size != s.Size {
			return false
		}
	}
	return len(known) == len(s.To)
}

// isOrWas tells whether an alias names the transfer's partner. That of one that
// was removed does, until another partner takes it.
func (x *Exchange) isOrWas(alias string, v View) bool {
	p, err := x.Book.ByAlias(alias)
	if err != nil {
		return v.Alias == alias
	}
	return v.Partner == p.Org
}

func errReused() error {
	return record.WithHint(record.Errorf(record.Conflict, "the request id was used for another document or message, or other recipients"),
		"a request id stands for one submission; take a new one")
}

func (x *Exchange) views(ctx context.Context, ids []record.TransferID) ([]View, error) {
	all := make([]View, len(ids))
	for i, id := range ids {
		var err error
		if all[i], err = x.Get(ctx, id); err != nil {
			return nil, err
		}
	}
	return all, nil
}
