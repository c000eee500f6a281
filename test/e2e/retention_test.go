package e2e

import (
	"bytes"
	"fmt"
	"testing"

	"dxd/exchange"
	"dxd/record"
	"dxd/test/party"
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
			a, b := party.NewPair(t)
			var sent []record.TransferID
			for range 3 {
				id := a.SendDocument(b, party.Document{Seed: "erased", Size: party.Small})
				a.Delivered(id)
				sent = append(sent, id)
			}
			before, err := a.Evidence(t.Context(), sent[0])
			party.Check(t, err)
			a.Stop()
			a.Config["retain.sent"] = `"1s"`
			a.DieAt = c.point
			a.Launch()
			party.Within(t, party.Patience, "death", a.Process.Gone)
			if !a.Process.Died() || len(a.Payloads()) != len(sent) {
				t.Fatalf("%d files are there: %s", len(a.Payloads()), a.Process.Log)
			}
			a.DieAt = ""
			a.Start()
			erasedAll(t, a, sent)
			after, err := a.Evidence(t.Context(), sent[0])
			party.Check(t, err)
			if !bytes.Equal(before, after) {
				t.Error("its evidence is another one")
			}
			if len(b.Payloads()) != len(sent) {
				t.Error("the recipient keeps less than it received")
			}
		})
	}
}

// erasedAll waits until none of the transfers has a payload any more.
func erasedAll(t *testing.T, o *party.Org, sent []record.TransferID) {
	t.Helper()
	party.Until(t, "erasure", func() string {
		for _, v := range o.AllTransfers() {
			if !v.Erased {
				return v.ID.String()
			}
		}
		if n := len(o.Payloads()); n > 0 {
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
