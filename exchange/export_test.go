package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
	"dxd/record"
)

// ClearDue does what is due by now, without waiting for its time.
func (x *Exchange) ClearDue(ctx context.Context) error {
	_, err := x.clearDue(ctx)
	return err
}

// Pace counts transfers.
type Pace struct{ pace }

// Count counts n more.
func (p *Pace) Count(now time.Time, n int64) { p.count(now, n) }

// Lately is how many there were within a minute.
func (p *Pace) Lately(now time.Time) int64 { return p.lately(now) }

// Abreast is how many documents travel to one partner at a time.
const Abreast = abreast

// FillRoads leaves room for no more than one document to each partner.
func (x *Exchange) FillRoads() { x.outbox.extra.Store(extraAbreast) }

// VoidAnew is what is done about a void that was found to be of an epoch which
// was left.
func (x *Exchange) VoidAnew(tx blobstore.Tx, id record.TransferID) error { return x.voidAnew(tx, id) }
