package partner

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// Quota bounds what a partner makes this node take and keep. 0 is no bound.
type Quota struct {
	Stored    int64 // bytes that are kept of what it sent, those of half-received payloads included
	InFlight  int64 // bytes of documents that its streams have announced at a time
	Partials  int64 // half-received payloads
	Transfers int64 // documents and messages a minute
	Events    int64 // of documents and messages that came in, as long as a subscription has not acknowledged them
}

// Limits are what differs from the quota of all partners. nil is no difference.
type Limits struct {
	Stored    *int64 `json:"stored,omitzero"`
	InFlight  *int64 `json:"in_flight,omitzero"`
	Partials  *int64 `json:"partials,omitzero"`
	Transfers *int64 `json:"transfers_per_minute,omitzero"`
	Events    *int64 `json:"unacknowledged_events,omitzero"`
}

// Over is the quota with these differences.
func (l Limits) Over(q Quota) Quota {
	set := func(to *int64, from *int64) {
		if from != nil {
			*to = *from
		}
	}
	set(&q.Stored, l.Stored)
	set(&q.InFlight, l.InFlight)
	set(&q.Partials, l.Partials)
	set(&q.Transfers, l.Transfers)
	set(&q.Events, l.Events)
	return q
}

// LeastSize is the smallest bound in bytes, but for none: below it not even a
// bundle of messages would fit, and a message would fail for its neighbours.
const LeastSize = 1 << 20

// Check refuses bounds that make no sense.
func (l Limits) Check() error {
	for name, n := range map[string]*int64{"stored": l.Stored, "in_flight": l.InFlight} {
		if n != nil && *n != 0 && (*n < LeastSize || *n > record.MaxInteger) {
			return record.Errorf(record.Invalid, "the quota %s is 0, for no bound, or a size from 1MiB on", name)
		}
	}
	for name, n := range map[string]*int64{"partials": l.Partials, "transfers_per_minute": l.Transfers, "unacknowledged_events": l.Events} {
		if n != nil && (*n < 0 || *n > record.MaxInteger) {
			return record.Errorf(record.Invalid, "the quota %s is 0, for no bound, or a number from 1 on", name)
		}
	}
	return nil
}

// SetLimits gives a partner bounds of its own, in the place of those that it had.
func (b *Book) SetLimits(ctx context.Context, alias string, l Limits) (Partner, error) {
	if err := l.Check(); err != nil {
		return Partner{}, err
	}
	return b.setRow(ctx, alias, func(r *row) { r.Limits = l }, nil)
}

// QuotaOf is the quota of a partner as of this transaction, where others is
// that of all. Whoever is not known has that of all.
func QuotaOf(tx blobstore.ReadTx, org record.OrgID, others Quota) (Quota, error) {
	s, err := getStanding(tx, org)
	if record.KindOf(err) == record.NotFound {
		return others, nil
	}
	return s.Limits.Over(others), err
}

// Usage is what a partner has used up of what lasts.
type Usage struct {
	Stored   int64 `json:"stored"`   // bytes
	Partials int64 `json:"partials"` // half-received payloads
}

// IsZero tells whether nothing is used.
func (u Usage) IsZero() bool { return u == Usage{} }

// Plus is the sum of both.
func (u Usage) Plus(v Usage) Usage { return Usage{u.Stored + v.Stored, u.Partials + v.Partials} }

// Minus undoes Plus.
func (u Usage) Minus(v Usage) Usage { return Usage{u.Stored - v.Stored, u.Partials - v.Partials} }

// prefixUsage begins the keys of what partners use: u/<organisation>. They are
// no part of the book, which would be read again at each change.
const prefixUsage blobstore.Key = "u/"

func usageKey(tx blobstore.ReadTx, org record.OrgID) blobstore.Key {
	return prefixUsage + tx.Index("org", org.Key())
}

// UsageOf reads what a partner uses.
func UsageOf(tx blobstore.ReadTx, org record.OrgID) (u Usage, err error) {
	raw, err := tx.Get(usageKey(tx, org))
	if record.KindOf(err) == record.NotFound {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	row, err := decodeUsage(raw)
	return row.Usage, err
}

// usageRow is what the journal holds under usageKey.
type usageRow struct {
	Org record.OrgID `json:"org"`
	Usage
}

func decodeUsage(raw []byte) (row usageRow, err error) {
	if err := record.Load(raw, &row); err != nil {
		return row, record.Errorf(record.Damaged, "what a partner uses: %w", err)
	}
	return row, nil
}

// Usages reads what every partner uses, removed ones too.
func Usages(tx blobstore.ReadTx) (map[record.OrgID]Usage, error) {
	all := map[record.OrgID]Usage{}
	for e, err := range tx.Scan(prefixUsage, "", false) {
		if err != nil {
			return nil, err
		}
		row, err := decodeUsage(e.Value)
		if err != nil {
			return nil, err
		}
		all[row.Org] = row.Usage
	}
	return all, nil
}

// Charge adds to what a partner uses. It belongs into the update that stores,
// or erases, what is counted: so the count is never another than what is there.
//
// A sum below zero is kept as it is: in a journal of an older version things
// may be erased before they were ever counted, and the count is put right by
// the difference then.
func Charge(tx blobstore.Tx, org record.OrgID, more Usage) error {
	if more.IsZero() {
		return nil
	}
	u, err := UsageOf(tx, org)
	if err != nil {
		return err
	}
	raw, err := record.Marshal(usageRow{org, u.Plus(more)})
	if err != nil {
		return err
	}
	return tx.Set(usageKey(tx, org), raw)
}

// Measure is one bound with what is used of it.
type Measure struct {
	Name  string // as in dxd.toml, behind "quota."
	Used  int64
	Limit int64 // 0: none
	Bytes bool  // it counts bytes
	Own   bool  // the bound is the partner's own
}

// Near tells whether little is left: 80 percent are used.
func (m Measure) Near() bool { return m.Limit > 0 && m.Used >= m.Limit-m.Limit/5 }
