package e2e

import (
	"bytes"
	"fmt"
	"testing"

	"dxd/exchange"
	"dxd/record"
)

func TestADeathWhilePayloadsAreErasedEndsInOneState(t *testing.T) {
	for _, c := range []struct {
		name  string
		point exchange.Point
	}{
		{"the journal has the key still", exchange.BeforeErased},
		{"the journal has forgotten the key", exchange.AfterErased},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			var sent []record.TransferID
			for range 3 {
				id := a.send(b, document{seed: "erased", size: small})
				a.delivered(id)
				sent = append(sent, id)
			}
			before, err := a.Evidence(t.Context(), sent[0])
			check(t, err)
			a.stop()
			a.config["retain.sent"] = `"1s"`
			a.dieAt = c.point
			a.launch()
			within(t, patience, "death", a.process.gone)
			if !a.process.died() || len(a.payloads()) != len(sent) {
				t.Fatalf("%d files are there: %s", len(a.payloads()), a.process.log)
			}
			a.dieAt = ""
			a.start()
			erasedAll(t, a, sent)
			after, err := a.Evidence(t.Context(), sent[0])
			check(t, err)
			if !bytes.Equal(before, after) {
				t.Error("its evidence is another one")
			}
			if len(b.payloads()) != len(sent) {
				t.Error("the recipient keeps less than it received")
			}
		})
	}
}

// erasedAll waits until none of the transfers has a payload any more.
func erasedAll(t *testing.T, o *org, sent []record.TransferID) {
	t.Helper()
	until(t, "erasure", func() string {
		for _, v := range o.transfers() {
			if !v.Erased {
				return v.ID.String()
			}
		}
		if n := len(o.payloads()); n > 0 {
			return fmt.Sprintf("%d files are there", n)
		}
		return ""
	})
	for _, id := range sent {
		if _, err := o.Content(t.Context(), id); record.KindOf(err) != record.Gone {
			t.Errorf("getting it: %v", err)
		}
	}
}
