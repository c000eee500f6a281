package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// Waiting counts what waits to be delivered to each partner.
func (x *Exchange) Waiting(ctx context.Context) (counts map[record.OrgID]int64, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		counts = map[record.OrgID]int64{}
		for e, err := range tx.Scan(prefixQueue, "", false) {
			var w waiting
			if err == nil {
				w, err = parseWaiting(e.Value)
			}
			if record.KindOf(err) == record.Damaged {
				continue // until it is mended, nobody knows whose it is
			}
			if err != nil {
				return err
			}
			counts[w.org] += w.items
		}
		return nil
	})
	return counts, err
}
