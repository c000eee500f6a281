package exchange_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/exchange"
	"dxd/record"
	"dxd/test/party"
)

// hooked is a journal with something that happens before each update; its error
// is the update's.
type hooked struct {
	blobstore.Journal
	before func() error
}

func (h hooked) Update(ctx context.Context, fn func(blobstore.Tx) error) error {
	if err := h.before(); err != nil {
		return err
	}
	return h.Journal.Update(ctx, fn)
}

// twice is a journal that runs each update again, as it may.
type twice struct{ blobstore.Journal }

var errAgain = errors.New("run again")

func (j twice) Update(ctx context.Context, fn func(blobstore.Tx) error) error {
	err := j.Journal.Update(ctx, func(tx blobstore.Tx) error { return cmp.Or(fn(tx), errAgain) })
	if err != errAgain {
		return err
	}
	return j.Journal.Update(ctx, fn)
}

func TestWhatCouldNotExpireExpiresLater(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	b.halt()
	a.halt()
	var full, moves atomic.Bool
	var asked atomic.Int64
	submitted := time.Now()
	a.rows = func(j blobstore.Journal) blobstore.Journal {
		return hooked{j, func() error {
			if full.Load() {
				return record.Errorf(record.Full, "no room")
			}
			return nil
		}}
	}
	a.now = func() time.Time {
		asked.Add(1)
		if !moves.Load() { // it does not expire before there is no room
			return submitted
		}
		return time.Now()
	}
	a.start()
	sent, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Expires: time.Second, Size: 0}, strings.NewReader(""))
	check(t, err)
	full.Store(true)
	moves.Store(true)
	party.Until(t, "an expiry that fails", func() string {
		if a.errors.Load() == 0 {
			return "none"
		}
		return ""
	})
	before, failed := asked.Load(), a.errors.Load()
	party.Until(t, "two more", func() string {
		if a.errors.Load() < failed+2 {
			return "it does not try again"
		}
		return ""
	})
	if n := asked.Load() - before; n > 1000 {
		t.Errorf("the clock is asked %d times for two tries", n)
	}
	full.Store(false)
	if v := a.ended(sent[0].ID); v.State != exchange.Failed || v.Reason != "expired" {
		t.Errorf("the transfer is %s (%s)", v.State, v.Reason)
	}
}

// unread is a journal that can't be read for a while.
type unread struct {
	blobstore.Journal
	now *atomic.Bool
}

func (j unread) View(ctx context.Context, fn func(blobstore.ReadTx) error) error {
	if j.now.Load() {
		return record.Errorf(record.Internal, "couldn't read")
	}
	return j.Journal.View(ctx, fn)
}

func TestAnExchangeThatCantGoOnSaysSo(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	var broken atomic.Bool
	a.rows = func(j blobstore.Journal) blobstore.Journal { return unread{j, &broken} }
	a.start()
	a.delivered(a.send("bert", []byte("a document")).ID)
	broken.Store(true)
	check(t, a.store.Update(t.Context(), func(tx blobstore.Tx) error { return tx.Set("x/p/0123456789abcdef/x", make([]byte, 32)) }))
	defer broken.Store(false)
	select {
	case err := <-a.runs:
		if record.KindOf(err) != record.Internal {
			t.Errorf("it ended with %v", err)
		}
		a.runs <- nil
	case <-time.After(waitAtMost):
		t.Error("it goes on")
	}
}

func TestWhatGetsThroughWhileItIsCancelledIsAConflict(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	var late atomic.Pointer[func()]
	a.rows = func(j blobstore.Journal) blobstore.Journal {
		return hooked{j, func() error {
			if f := late.Swap(nil); f != nil {
				(*f)()
			}
			return nil
		}}
	}
	a.start()
	for _, kind := range []record.ItemKind{record.Document, record.Message} {
		b.halt()
		submit := a.Submit
		s := exchange.Submission{To: []string{"bert"}, Name: "a", Size: -1}
		if kind == record.Message {
			submit, s.Name = a.SubmitMessage, ""
		}
		sent, err := submit(t.Context(), s, strings.NewReader("it"))
		check(t, err)
		f := func() { // between the look and the update of Cancel
			b.start()
			a.delivered(sent[0].ID)
		}
		late.Store(&f)
		if v, err := a.Cancel(t.Context(), sent[0].ID); record.KindOf(err) != record.Conflict {
			t.Errorf("a %s that was delivered meanwhile: %s, %v", kind, v.State, err)
		}
	}
}

// unkept are files that can't be made whole; open counts those that are open.
type unkept struct {
	blobstore.Files
	open *atomic.Int64
}

func (u unkept) Create(id blobstore.FileID) (blobstore.Partial, error) {
	p, err := u.Files.Create(id)
	u.open.Add(1)
	return unkeptPartial{p, u.open}, err
}

type unkeptPartial struct {
	blobstore.Partial
	open *atomic.Int64
}

func (unkeptPartial) Commit() error { return record.Errorf(record.Full, "no room") }

func (p unkeptPartial) Close() error {
	p.open.Add(-1)
	return p.Partial.Close()
}

func TestAFileThatCantBeKeptIsClosed(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	a.halt()
	var open atomic.Int64
	a.files = func(f blobstore.Files) blobstore.Files { return unkept{f, &open} }
	a.start()
	for _, stream := range []bool{false, true} {
		_, err := a.Submit(t.Context(), exchange.Submission{To: []string{"bert"}, Name: "a", Size: -1, Stream: stream}, strings.NewReader("it"))
		if record.KindOf(err) != record.Full || open.Load() != 0 {
			t.Errorf("streamed %v: %d files are open (%v)", stream, open.Load(), err)
		}
	}
	a.keepsNoFile()
}
