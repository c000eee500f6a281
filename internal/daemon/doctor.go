package daemon

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"dxd/api/apitype"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/config"
	"dxd/partner"
	"dxd/record"
)

// Check is one thing that the doctor looked at.
type Check = apitype.Check

func healthy(name, format string, args ...any) Check {
	return Check{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)}
}

func unwell(name, format string, args ...any) Check {
	return Check{Name: name, Detail: fmt.Sprintf(format, args...)}
}

// failed is a check that an error stands against, with its advice.
func failed(name string, err error) Check {
	if hint := record.Hint(err); hint != "" {
		return unwell(name, "%v (%s)", err, hint)
	}
	return unwell(name, "%v", err)
}

// doctorPatience bounds each question that goes over a network.
const doctorPatience = 10 * time.Second

// Examine checks what can be checked without a running daemon: keys, disk and
// chain.
func (o *Organisation) Examine(ctx context.Context) []Check {
	checks := []Check{o.examineKeys(), o.examineDisk(), examineJournal(o.Store.Tables())}
	checks = append(checks, o.examineEvents(ctx)...)
	checks = append(checks, o.examineRotation(ctx)...)
	checks = append(checks, o.examineStorage(ctx)...)
	return append(checks, examineChain(ctx, o.anchor(), o)...)
}

// maxLag is how old the oldest event may be that a subscription has not
// acknowledged: longer, and probably nobody uses it any more.
const maxLag = 24 * time.Hour

func (o *Organisation) examineEvents(ctx context.Context) (checks []Check) {
	all, err := o.Events.Standings(ctx)
	if err != nil {
		return []Check{failed("events", err)}
	}
	for _, s := range all {
		name := "subscription " + s.Name
		since := time.UnixMilli(s.Since)
		switch {
		case s.Behind == 0:
			checks = append(checks, healthy(name, "all events are acknowledged"))
		case time.Since(since) < maxLag:
			checks = append(checks, healthy(name, "%d events are not acknowledged", s.Behind))
		default:
			checks = append(checks, unwell(name, "%d events since %s are not acknowledged, and are kept for it: see to its consumer, or `dxd events unsubscribe %s`",
				s.Behind, since.UTC().Format(time.RFC3339), s.Name))
		}
	}
	return checks
}

func (o *Organisation) examineKeys() Check {
	card := o.Book.Self().Body
	made, ends := time.UnixMilli(card.Created).UTC(), time.UnixMilli(card.Expires).UTC()
	detail := fmt.Sprintf("card %d, made %s, expires %s", card.Serial, made.Format(time.DateOnly), ends.Format(time.DateOnly))
	if !o.now().Before(o.Book.Due()) {
		return unwell("keys", "%s: `dxd card renew` renews it", detail)
	}
	return healthy("keys", "%s", detail)
}

func (o *Organisation) examineDisk() Check {
	if err := o.Dir.CheckWritable(); err != nil {
		return failed("disk", err)
	}
	free, err := o.Store.Free()
	if err != nil {
		return failed("disk", err)
	}
	if free == 0 {
		return unwell("disk", "full but for the reserve of %d MiB: nothing new is taken", o.Config.Disk.Reserve>>20)
	}
	return healthy("disk", "%d MiB free above the reserve of %d MiB", free>>20, o.Config.Disk.Reserve>>20)
}

// examineJournal warns before the journal has as many tables as the system lets
// it have: the next would be refused, and with it whatever is to be written.
func examineJournal(tables, most int) Check {
	if tables > most/5*4 {
		return unwell("journal", "%d tables, and this process may have only %d files open and mapped: raise its limit of open files and vm.max_map_count", tables, most)
	}
	return healthy("journal", "%d tables of at most %d", tables, most)
}

// examineChain checks that the chain answers, what the account holds, and,
// against the newest block, the clock.
func examineChain(ctx context.Context, a config.Anchor, o *Organisation) []Check {
	chain, err := newChain(a, o.Keys)
	if err != nil {
		return []Check{failed("chain", err)}
	}
	if chain == nil {
		return []Check{healthy("chain", "none is configured: records queue until anchor.rpc is set")}
	}
	defer chain.Close()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	head, err := chain.Head(ctx)
	if err != nil {
		return []Check{failed("chain", err)}
	}
	checks := []Check{healthy("chain", "block %d, last final block %d", head.Block, head.Final.Block)}
	checks = append(checks, examineBalance(ctx, chain))
	newest, err := chain.Block(ctx, head.Block)
	if err != nil {
		return append(checks, failed("clock", err))
	}
	return append(checks, examineClock(time.Since(time.Unix(newest.Time, 0))))
}

