package event

import (
	"cmp"
	"context"
	"slices"

	"dxd/blobstore"
	"dxd/record"
)

// Subscription is a consumer's place in the log under a name: what it has not
// acknowledged is kept for it, however long that takes.
type Subscription struct {
	Name    string `json:"name"`
	Acked   int64  `json:"acked"`   // it is done with all events up to this one
	Created int64  `json:"created"` // ms since 1970
	Updated int64  `json:"updated"` // likewise, when it last acknowledged
}

// MaxSubscriptions bounds how many there are: each can keep the log from being
// shortened.
const MaxSubscriptions = 64

// CheckName tells whether s can be a subscription's name. It has the form of a
// partner's alias: [A-Za-z0-9][A-Za-z0-9._-]{0,62}.
func CheckName(s string) error {
	ok := len(s) >= 1 && len(s) <= 63
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '.' || c == '_' || c == '-'))
	}
	if !ok {
		return record.WithHint(record.Errorf(record.Invalid, "not a subscription's name: %q", record.Printable(s, 80)),
			"a name is a letter or digit, then up to 62 letters, digits, dots, dashes or underscores")
	}
	return nil
}

func subscriptionKey(tx blobstore.ReadTx, name string) blobstore.Key {
	return prefixSubscription + tx.Index("subscription", []byte(name))
}

// getSubscription finds one; NotFound if there is none.
func getSubscription(tx blobstore.ReadTx, name string) (Subscription, error) {
	if err := CheckName(name); err != nil {
		return Subscription{}, err
	}
	raw, err := tx.Get(subscriptionKey(tx, name))
	if record.KindOf(err) == record.NotFound {
		return Subscription{}, record.WithHint(record.Errorf(record.NotFound, "no subscription %q", name),
			"`dxd events subscriptions` lists them; `dxd events --name NAME` makes one")
	}
	if err != nil {
		return Subscription{}, err
	}
	return decodeSubscription(raw)
}

func decodeSubscription(raw []byte) (s Subscription, err error) {
	if err := record.Unmarshal(raw, &s); err != nil {
		return s, record.Errorf(record.Damaged, "a subscription: %w", err)
	}
	return s, nil
}

func (s Subscription) put(tx blobstore.Tx) error {
	raw, err := record.Marshal(s)
	if err != nil {
		return record.Errorf(record.Internal, "couldn't encode a subscription: %w", err)
	}
	return tx.Set(subscriptionKey(tx, s.Name), raw)
}

// Subscribe makes a subscription that begins behind a number. One that is there
// already stays as it is.
func (l *Log) Subscribe(ctx context.Context, name string, after int64) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return l.Journal.Update(ctx, func(tx blobstore.Tx) error {
		s, err := getSubscription(tx, name)
		if record.KindOf(err) != record.NotFound {
			return err
		}
		all, err := subscriptions(tx)
		if err != nil {
			return err
		}
		if len(all) == MaxSubscriptions {
			return record.WithHint(record.Errorf(record.Quota, "there are %d subscriptions, and no more are taken", MaxSubscriptions),
				"remove one that nobody uses: `dxd events unsubscribe NAME`")
		}
		now := l.Now().UnixMilli()
		s = Subscription{Name: name, Created: now, Updated: now}
		if s.Acked, err = place(tx, after); err != nil {
			return err
		}
		return s.put(tx)
	})
}

// Acknowledge notes that a consumer is done with all events up to this number;
// when it returns, that survives a crash. An older number changes nothing.
func (l *Log) Acknowledge(ctx context.Context, name string, seq int64) error {
	return l.Journal.Update(ctx, func(tx blobstore.Tx) error {
		s, err := getSubscription(tx, name)
		if err != nil {
			return err
		}
		last, err := number(tx, keyLast)
		if err != nil || seq <= s.Acked {
			return err
		}
		if seq > last {
			return record.Errorf(record.Invalid, "there is no event %d to acknowledge; the last is %d", seq, last)
		}
		s.Acked, s.Updated = seq, l.Now().UnixMilli()
		return s.put(tx)
	})
}

// Unsubscribe removes a subscription; whoever attends to it is sent away.
func (l *Log) Unsubscribe(ctx context.Context, name string) error {
	err := l.Journal.Update(ctx, func(tx blobstore.Tx) error {
		if _, err := getSubscription(tx, name); err != nil {
			return err
		}
		return tx.Delete(subscriptionKey(tx, name))
	})
	if err == nil {
		l.dismiss(name, record.Errorf(record.NotFound, "the subscription %q was removed", name))
	}
	return err
}

// subscriptions lists all, in no order that means anything.
func subscriptions(tx blobstore.ReadTx) ([]Subscription, error) {
	all := []Subscription{}
	for entry, err := range tx.Scan(prefixSubscription, "", false) {
		if err != nil {
			return nil, err
		}
		s, err := decodeSubscription(entry.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Standing is how far a subscription has come.
type Standing struct {
	Subscription
	Behind int64 // events that it has not acknowledged
	Since  int64 // ms since 1970 when the oldest of them happened; 0 if there is none
}

// standing looks at the log from where the subscription is.
func (s Subscription) standing(tx blobstore.ReadTx) (Standing, error) {
	last, err := number(tx, keyLast)
	if err != nil {
		return Standing{}, err
	}
	at := Standing{Subscription: s, Behind: last - s.Acked}
	next, err := After(tx, s.Acked, 1)
	if len(next) > 0 {
		at.Since = next[0].Time
	}
	return at, err
}

// Subscription finds one; NotFound if there is none.
func (l *Log) Subscription(ctx context.Context, name string) (at Standing, err error) {
	err = l.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		s, err := getSubscription(tx, name)
		if err == nil {
			at, err = s.standing(tx)
		}
		return err
	})
	return at, err
}

// Standings lists the subscriptions, those that are furthest behind first.
func (l *Log) Standings(ctx context.Context) (all []Standing, err error) {
	err = l.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		all = nil
		subs, err := subscriptions(tx)
		for _, s := range subs {
			at, err := s.standing(tx)
			if err != nil {
				return err
			}
			all = append(all, at)
		}
		return err
	})
	slices.SortFunc(all, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(b.Behind, a.Behind), cmp.Compare(a.Name, b.Name))
	})
	return all, err
}
