package exchange

import "context"

// ClearDue does what is due by now, without waiting for its time.
func (x *Exchange) ClearDue(ctx context.Context) error {
	_, err := x.clearDue(ctx)
	return err
}
