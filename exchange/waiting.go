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
			if err != nil {
				return err
			}
			w, err := parseWaiting(e.Value)
			if err != nil {
				return err
			}
			counts[w.org] += w.items
		}
		return nil
	})
	return counts, err
}