// examineBalance checks that the account can pay for an anchor.
func examineBalance(ctx context.Context, chain *evm.Chain) Check {
	account := chain.Where().Account
	balance, err := chain.Balance(ctx)
	if err != nil {
		return failed("balance", err)
	}
	cost, err := chain.Cost(ctx)
	if err != nil {
		return failed("balance", err)
	}
	if balance.Cmp(cost) < 0 {
		return failed("balance", record.WithHint(&hashanchor.ShortError{Account: account, Holds: balance, Needs: cost},
			"send it some of the chain's coin: anchoring then goes on by itself"))
	}
	return healthy("balance", "account %s holds %s", account, ether(balance))
}

// maxClockLead is how far the newest block may be ahead of our clock.
const maxClockLead = time.Minute

func examineClock(age time.Duration) Check {
	if age < -maxClockLead {
		return unwell("clock", "the chain's newest block is %s ahead of this clock", -age.Round(time.Second))
	}
	return healthy("clock", "the chain's newest block is %s old", max(0, age.Round(time.Second)))
}

func ether(wei *big.Int) string {
	f := new(big.Float).Quo(new(big.Float).SetInt(wei), big.NewFloat(1e18))
	return f.Text('f', 6) + " of the chain's coin"
}

// Examine checks the daemon, its partners, and with an alias that partner by
// sending it a small document.
func (d *Daemon) Examine(ctx context.Context, alias string) ([]Check, error) {
	checks := append([]Check{
		healthy("daemon", "up since %s, listening on %v", d.started.UTC().Format(time.RFC3339), d.Host.Addrs()),
	}, d.Organisation.Examine(ctx)...)
	checks = append(checks, d.examineAnchoring(ctx))
	checks = append(checks, examineRetention(ctx, d.Exchange, true)...)
	checks = append(checks, examinePayloads(ctx, d.Exchange))
	checks = append(checks, d.examineLog(ctx))
	if alias != "" {
		p, err := d.Book.ByAlias(alias)
		if err != nil {
			return nil, err
		}
		checks = append(checks, examineQuota(ctx, d.Exchange, p)...)
		check := d.callPartner(ctx, p)
		if checks = append(checks, check); check.OK {
			checks = append(checks, d.canary(ctx, p)) // one to a partner that is away would only wait
		}
		return checks, nil
	}
	checks = append(checks, examineQuotas(ctx, d.Exchange, d.Book)...)
	for _, p := range d.Book.List() {
		checks = append(checks, d.glanceAt(ctx, p))
	}
	return checks, nil
}

// examineAnchoring tells what keeps records from the chain.
func (d *Daemon) examineAnchoring(ctx context.Context) Check {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	s, err := d.Queue().Status(ctx)
	waiting := s.Unanchored + s.Pending + s.Submitted
	switch {
	case err != nil:
		return failed("anchoring", err)
	case s.Error != "":
		return unwell("anchoring", "%d records wait: %s", waiting, s.Error)
	}
	return healthy("anchoring", "%d records wait, %d are in a final block", waiting, s.Final)
}

// glanceAt examines a partner that nobody asked about. One that was suspended on
// purpose is well, and one that is away as long as no work waits for too long.
func (d *Daemon) glanceAt(ctx context.Context, p partner.Partner) Check {
	check, away := d.examinePartner(ctx, p)
	switch {
	case p.State != partner.Active:
		check.OK = true
	case away:
		since, err := d.Exchange.WaitingSince(ctx, p.Org)
		if err != nil {
			return failed(check.Name, err)
		}
		return examineAway(check, p.Alias, since, d.now())
	}
	return check
}

// maxAway is how long work may wait for a partner that is away. It expires after
// a week, unless told otherwise: people then have most of it to ask where the
// partner is.
const maxAway = 24 * time.Hour

