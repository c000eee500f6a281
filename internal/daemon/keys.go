package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dxd/api/apitype"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/partner"
	"dxd/record"
)

// keyPace is how often it is looked for what is due with keys and card. It is
// no more than that since a machine's clock jumps when it was asleep.
const keyPace = time.Hour

// accountsPatience bounds one look at older accounts: an endpoint that takes a
// transaction and never shows it in a block must not keep the card from being
// renewed. To hand over once more what was handed over already does no harm.
const accountsPatience = 10 * time.Minute

// keepKeys does with keys and card what is due, until ctx ends.
func (d *Daemon) keepKeys(ctx context.Context) error {
	return tend(ctx, d.Book, d.Store.Watch(ctx, partner.KeyPrefix), d.tendAccounts, d.anchor().Interval, d.log)
}

// tend looks at keys and card now and then, and when a partner has told
// something. What fails is tried again: nothing of it is urgent. accounts says
// whether it is to be asked again at its own pace.
func tend(ctx context.Context, book *partner.Book, told <-chan struct{}, accounts func(context.Context) (bool, error), pace time.Duration, log *slog.Logger) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-told:
		case <-ctx.Done():
			return nil
		}
		if err := book.Tend(ctx); err != nil && ctx.Err() == nil {
			log.Error("couldn't tend to keys and card", "error", err)
		}
		wait := min(keyPace, max(time.Minute, time.Until(book.Due())))
		within, cancel := context.WithTimeout(ctx, accountsPatience)
		more, err := accounts(within)
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Warn("couldn't let go of an older account yet", "error", err)
		}
		if more {
			wait = min(wait, max(time.Second, pace))
		}
		timer.Reset(wait)
	}
}

// watcher is what the daemon does when its organisation changes.
func (d *Daemon) watcher() Watcher {
	w := Watcher{State: d.partnerChanged, Shut: d.shutOut, Card: d.cardReplaced, Keys: d.keysReplaced, Announced: d.letTake, Now: d.options.Now}
	if seam := d.options.Seam; seam != nil {
		w.Seam = func(p partner.Point) { seam(exchange.Point(p)) }
	}
	return w
}

// keysReplaced has accounts and network go on with the keyring's keys.
func (d *Daemon) keysReplaced() error {
	if d.Host.Node() != d.Keys.Node() {
		d.log.Info("a new node key serves", "peer", d.Keys.Node())
		if err := d.Host.replace(); err != nil {
			d.fail("network", err) // a new process begins with the new key
			return err
		}
	}
	if !slices.Equal(d.anchorsWith(), d.Keys.Keys(crypto.RoleAccount)) {
		return d.setChain()
	}
	return nil
}

// cardReplaced calls the partners, so that they take our new card.
func (d *Daemon) cardReplaced() {
	if d.Exchange == nil {
		return // it is only being started, and calls all then
	}
	card := d.Book.Self().Body
	d.log.Info("a new card is ours", "serial", card.Serial, "expires", time.UnixMilli(card.Expires).UTC())
	d.Exchange.CallAll()
}

// Rotate draws a new key of a role. now brings a node's into use without
// waiting for partners.
func (o *Organisation) Rotate(ctx context.Context, r apitype.RotateKey) (apitype.Rotated, error) {
	role, err := crypto.ParseRole(r.Role)
	if err != nil {
		return apitype.Rotated{}, err
	}
	if err := o.rotate(ctx, role, r.Now); err != nil {
		return apitype.Rotated{}, err
	}
	return o.rotated(ctx, role)
}

func (o *Organisation) rotate(ctx context.Context, role crypto.Role, now bool) error {
	switch {
	case !now:
		return o.Book.Rotate(ctx, role)
	case role != crypto.RoleNode:
		return record.Errorf(record.Invalid, "a new %s key is in use at once anyway", role)
	}
	before := o.Keys.Node()
	if len(o.Keys.Keys(role)) == 1 {
		if err := o.Book.Rotate(ctx, role); err != nil {
			return err
		}
	}
	if o.announced != nil {
		o.announced(ctx)
	}
	err := o.Book.SwitchNode(ctx)
	if record.KindOf(err) == record.Conflict && o.Keys.Node() != before {
		return nil // all partners have taken it meanwhile
	}
	return err
}

// courtesy is how long partners that are connected have to take the card with
// a new node key that is not to wait for anybody.
const courtesy = 5 * time.Second

// letTake waits until all partners that are connected have taken our card, but
// not for long.
func (d *Daemon) letTake(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, courtesy)
	defer cancel()
	tick := time.NewTicker(courtesy / 100)
	defer tick.Stop()
	for {
		waits, err := d.Book.WaitsFor(ctx, crypto.RoleNode)
		if err != nil || !slices.ContainsFunc(waits, d.Connected) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// rotated says what came of a rotation.
func (o *Organisation) rotated(ctx context.Context, role crypto.Role) (apitype.Rotated, error) {
	keys := o.Keys.Keys(role)
	out := apitype.Rotated{Role: string(role), Key: keys[0], Serial: o.Book.Self().Body.Serial, WaitsFor: []string{}}
	if role == crypto.RoleNode {
		out.Key = keys[len(keys)-1]
	}
	waits, err := o.Book.WaitsFor(ctx, role)
	for _, p := range waits {
		out.WaitsFor = append(out.WaitsFor, p.Alias)
	}
	return out, err
}

// examineRotation says which keys are on their way out, and what for they stay.
func (o *Organisation) examineRotation(ctx context.Context) (checks []Check) {
	for _, role := range crypto.Roles {
		if len(o.Keys.Keys(role)) < 2 {
			continue
		}
		name := string(role) + " key"
		r, err := o.rotated(ctx, role)
		switch {
		case err != nil:
			checks = append(checks, failed(name, err))
		case role == crypto.RoleSigning:
			checks = append(checks, healthy(name, "the older one, which signs nothing any more, goes with the next card (`dxd card renew`)"))
		case role == crypto.RoleAccount:
			checks = append(checks, healthy(name, "the older one, %s, anchors what was signed before it was replaced, hands over what it holds, and goes once all endpoints of anchor.rpc show that",
				o.Keys.Keys(role)[1]))
		case role == crypto.RoleNode:
			checks = append(checks, healthy(name, "%s is announced, and serves once these partners have taken card %d: %s (`dxd key rotate node --now` does not wait)",
				r.Key, r.Serial, strings.Join(r.WaitsFor, ", ")))
		default:
			checks = append(checks, healthy(name, "the older one stays until these partners have taken card %d: %s", r.Serial, strings.Join(r.WaitsFor, ", ")))
		}
	}
	return checks
}
