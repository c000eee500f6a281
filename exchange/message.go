package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"dxd/blobstore"
	"dxd/hashanchor/queue"
	"dxd/partner"
	"dxd/record"
)

// MaxMessage is the longest message in bytes.
const MaxMessage = 16 << 20

// maxBody is the longest body that waits in the journal for its bundle. What
// is longer lies in a file, like a document: the journal writes each byte
// several times, and needs memory to do it.
const maxBody = 64 << 10

// SubmitMessage reads a message and queues it for each recipient, behind all
// that was queued for it before. All that Submit promises holds.
func (x *Exchange) SubmitMessage(ctx context.Context, s Submission, body io.Reader) ([]View, error) {
	s.kind = record.Message
	if err := s.check(); err != nil {
		return nil, err
	}
	head, err := readHead(ctx, body, maxBody)
	if err != nil {
		return nil, err
	}
	// A body stands in the journal once for each recipient, in one update.
	if len(head) > maxBody || len(head)*len(s.To) > maxBundle {
		return x.submitLarge(ctx, s, io.MultiReader(bytes.NewReader(head), body))
	}
	return x.submitSmall(ctx, s, head)
}

// readHead reads all of a body, or so much that it is known to be longer than
// the limit.
func readHead(ctx context.Context, body io.Reader, limit int64) ([]byte, error) {
	head, err := io.ReadAll(io.LimitReader(untilDone{ctx, body}, limit+1))
	if err != nil && record.KindOf(err) == record.Internal {
		err = record.Errorf(record.Invalid, "couldn't read the message to its end: %w", err)
	}
	return head, err
}

// submitSmall queues a message whose body stays in the journal.
func (x *Exchange) submitSmall(ctx context.Context, s Submission, body []byte) ([]View, error) {
	if err := checkSize(s.Size, int64(len(body))); err != nil {
		return nil, err
	}
	s.Size = int64(len(body))
	defer x.roads.enter()()
	digest := record.Digest(sha256.Sum256(body))
	if known, err := x.sameMessage(ctx, s, digest); known != nil || err != nil {
		return known, err
	}
	recipients, err := x.reachable(s)
	if err != nil {
		return nil, err
	}
	queued, _, err := x.promise(ctx, s, recipients, msgWork, func(tx blobstore.Tx, to partner.Partner) (Transfer, error) {
		return x.queueMessage(tx, s, to, body, digest)
	})
	if errors.Is(err, errTwice) {
		return x.sameMessage(ctx, s, digest)
	}
	if err != nil {
		return nil, err
	}
	return justQueued(queued, recipients), nil
}

// justQueued shows messages as C1 left them, without reading them back.
func justQueued(rows []Transfer, to []partner.Partner) []View {
	all := make([]View, len(rows))
	for i, t := range rows {
		t.State = Queued
		all[i] = View{Transfer: t, Alias: to[i].Alias, Anchor: queue.Unanchored}
	}
	return all
}

// sameMessage is byRequest, where the body is known already.
func (x *Exchange) sameMessage(ctx context.Context, s Submission, digest record.Digest) ([]View, error) {
	known, err := x.byRequest(ctx, s)
	if len(known) > 0 && !known[0].bare() && known[0].Digest != digest {
		return nil, errReused()
	}
	return known, err
}

// queueMessage writes all of C1 for one recipient: row, body, and the place in
// the queue. If nothing waits there and the partner is there, it travels alone
// and at once, and this is Cb, too.
func (x *Exchange) queueMessage(tx blobstore.Tx, s Submission, to partner.Partner, body []byte, digest record.Digest) (Transfer, error) {
	now := x.Now()
	if err := partner.Require(tx, to.Org, now); err != nil {
		return Transfer{}, err
	}
	t := x.outgoing(s, to, now)
	t.Size, t.Digest = int64(len(body)), digest
	idle, err := x.idle(tx, to.Org)
	if err != nil {
		return t, err
	}
	if t.Ordinal, err = nextPlace(tx, to.Org); err != nil {
		return t, err
	}
	if err := tx.Set(contentKey(t.ID), body); err != nil {
		return t, err
	}
	if err := t.create(tx); err != nil {
		return t, err
	}
	if !idle {
		return t, enqueue(tx, t)
	}
	b := newBundle(to.Org)
	if _, err := b.add(t, body); err != nil {
		return t, err
	}
	if err := b.seal(); err != nil {
		return t, err
	}
	b.sealHeader(to)
	if err := x.putBundle(tx, b, to); err != nil {
		return t, err
	}
	x.outbox.find(to.Org, msgWork).readies(b)
	return t, nil
}

// submitLarge queues a message that lies sealed in a file.
func (x *Exchange) submitLarge(ctx context.Context, s Submission, body io.Reader) ([]View, error) {
	return x.submitFile(ctx, s, &atMost{body, MaxMessage}, msgWork, x.queueLarge)
}

// queueLarge writes all of C1 for one recipient. The number comes with Cb,
// when it is settled what travels before it.
func (x *Exchange) queueLarge(tx blobstore.Tx, s Submission, to partner.Partner, p payload) (Transfer, error) {
	now := x.Now()
	if err := partner.Require(tx, to.Org, now); err != nil {
		return Transfer{}, err
	}
	t := x.outgoing(s, to, now)
	t.State = Queued
	t.carry(p)
	var err error
	if t.Ordinal, err = nextPlace(tx, to.Org); err != nil {
		return t, err
	}
	if err := tx.Set(keyKey(t.ID), x.Keys.WrapFileKey(p.key, t.ID[:])); err != nil {
		return t, err
	}
	if err := enqueue(tx, t); err != nil {
		return t, err
	}
	return t, t.create(tx)
}

// atMost refuses a body that goes on behind so many bytes.
type atMost struct {
	r    io.Reader
	left int64
}

func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, record.WithHint(record.Errorf(record.Invalid, "a message has at most %d bytes", int64(MaxMessage)),
			"send it as a document: `dxd send`")
	}
	return n, err
}
