package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/test/party"
)

// DXD_E2E_KILL_MIB=3072 is the long form.
const envKill = "DXD_E2E_KILL_MIB"

// maxAgain is how far before the last byte that the recipient had written a
// resumed transfer may begin (ARCHITECTURE, section 6).
const maxAgain = 1 << 20

func TestKilledInTheMiddleOfAFileItArrivesOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		atHome bool
	}{{"the sender is killed", true}, {"the recipient is killed", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
			l := party.NewLink(t, a, b, false)
			a.Start()
			b.Start()
			party.Pair(a, b)
			victim := b
			if c.atHome {
				victim = a
			}
			killInTheMiddle(t, a, b, victim, l)
		})
	}
}

func killInTheMiddle(t *testing.T, a, b, victim *party.Org, l *party.Link) {
	d := party.Document{Seed: "large", Size: party.SizeOf(t, envKill, 128)}
	held := l.Hold(d.Size / 2)
	begun := time.Now()
	id := a.SendDocument(b, d)
	t.Logf("taken in and queued at %s", pace(d.Size, time.Since(begun)))
	party.Within(t, party.PatienceFor(d.Size), "the middle", held)
	hasWritten(t, b, d.Size/4)
	victim.Process.Kill()
	l.Cut()
	written := settledSize(t, b)
	l.Release()
	begun = time.Now()
	victim.Start()
	got := a.DeliveredWithin(party.PatienceFor(d.Size), id)
	took := time.Since(begun)
	again := l.Passed()
	party.Agree(a, b, id, d)

	// What the recipient counted since: the early bytes, and then frames from
	// the offset on, which makes the offset at least this.
	const early = 64 << 10
	sealed := crypto.SealedLength(d.Size)
	counted := b.AllTransfers()[0].WireBytes
	offset := sealed - (counted - early)
	t.Logf("%d of %d sealed bytes were written; the second attempt took %d bytes in frames and began at %d or later, %d bytes before; %d bytes over the wire with TLS, in %s from the start of the process (%s)",
		written, sealed, counted, offset, written-offset, again, took.Round(time.Millisecond), pace(sealed-offset, took))
	if written-offset > maxAgain {
		t.Errorf("it began %d bytes before the last that was written", written-offset)
	}
	if written < d.Size/4 || written > d.Size*3/4 {
		t.Errorf("%d of %d bytes are not the middle", written, sealed)
	}
	// The wire itself says so, too. TLS and the multiplexer add 0.2 %.
	if most := sealed - written + maxAgain + early + (sealed-written)/200; again > most {
		t.Errorf("%d bytes went over the wire, at most %d were needed", again, most)
	}
	if got.WireBytes < counted {
		t.Errorf("the sender counts %d bytes in all attempts, the recipient %d in its last", got.WireBytes, counted)
	}
}

// hasWritten waits until the recipient's partial file has a size.
func hasWritten(t *testing.T, b *party.Org, least int64) {
	t.Helper()
	party.Until(t, "bytes in the partial file", func() string {
		names := b.Payloads()
		if len(names) != 1 {
			return "no file yet"
		}
		info, err := os.Stat(names[0])
		if err != nil {
			return err.Error()
		}
		if info.Size() < least {
			return strconv.FormatInt(info.Size(), 10)
		}
		return ""
	})
}

// settledSize is the size of the recipient's partial file, once what was under
// way is written.
func settledSize(t *testing.T, b *party.Org) int64 {
	t.Helper()
	size, same := int64(-1), 0
	party.Until(t, "a partial file at rest", func() string {
		info, err := os.Stat(b.Partial())
		if err != nil {
			return err.Error()
		}
		if same++; info.Size() != size {
			size, same = info.Size(), 0
		}
		if same < 10 {
			return "still growing"
		}
		return ""
	})
	return size
}

func pace(size int64, d time.Duration) string {
	return strconv.FormatFloat(float64(size)/1e6/d.Seconds(), 'f', 0, 64) + " MB/s"
}