// examineAway adds to what is known of a partner that is away since when work
// waits for it; since the zero time: none does.
func examineAway(check Check, alias string, since, now time.Time) Check {
	calls := "(`dxd doctor --partner " + alias + "` calls it, and says why)"
	switch {
	case since.IsZero():
		return healthy(check.Name, "%s; nothing waits for it %s", check.Detail, calls)
	case now.Sub(since) < maxAway:
		return healthy(check.Name, "%s; work waits for it since %s %s", check.Detail, since.UTC().Format(time.RFC3339), calls)
	}
	return unwell(check.Name, "%s; work waits for it since %s, for more than a day %s", check.Detail, since.UTC().Format(time.RFC3339), calls)
}

// examinePartner looks at a partner without calling it. away says that nothing
// more is known than that it is not there.
func (d *Daemon) examinePartner(ctx context.Context, p partner.Partner) (check Check, away bool) {
	name := "partner " + p.Alias
	switch {
	case p.State != partner.Active:
		return unwell(name, "%s (`dxd partner resume %s` lets it in again)", p.State, p.Alias), false
	case p.Expired(time.Now()):
		return unwell(name, "its card has expired: ask for a new one"), false
	}
	if err := d.stoppedLane(ctx, p); err != nil {
		return failed(name, err), false
	}
	switch {
	case d.locked(ctx, p):
		return unwell(name, "does not know this node's key, so neither can call the other: give it the file that `dxd card` prints"), false
	case d.Connected(p):
		return healthy(name, "connected"), false
	case p.LastSeen.IsZero():
		return unwell(name, "never seen; its addresses are %v", p.AllAddresses()), true
	}
	return unwell(name, "not connected, last seen %s", p.LastSeen.UTC().Format(time.RFC3339)), true
}

// callPartner examines a partner, and calls it: to be connected is no sign that
// it lets us in, and if it can't be reached, the error says why.
func (d *Daemon) callPartner(ctx context.Context, p partner.Partner) Check {
	check, _ := d.examinePartner(ctx, p)
	if p.State != partner.Active {
		return check
	}
	calling, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	if err := d.Exchange.Call(calling, p); err != nil {
		return unwell(check.Name, "%s; %s", check.Detail, failed("", err).Detail)
	}
	check, _ = d.examinePartner(ctx, p)
	return check
}

// stoppedLane is the error of a lane in which nothing moves until people look.
func (d *Daemon) stoppedLane(ctx context.Context, p partner.Partner) error {
	all, err := d.Exchange.Lanes(ctx, p.Org)
	for _, l := range all {
		if l.Stopped || l.Held {
			return record.WithHint(record.Errorf(record.Conflict, "two records have one number in lane %s, which is stopped", l.Lane),
				"find out why, together with the partner; `dxd partner resume "+p.Alias+"`, on their side and on yours, goes on")
		}
	}
	return err
}

// locked tells whether the last card of ours that the partner is known to have
// lacks the node key in use.
func (d *Daemon) locked(ctx context.Context, p partner.Partner) bool {
	if p.Knows.IsZero() {
		return false
	}
	card, err := d.Book.Card(ctx, p.Knows)
	return err == nil && !slices.Contains(card.Body.Nodes, d.Keys.Node())
}

// Connected tells whether a connection to one of the partner's nodes is up.
func (d *Daemon) Connected(p partner.Partner) bool {
	for _, node := range p.Card.Body.Nodes {
		if d.Host.Connected(node) {
			return true
		}
	}
	return false
}

// canary sends the partner a small document and waits for its receipt.
func (d *Daemon) canary(ctx context.Context, p partner.Partner) Check {
	name := "canary to " + p.Alias
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	body := []byte("a canary that dxd doctor sent at " + time.Now().UTC().Format(time.RFC3339) + "\n")
	begun := time.Now()
	sent, err := d.Exchange.Submit(ctx, exchange.Submission{
		To: []string{p.Alias}, Name: "dxd-canary.txt", MediaType: "text/plain", Expires: time.Minute, Size: int64(len(body)),
	}, bytes.NewReader(body))
	if err != nil {
		return failed(name, err)
	}
	v, err := d.Exchange.Wait(ctx, sent[0].ID, exchange.UntilDelivered, nil)
	if err != nil {
		return unwell(name, "no receipt within %s", doctorPatience)
	}
	if v.State.Terminal() {
		return unwell(name, "%s (%s)", v.State, v.Reason)
	}
	return healthy(name, "delivered in %s, with a signed receipt; transfer %s, anchor %s", time.Since(begun).Round(time.Millisecond), v.ID, v.Anchor)
}
