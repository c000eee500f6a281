package exchange

import (
	"context"
	"errors"

	"dxd/partner"
	"dxd/record"
)

// deliverInOrder delivers what waits in the partner's lane of messages, one
// payload at a time: the next one moves only once the one before it has ended,
// in a receipt or in a void. So whatever else goes wrong stops the lane until
// its pause is over.
func (x *Exchange) deliverInOrder(ctx context.Context, p partner.Partner) error {
	for {
		t, key, err := x.nextWaiting(ctx, p.Org, record.LaneMsg, "")
		if key == "" || err != nil {
			return err
		}
		if err := x.deliverOne(ctx, p, t); err != nil {
			return err
		}
		if p, err = x.Book.ByOrg(p.Org); err != nil || p.State != partner.Active {
			return nil
		}
	}
}

// deliverOne delivers a payload, or ends it.
func (x *Exchange) deliverOne(ctx context.Context, p partner.Partner, t Transfer) error {
	if x.Now().UnixMilli() >= t.Expires {
		return x.giveUp(ctx, t.ID, Failed, reasonExpired)
	}
	err := x.deliver(ctx, p, t)
	var r *refusedError
	if errors.As(err, &r) && !r.Retry {
		return x.giveUp(ctx, t.ID, Failed, knownReason(r.Reason))
	}
	return err
}
