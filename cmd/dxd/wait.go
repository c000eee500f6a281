package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

// goals are what `dxd send` can wait for, in their order.
var goals = []string{"queued", "delivered", "accepted", "anchored"}

// waitAll waits until each transfer has reached the goal or failed, and puts
// their states into sent. It gives an error for each that did not come there.
func (a *app) waitAll(ctx context.Context, c *client.Client, sent *apitype.Submitted, o sendOptions) []error {
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	bar := a.progress("delivering", max(sent.Size*int64(len(sent.Transfers)), 1))
	if o.wait == goals[0] {
		bar.done()
	}
	defer bar.done()
	w := &waiting{a: a, c: c, bar: bar, done: make([]int64, len(sent.Transfers)), off: make([]string, len(sent.Transfers))}
	errs := make([]error, len(sent.Transfers))
	var wg sync.WaitGroup
	for i := range sent.Transfers {
		wg.Go(func() { errs[i] = w.wait(ctx, &sent.Transfers[i], i, o.wait) })
	}
	wg.Wait()
	return errs
}

// waiting is what the transfers that are waited for have in common.
type waiting struct {
	a   *app
	c   *client.Client
	bar *progress

	mu   sync.Mutex // guards what follows
	done []int64    // bytes of each transfer that are across
	told bool       // that no chain is configured
	off  []string   // of each transfer, why the partner takes it later, as was told
}

// lookPatience bounds the last look at a transfer that was waited for in vain.
const lookPatience = 2 * time.Second

// lookOnceMore puts the state into sent that the transfer has by now; without
// an answer the last known one stays.
func (w *waiting) lookOnceMore(sent *apitype.SubmittedTransfer) {
	ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
	defer cancel()
	if t, err := w.c.Transfer(ctx, sent.ID); err == nil {
		sent.State = t.State
	}
}

func (w *waiting) wait(ctx context.Context, sent *apitype.SubmittedTransfer, i int, goal string) error {
	t, err := w.c.Wait(ctx, sent.ID, goal, func(t apitype.Transfer) { w.seen(t, i, goal) })
	if err != nil && ctx.Err() == nil {
		kind := record.KindOf(err)
		if kind == record.Unavailable { // it is stopping: a moment later nobody would have answered
			kind = record.Unreachable
		}
		return record.WithHint(record.Errorf(kind, "couldn't wait for %s: %w", sent.ID, err),
			"the document is queued, and goes on when the daemon runs; `dxd transfer "+sent.ID.String()+"` shows how far it is")
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
		w.lookOnceMore(sent)
		return record.WithHint(record.Errorf(record.Timeout, "the transfer %s to %s is not %s yet", sent.ID, sent.To, goal),
			"it goes on; `dxd transfer "+sent.ID.String()+"` shows how far it is")
	}
	if err != nil {
		w.lookOnceMore(sent)
		return err
	}
	sent.State = t.State
	return failure(t, goal)
}

// seen is called now and then with how far a transfer is.
func (w *waiting) seen(t apitype.Transfer, i int, goal string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[i] = t.BytesDone
	sum := int64(0)
	for _, n := range w.done {
		sum += n
	}
	w.bar.set(sum)
	if t.State == "queued" && t.Reason != "" && t.Reason != w.off[i] {
		w.off[i] = t.Reason
		w.bar.hide()
		w.a.say(t.Partner + " takes it later: " + whyLater(t.Reason))
	}
	if goal == "anchored" && isAcross(t) && t.Anchor == "unanchored" && !w.told {
		w.told = true
		w.bar.done()
		w.a.say("delivered; no chain is configured, so the anchor waits until there is one (see `dxd anchor deploy`)")
	}
}

// whyLater says in words why a partner does not take a transfer yet.
func whyLater(reason string) string {
	switch reason {
	case "full":
		return "it has no room on its disk"
	case "quota":
		return "what it lets this organisation keep there is used up"
	case "card":
		return "it does not know a card yet"
	}
	return reason
}

// isAcross tells whether the recipient has it whole, whatever it said then.
func isAcross(t apitype.Transfer) bool {
	return t.State == "delivered" || t.State == "accepted" || t.State == "refused"
}

// failure is the error of a transfer that can't come to the goal any more. One
// that the recipient's application refused was delivered all the same, and may
// be anchored.
func failure(t apitype.Transfer, goal string) error {
	switch t.State {
	case "refused":
		if goal != "accepted" {
			return nil
		}
		return record.Errorf(record.Refused, "%s refused %s: %s", t.Partner, t.ID, dash(t.Reason))
	case "cancelled":
		return record.Errorf(record.Conflict, "the transfer %s to %s was cancelled", t.ID, t.Partner)
	case "failed":
		return record.Errorf(kindOfReason(t.Reason), "the transfer %s to %s failed: %s", t.ID, t.Partner, dash(t.Reason))
	}
	return nil
}

// kindOfReason tells a failure by the partner's word from one of our own.
func kindOfReason(reason string) record.Kind {
	switch reason {
	case "expired":
		return record.Unavailable
	case "removed":
		return record.Conflict
	case "quota":
		return record.Quota
	}
	return record.Refused
}

// worst is the error that counts where there are several: a transfer that
// failed before one that goes on.
func worst(errs []error) error {
	var found error
	for _, err := range errs {
		if err != nil && (found == nil || badness(err) > badness(found)) {
			found = err
		}
	}
	return found
}

func badness(err error) int {
	kind := record.KindOf(err)
	if kind == record.Timeout {
		return 0 // nothing is lost
	}
	return kind.ExitCode()
}
