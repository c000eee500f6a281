package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dxd/api/apitype"
	"dxd/client"
	"dxd/record"
)

// DXD_E2E_LATENCY_MIB=10240 is the long form.
const envLatency = "DXD_E2E_LATENCY_MIB"

// maxSlowdown is what messages may take beside a document, in times of what
// they take alone. Only the long form insists on it: CI's machines are shared.
const maxSlowdown = 3

func TestMessagesPassADocument(t *testing.T) {
	a, b := newPair(t) // not beside other tests: they would be measured, too
	messages(a, b)     // the first ones find cold caches
	idle := slowest(messages(a, b))
	size := sizeOf(t, envLatency, 512)
	id := a.send(b, document{seed: "large", size: size})
	a.message(b)
	if v := a.transfer(id); v.State != "sending" {
		t.Errorf("the document is %s once a message has passed it", v.State)
	}
	all := messages(a, b)
	v := a.transfer(id)
	t.Logf("p99 of 100 messages: %s alone, %s beside a document, %.1f times", idle, slowest(all), float64(slowest(all))/float64(idle))
	t.Logf("the document is %s, %d of %d bytes across", v.State, v.BytesDone, v.Size)
	if size > 512<<20 && (v.State != "sending" || slowest(all) > maxSlowdown*idle) {
		t.Errorf("messages take more than %d times as long beside a document, or it was gone: %v", maxSlowdown, all)
	}
	a.deliveredWithin(patienceFor(size), id)
}

// messages sends a hundred messages, one behind the receipt of the other, and
// says how long each took from submit to delivered.
func messages(a, b *org) (all []time.Duration) {
	a.t.Helper()
	for range 100 {
		all = append(all, a.message(b))
	}
	return all
}

func (o *org) message(to *org) time.Duration {
	o.t.Helper()
	begun := time.Now()
	sent, err := o.SendMessage(o.t.Context(), client.Submission{To: []string{to.alias}}, strings.NewReader("hello"), 5)
	check(o.t, err)
	o.delivered(sent.Transfers[0].ID)
	return time.Since(begun)
}

func (o *org) transfer(id record.TransferID) apitype.Transfer {
	o.t.Helper()
	v, err := o.Transfer(o.t.Context(), id)
	check(o.t, err)
	return v
}

// slowest is the 99th percentile of a hundred.
func slowest(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[98] }
