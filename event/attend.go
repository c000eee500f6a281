package event

import (
	"context"

	"dxd/blobstore"
	"dxd/record"
)

// attendance is one stream that reads for a subscription.
type attendance struct{ end context.CancelCauseFunc }

// Attend begins to read for a subscription, behind what it has acknowledged.
// There is one reader at a time: a new one takes the place of the one before,
// which a consumer that died may have left, and whose ctx ends with a Conflict
// as its cause. The caller calls leave in the end.
func (l *Log) Attend(ctx context.Context, name string) (attended context.Context, acked int64, leave func(), err error) {
	attended, end := context.WithCancelCause(ctx)
	a := &attendance{end}
	l.enter(name, a)
	leave = func() { l.leave(name, a) }
	err = l.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		s, err := getSubscription(tx, name)
		acked = s.Acked
		return err
	})
	if err != nil {
		leave()
		return nil, 0, nil, err
	}
	return attended, acked, leave, nil
}

func (l *Log) enter(name string, a *attendance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.attending[name]; old != nil {
		old.end(record.WithHint(record.Errorf(record.Conflict, "another consumer of the subscription %q has taken over", name),
			"give each consumer a subscription of its own"))
	}
	if l.attending == nil {
		l.attending = map[string]*attendance{}
	}
	l.attending[name] = a
}

func (l *Log) leave(name string, a *attendance) {
	a.end(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attending[name] == a {
		delete(l.attending, name)
	}
}

// dismiss ends whoever reads for a subscription.
func (l *Log) dismiss(name string, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.attending[name]; a != nil {
		a.end(why)
		delete(l.attending, name)
	}
}
