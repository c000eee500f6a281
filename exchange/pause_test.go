package exchange

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"
)

func newWorker() *worker {
	w := &worker{
		wake: make(chan struct{}, 1), connected: make(chan struct{}, 1),
		pause: &backoff.ExponentialBackOff{InitialInterval: time.Minute, MaxInterval: time.Hour, Multiplier: 2},
	}
	w.begin()
	return w
}

func TestAPartnerThatIsAwayIsNotTriedBeforeItsPauseIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker()
		if !w.due() {
			t.Fatal("the first step may not try")
		}
		if wait := w.plan(errors.New("away")); wait != time.Minute {
			t.Errorf("the first pause is %s", wait)
		}
		time.Sleep(20 * time.Second) // virtual
		token(w.wake)
		w.sleep(t.Context(), never)
		if w.due() {
			t.Error("a new document cuts the pause short")
		}
		if wait := w.plan(nil); wait != 40*time.Second {
			t.Errorf("after 20 s of a minute %s are left", wait)
		}
		time.Sleep(40 * time.Second)
		if !w.due() {
			t.Error("nothing is tried after the pause")
		}
		if wait := w.plan(errors.New("away")); wait != 2*time.Minute {
			t.Errorf("the second pause is %s", wait)
		}
		token(w.connected)
		w.sleep(t.Context(), never)
		if !w.due() {
			t.Error("a connection does not end the pause")
		}
		if wait := w.plan(nil); wait != never {
			t.Errorf("with nothing left to do, it looks again after %s", wait)
		}
	})
}

// TestAPartnerAwayForDaysIsLookedForAllTheTime lets five days go by, and then a
// partner that is there for 30 s, an hour apart.
func TestAPartnerAwayForDaysIsLookedForAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker()
		w.pause = Retry{First: time.Second, Longest: 2 * time.Minute}.pauses()
		w.begin()
		away := func(long time.Duration) {
			for end := time.Now().Add(long); time.Now().Before(end); {
				if !w.due() {
					t.Fatal("its pause is over, and it is not tried")
				}
				wait := w.plan(errors.New("away"))
				if wait > 3*time.Minute {
					t.Fatalf("a pause of %s", wait)
				}
				w.sleep(t.Context(), wait)
			}
		}
		away(5 * 24 * time.Hour)
		for range 3 {
			w.due()
			w.plan(errors.New("away")) // a long pause has just begun
			token(w.connected)         // and it calls
			w.sleep(t.Context(), never)
			if !w.due() {
				t.Fatal("one that calls is kept waiting by the pauses that grew")
			}
			if wait := w.plan(errors.New("away")); wait > 2*time.Second {
				t.Errorf("if it breaks off, it is tried again after %s", wait)
			}
			time.Sleep(30 * time.Second)
			away(time.Hour)
		}
	})
}

func TestDocumentsLeftForLaterHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker()
		w.due()
		w.pass = pass{from: "here", later: true, whole: true}
		if wait := w.plan(nil); wait != time.Minute {
			t.Errorf("they are tried again after %s", wait)
		}
		if !w.due() || w.from != "here" {
			t.Errorf("what came since is not tried from there on, but from %q", w.from)
		}
		if wait := w.plan(nil); wait != time.Minute {
			t.Errorf("what came since moves the pause to %s", wait)
		}
		time.Sleep(time.Minute)
		if !w.due() || w.from != "" {
			t.Errorf("after the pause all is not tried again, but from %q", w.from)
		}

		// A step that ended before the queue did goes on where it ended.
		w.pass = pass{from: "here", later: true}
		wait := w.plan(nil)
		if w.due() {
			t.Error("a step that was bounded goes on at once")
		}
		time.Sleep(wait)
		if !w.due() || w.from != "here" || !w.later {
			t.Errorf("it goes on from %q", w.from)
		}
	})
}
