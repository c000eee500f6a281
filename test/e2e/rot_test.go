package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dxd/api/apitype"
	"dxd/test/party"
)

// checkOf is what the doctor says of the payloads that are kept.
func checkOf(o *party.Org) apitype.Check {
	o.T.Helper()
	d, err := o.Doctor(o.T.Context(), "")
	party.Check(o.T, err)
	for _, c := range d.Checks {
		if c.Name == "payloads" {
			return c
		}
	}
	o.T.Fatalf("the doctor says nothing of payloads: %+v", d.Checks)
	return apitype.Check{}
}

// TestTheScheduledCheckFindsWhatTheDiskForgot flips a bit under a daemon that
// runs, of what it received and of what it sent and keeps.
func TestTheScheduledCheckFindsWhatTheDiskForgot(t *testing.T) {
	t.Parallel()
	a, b := party.NewOrg(t, "alpha"), party.NewOrg(t, "beta")
	for _, o := range []*party.Org{a, b} {
		o.Config["check.every"], o.Config["check.pace"] = `"1s"`, `"1GiB"`
		o.Start()
	}
	party.Pair(a, b)
	d := party.Document{Seed: "forgotten", Size: party.Large}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	for _, o := range []*party.Org{a, b} {
		party.Until(t, "a check", func() string {
			if c := checkOf(o); !c.OK || !strings.Contains(c.Detail, "kept read 1 ") {
				return c.Detail
			}
			return ""
		})
		path := o.OnlyPayload()
		flipAt(half)(t, path)
		o.Alarmed(id.String(), "damaged")
		if c := checkOf(o); c.OK || !strings.Contains(c.Detail, id.String()) {
			t.Errorf("the doctor says: %+v", c)
		}
		o.Stop() // what is known is known after a start
		o.Start()
		if c := checkOf(o); c.OK {
			t.Errorf("the doctor says after a start: %+v", c)
		}
		flipAt(half)(t, path) // as it was
		party.Until(t, "health", func() string {
			if c := checkOf(o); !c.OK {
				return c.Detail
			}
			return ""
		})
		o.Keeps(id, d)
		o.Alarmed(id.String()) // once
	}
}

// half is the middle of it.
const half = party.Large / 2

// TestADamagedKeyringIsRefused flips bits all over the file, cuts it and takes
// it away. Nothing of it is believed, and nothing else is touched.
func TestADamagedKeyringIsRefused(t *testing.T) {
	t.Parallel()
	a, b := party.NewPair(t)
	d := party.Document{Seed: "keyring", Size: party.Small}
	id := a.SendDocument(b, d)
	a.Delivered(id)
	b.Stop()
	path := filepath.Join(b.Dir, "keyring")
	whole, err := os.ReadFile(path)
	party.Check(t, err)
	refused := func(what string) {
		t.Helper()
		said := lastLine(b.FailsToStart())
		t.Logf("%s: %s", what, said)
		if !strings.HasPrefix(said, "dxd: error: ") || strings.Contains(said, "panic") {
			t.Errorf("%s: it said: %s", what, said)
		}
	}
	for i := range 8 {
		at := (2*i + 1) * len(whole) / 16
		flipAt(int64(at))(t, path)
		refused(fmt.Sprintf("byte %d of %d", at, len(whole)))
		party.Check(t, os.WriteFile(path, whole, 0o600))
	}
	cutShort(t, path)
	refused("the last byte is gone")
	party.Check(t, os.WriteFile(path, nil, 0o600))
	refused("it is empty")
	party.Check(t, os.Remove(path))
	refused("it is gone")
	party.Check(t, os.WriteFile(path, whole, 0o600))
	b.Start()
	b.Keeps(id, d)
}
