package exchange

import (
	"context"
	"time"

	"dxd/blobstore"
)

// Kept says of one rule of retention what it has been left with.
type Kept struct {
	Rule     string
	For      time.Duration // 0: for ever
	Payloads int64         // of documents and of messages that travelled together
	Bytes    int64         // that they have; one that several recipients share counts for each
	Due      time.Time     // when the first is erased; zero if none ever is
}

// Kept counts the payloads that are kept of transfers that have ended.
func (x *Exchange) Kept(ctx context.Context) (all []Kept, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		sent, err := x.kept(ctx, tx, shelfOut, Kept{Rule: RetainSent, For: x.Retain.Sent})
		if err != nil {
			return err
		}
		received, err := x.kept(ctx, tx, shelfIn, Kept{Rule: RetainReceived, For: x.Retain.Received})
		all = []Kept{sent, received}
		return err
	})
	return all, err
}

func (x *Exchange) kept(ctx context.Context, tx blobstore.ReadTx, s shelf, k Kept) (Kept, error) {
	for e, err := range tx.Scan(s.prefix(), "", false) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return k, err
		}
		p, err := s.parse(e)
		if err != nil {
			return k, err
		}
		if k.Payloads == 0 && k.For > 0 {
			k.Due = time.UnixMilli(p.time).Add(k.For)
		}
		k.Payloads++
		k.Bytes += p.size
	}
	return k, nil
}
