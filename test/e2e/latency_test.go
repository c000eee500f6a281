package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/client"
	"dxd/record"
	"dxd/test/party"
)

// DXD_E2E_LATENCY_MIB=10240 is the long form.
const envLatency = "DXD_E2E_LATENCY_MIB"

// maxSlowdown is what messages may take beside a document, in times of what
// they take alone. Only the long form insists on it: CI's machines are shared.
const maxSlowdown = 3

func TestMessagesPassADocument(t *testing.T) {
	a, b := party.NewPair(t) // not beside other tests: they would be measured, too
	messages(a, b)           // the first ones find cold caches
	idle := slowest(messages(a, b))
	size := party.SizeOf(t, envLatency, 512)
	id := passed(a, b, size)
	all := messages(a, b)
	v := a.Look(id)
	t.Logf("p99 of 100 messages: %s alone, %s beside a document, %.1f times", idle, slowest(all), float64(slowest(all))/float64(idle))
	t.Logf("the document is %s, %d of %d bytes across", v.State, v.BytesDone, v.Size)
	if size > 512<<20 && (v.State != "sending" || slowest(all) > maxSlowdown*idle) {
		t.Errorf("messages take more than %d times as long beside a document, or it was gone: %v", maxSlowdown, all)
	}
	a.DeliveredWithin(party.PatienceFor(size), id)
}

// passed sends a document until a message has come through before its end: while
// this process had to stand still, there may have been none to pass.
func passed(a, b *party.Org, size int64) record.TransferID {
	a.T.Helper()
	for try := 1; ; try++ {
		id := a.SendDocument(b, party.Document{Seed: "large", Size: size})
		message(a, b)
		v := a.Look(id)
		if v.State == "sending" {
			return id
		}
		if try == tries {
			a.T.Errorf("the document is %s once a message has passed it, at the latest of %d tries, too", v.State, tries)
			return id
		}
		a.DeliveredWithin(party.PatienceFor(size), id)
	}
}

// messages sends a hundred messages, one behind the receipt of the other, and
// says how long each took from submit to delivered.
func messages(a, b *party.Org) (all []time.Duration) {
	a.T.Helper()
	for range 100 {
		all = append(all, message(a, b))
	}
	return all
}

func message(o *party.Org, to *party.Org) time.Duration {
	o.T.Helper()
	begun := time.Now()
	sent, err := o.SendMessage(o.T.Context(), client.Submission{To: []string{to.Alias}}, strings.NewReader("hello"), 5)
	party.Check(o.T, err)
	o.Delivered(sent.Transfers[0].ID)
	return time.Since(begun)
}

// slowest is the 99th percentile of a hundred.
func slowest(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[98] }
