package exchange

import (
	"context"
	"sync"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// relay sends a document to its recipients while it is still being read: each
// has a follower in a goroutine of its own. Until C1 nothing is promised, and
// nothing of it stands in the journal. At C1 the transfers get the ids under
// which they are on their way; from then on a follower that has a stream ends
// it with the manifest, and whatever goes wrong is the ordinary worker's work.
//
// A nil relay is that of a document which goes out once it is whole.
type relay struct {
	x     *Exchange
	to    []partner.Partner
	ids   map[record.OrgID]record.TransferID
	spool *spool
}

func (x *Exchange) newRelay(s Submission, to []partner.Partner) *relay {
	if !s.Stream || s.kind != record.Document {
		return nil
	}
	r := &relay{x: x, to: to, ids: map[record.OrgID]record.TransferID{}}
	for _, p := range to {
		r.ids[p.Org] = newTransferID()
	}
	x.relays.reserve(r.ids)
	return r
}

// id is that of the transfer to this recipient.
func (r *relay) id(to record.OrgID) record.TransferID {
	if r == nil {
		return newTransferID()
	}
	return r.ids[to]
}

// spooled is the file that the document is sealed into, as followers read it.
func (r *relay) spooled(part blobstore.Partial, file blobstore.FileID) blobstore.Partial {
	if r == nil {
		return part
	}
	r.spool = newSpool(part, func() (blobstore.File, error) { return r.x.Files.Open(file) })
	return r.spool
}

// begin starts the followers, once key and nonce are known.
func (r *relay) begin(p payload) {
	if r == nil {
		return
	}
	for _, to := range r.to {
		f := &follower{x: r.x, spool: r.spool, org: to.Org, id: r.ids[to.Org], key: p.key, nonce: p.nonce}
		if !r.x.relays.enter(f.id, f.org) {
			continue
		}
		r.spool.hold()
		if !r.x.outbox.start(f.run) {
			f.leave()
		}
	}
}

// promised tells the followers that C1 has passed.
func (r *relay) promised() {
	if r != nil {
		r.spool.settle(promised)
	}
}

// end gives the document up, unless it was promised. From here on its ids are
// either those of rows, or of nothing.
func (r *relay) end() {
	if r == nil {
		return
	}
	defer r.x.relays.free(r.ids)
	if r.spool == nil {
		return
	}
	r.spool.settle(givenUp)
	r.spool.letGo()
}

// maxRelayed is how many documents one partner is sent while they are read. It
// serves only so many streams of ours, and each of these may take for ever;
// more documents go out once they are whole.
const maxRelayed = 4

// relays knows the transfers that have followers. The ordinary worker leaves
// them alone: no transfer is ever sent by both.
//
// It also knows the ids of all documents that are being read, by whatever way
// they go. Their recipients know these from the offers, and one that used the
// id for something of its own would have C1 fail, for all the others, too.
type relays struct {
	mu       sync.Mutex // guards what follows
	of       map[record.TransferID]record.OrgID
	n        map[record.OrgID]int // of each partner, so it stays small
	reserved map[record.TransferID]bool
}

func (r *relays) reserve(ids map[record.OrgID]record.TransferID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.reserved[id] = true
	}
}

func (r *relays) free(ids map[record.OrgID]record.TransferID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.reserved, id)
	}
}

// isReserved refuses what a partner sends under an id of a document that is
// being read.
//
// It need not be asked in the update that would make a row, unless the id shows
// only there. Ids are random: nobody knows one before its offer went out, and by
// then it is reserved. Once it is free again, C1 has made a row of it, or never
// will.
func (r *relays) isReserved(id record.TransferID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reserved[id] {
		return errOthersID()
	}
	return nil
}

func errOthersID() error { return record.Errorf(record.Conflict, "the id belongs to another transfer") }

// enter is false if the partner has enough of them.
func (r *relays) enter(id record.TransferID, org record.OrgID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n[org] == maxRelayed {
		return false
	}
	r.of[id] = org
	r.n[org]++
	return true
}

func (r *relays) leave(id record.TransferID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n[r.of[id]]--
	delete(r.of, id)
}

func (r *relays) has(id record.TransferID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, found := r.of[id]
	return found
}

// start runs f in a goroutine that ends with Run; false if Run is not running.
func (o *outbox) start(f func(ctx context.Context)) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx == nil {
		return false
	}
	ctx := o.ctx
	o.group.Go(func() { f(ctx) })
	return true
}
