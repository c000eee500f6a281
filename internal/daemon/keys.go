package daemon

import (
	"context"
	"log/slog"
	"time"

	"dxd/partner"
)

// keyPace is how often it is looked for what is due with keys and card. It is
// no more than that since a machine's clock jumps when it was asleep.
const keyPace = time.Hour

// keepKeys does with keys and card what is due, until ctx ends.
func (d *Daemon) keepKeys(ctx context.Context) error {
	return keepCard(ctx, d.Book, d.log)
}

// keepCard renews the card before it ends. What fails is tried again: until
// the end there are weeks.
func keepCard(ctx context.Context, book *partner.Book, log *slog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		if !time.Now().Before(book.Due()) {
			if err := book.Renew(ctx); err != nil && ctx.Err() == nil {
				log.Error("couldn't renew the card", "error", err)
			}
		}
		timer.Reset(min(keyPace, max(time.Second, time.Until(book.Due()))))
	}
}

// cardReplaced calls the partners, so that they take our new card.
func (d *Daemon) cardReplaced() {
	card := d.Book.Self().Body
	d.log.Info("the card was renewed", "serial", card.Serial, "expires", time.UnixMilli(card.Expires).UTC())
	d.Exchange.CallAll()
}
