package exchange

import (
	"cmp"
	"context"
	"errors"

	"dxd/blobstore"
	"dxd/partner"
	"dxd/record"
)

// Documents need not arrive in order, and one that travels alone mostly waits:
// for the disks of both sides, and for the link. So a partner's documents travel
// in a convoy, oldest first. Only one of them is large: two would just share the
// link. Small ones pass it, up to the next large one, which waits.
const (
	// abreast is how many documents are on their way to one partner at a time.
	abreast = 8

	// extraAbreast is how many are, to all partners, besides the first to each.
	// Each takes memory.
	extraAbreast = 64

	// largeDocument is what a large one has at least, in sealed bytes.
	largeDocument = 4 << 20

	// window is how many documents may be left for later before a step ends.
	window = 64
)

// convoy is what is on its way to one partner. One goroutine uses it.
type convoy struct {
	x     *Exchange
	self  *worker
	under map[blobstore.Key]member // by place in the queue
	ended chan tried
}

type member struct {
	large bool
	extra bool // counted in outbox.extra
}

// tried is a document whose delivery has ended. An error means that the partner
// is away.
type tried struct {
	key   blobstore.Key
	later bool // it is left where it is
	err   error
}

// deliverWaiting delivers the partner's documents until none is left. One that
// fails by itself is left for later and holds up no other.
func (x *Exchange) deliverWaiting(ctx context.Context, p partner.Partner, self *worker) (err error) {
	self.whole = false
	c := convoy{x, self, map[blobstore.Key]member{}, make(chan tried)}
	woken := false
	defer func() {
		if woken {
			token(self.wake) // what came may also expire, which the next step looks at
		}
	}()
	for left, halt := 0, false; ; {
		key := blobstore.Key("")
		if !halt && len(c.under) < abreast {
			var joined bool
			if key, joined, err = c.next(ctx, p); joined {
				continue
			}
			halt = err != nil
		}
		if len(c.under) == 0 {
			self.whole = !halt && key == ""
			return err
		}
		select {
		case <-self.wake: // something may have come that can join
			woken = true
		case t := <-c.ended:
			c.leave(t.key)
			if t.later {
				self.from, self.later = max(self.from, behind(t.key)), true
				left++
			}
			err = cmp.Or(err, t.err)
		}
		var gone error
		p, gone = x.Book.ByOrg(p.Org) // whose card, or state, may be another by now
		halt = halt || err != nil || left >= window || gone != nil || p.State != partner.Active
	}
}

// next has the oldest document that is not on its way yet join, if it may, and
// says whether it did. Its place is "" if there is none.
func (c *convoy) next(ctx context.Context, p partner.Partner) (blobstore.Key, bool, error) {
	head, _ := c.self.lane()
	from, first := max(head, c.self.from), blobstore.Key("")
	t, key, unread := c.x.nextWaiting(ctx, p.Org, record.LaneDoc, from, func(key blobstore.Key) bool {
		first = cmp.Or(first, key)
		return c.has(key)
	})
	if first != "" {
		c.self.starts(from, first)
	}
	if key == "" {
		return key, false, unread
	}
	m := member{large: t.SealedLength >= largeDocument}
	if len(c.under) > 0 {
		if m.large && c.hasLarge() || !c.x.outbox.enter() {
			return key, false, nil
		}
		m.extra = true
	}
	c.under[key] = m
	go func() { // deliverWaiting waits for it
		later, err := c.x.deliverOne(ctx, p, t, unread)
		c.ended <- tried{key, later, err}
	}()
	return key, true, nil
}

func (c *convoy) has(key blobstore.Key) bool {
	_, found := c.under[key]
	return found
}

func (c *convoy) hasLarge() bool {
	for _, m := range c.under {
		if m.large {
			return true
		}
	}
	return false
}

func (c *convoy) leave(key blobstore.Key) {
	if c.under[key].extra {
		c.x.outbox.extra.Add(-1)
	}
	delete(c.under, key)
}

// enter tells whether one more document may be on its way besides others to its
// partner, and counts it.
func (o *outbox) enter() bool {
	if o.extra.Add(1) <= extraAbreast {
		return true
	}
	o.extra.Add(-1)
	return false
}

// deliverOne delivers a document, or takes the partner's no: for now, which is
// later, or for good. unread is why its row could not be read.
func (x *Exchange) deliverOne(ctx context.Context, p partner.Partner, t Transfer, unread error) (later bool, err error) {
	switch {
	case unread != nil:
		x.logFailure(p.Org, docWork, unread)
		return true, ctx.Err()
	case x.Now().UnixMilli() >= t.Expires:
		return false, x.giveUp(ctx, t.ID, Failed, reasonExpired)
	}
	err = x.deliver(ctx, p, t, nil)
	var r *refusedError
	switch {
	case err == nil:
		return false, nil
	case errors.As(err, &r) && !r.Retry:
		return false, x.giveUp(ctx, t.ID, Failed, knownReason(r.Reason))
	case errors.As(err, &r):
		x.Log.Info("a partner takes a document later", "transfer", t.ID, "reason", record.Printable(r.Reason, 80))
		return true, nil
	case ctx.Err() != nil || errors.Is(err, errAway):
		return false, err
	}
	x.logFailure(p.Org, docWork, err)
	return true, nil
}

// none leaves nothing out.
func none(blobstore.Key) bool { return false }
