package exchange

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// LaneState is how far the numbers between us and a partner have come in a
// lane, in the epochs that are used now.
type LaneState struct {
	Lane         record.Lane
	Sent         int64 // numbers that we gave
	Acknowledged int64 // the highest one that ended in a receipt, or in a void that the partner took
	Received     int64 // the highest number of the partner's that is here
	Complete     int64 // up to which all of them are
	Stopped      bool  // two of the partner's records have one number: nothing is taken
	Held         bool  // the partner says the same of ours: nothing is sent
}

// Lanes tells how the lanes of a partner are.
func (x *Exchange) Lanes(ctx context.Context, org record.OrgID) (all []LaneState, err error) {
	err = x.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		all = nil
		for _, lane := range lanes {
			s, err := laneState(tx, org, lane)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return nil
	})
	return all, err
}

func laneState(tx blobstore.ReadTx, org record.OrgID, lane record.Lane) (LaneState, error) {
	h, err := headOf(tx, org, lane)
	if err != nil {
		return LaneState{}, err
	}
	t, err := tailOf(tx, org, lane)
	if err != nil {
		return LaneState{}, err
	}
	s := LaneState{Lane: lane, Sent: h.Sequence, Received: t.Sequence, Complete: t.Complete, Stopped: t.Stopped, Held: h.Held}
	s.Acknowledged, _, err = acknowledged(tx, org, h)
	return s, err
}
