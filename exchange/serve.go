package exchange

import (
	"context"
	"sync"
	"time"

	"dxd/partner"
	"dxd/record"
)

// maxServed is how many streams of one partner are served at a time. One that
// behaves has up to 15, of them eight documents and four that it is still reading,
// and as many again while it finds out that a link is dead. Each may hold some
// 2.5 MiB.
const maxServed = 32

// complaintPace is how often one partner can fill a line of the log.
const complaintPace = time.Minute

// guests counts what partners do here at once.
type guests struct {
	mu sync.Mutex              // guards of and what it points to
	of map[record.OrgID]*guest // partners only, so it stays small
}

type guest struct {
	streams    int
	complained time.Time
	warned     time.Time // people, that it is at a bound
	flying     int64     // bytes of documents that its streams announced
	pace       pace      // of what it begins to send
}

// get is called with mu held.
func (g *guests) get(org record.OrgID) *guest {
	if g.of[org] == nil {
		g.of[org] = &guest{}
	}
	return g.of[org]
}

func (g *guests) enter(org record.OrgID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	if one.streams == maxServed {
		return false
	}
	one.streams++
	return true
}

func (g *guests) leave(org record.OrgID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.get(org).streams--
}

// mayComplain tells whether a partner's last complaint is long enough ago.
func (g *guests) mayComplain(org record.OrgID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.get(org)
	if now.Sub(one.complained).Abs() < complaintPace {
		return false
	}
	one.complained = now
	return true
}

// serve has f serve a partner's stream, unless it has too many. Who is no
// partner any more is told as little as the gate tells.
func (x *Exchange) serve(ctx context.Context, s Stream, f func(from partner.Partner, l *link)) {
	defer closeQuietly(s)
	defer resetWith(ctx, s)()
	from, err := x.Book.ByNode(s.Node())
	if err != nil || !x.guests.enter(from.Org) {
		s.Reset()
		return
	}
	defer x.guests.leave(from.Org)
	f(from, newLink(s))
}

// regret notes that a partner's transfer did not come to its end. If there is
// something that people can do about it, as with a disk that turned read-only, it
// warns, at the pace of complain: the partner tries again and again, and tells
// nobody here. That a link broke is no news.
func (x *Exchange) regret(ctx context.Context, org record.OrgID, err error) {
	if record.KindOf(err) == record.Unavailable && record.Hint(err) != "" && ctx.Err() == nil && x.guests.mayComplain(org, x.Now()) {
		x.Log.Error("couldn't take a partner's transfer", "error", err)
		return
	}
	x.Log.Debug("a transfer broke off", "error", err)
}

// complain warns of what a partner did, at most once a minute for each, so
// that none can fill the log. The error may quote what the partner sent, a
// document's name for one: it is for debugging only.
func (x *Exchange) complain(org record.OrgID, what string, err error) {
	if x.guests.mayComplain(org, x.Now()) {
		x.Log.Warn(what, "kind", record.KindOf(err).String())
	}
	x.Log.Debug(what, "error", err)
}
