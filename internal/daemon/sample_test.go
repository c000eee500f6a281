package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"dxd/client"
	"dxd/crypto"
	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/config"
	"dxd/record"
)

// sample is what a daemon of long ago said of its state directory.
type sample struct {
	Transfers []struct {
		ID                                   record.TransferID
		Direction, Kind, Name, State, Anchor string
		SHA256                               string `json:"sha256"`
		Evidence                             string // its SHA-256
		Size                                 int64
	}
	Events []struct {
		Seq  int64
		Type string
	}
	Partner struct{ Alias, Name, State, Fingerprint string }
}

// TestAStateDirectoryOfLongAgoOpens opens every sample that was ever committed:
// see testdata/README.md.
func TestAStateDirectoryOfLongAgoOpens(t *testing.T) {
	samples, err := filepath.Glob("testdata/sample-v*.tar")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no sample, %v", err)
	}
	for _, path := range samples {
		t.Run(filepath.Base(path), func(t *testing.T) { openSample(t, path) })
	}
}

func openSample(t *testing.T, path string) {
	said, err := os.ReadFile(path[:len(path)-len("tar")] + "json")
	if err != nil {
		t.Fatal(err)
	}
	var want sample
	if err := json.Unmarshal(said, &want); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir, _, err := Restore(f, filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := dir.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypto.Unlock(keyring, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := OpenOffline(t.Context(), Options{Dir: dir, Config: config.Default(), Keys: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	c, err := client.New(client.Config{API: "unix:" + o.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want.compare(t, c)
}

func (want sample) compare(t *testing.T, c *client.Client) {
	ctx := t.Context()
	for _, w := range want.Transfers {
		got, err := c.Transfer(ctx, w.ID)
		if err != nil || got.Direction != w.Direction || string(got.Kind) != w.Kind || got.Name != w.Name || got.Size != w.Size ||
			got.State != w.State || got.Anchor != w.Anchor || got.SHA256 != w.SHA256 {
			t.Errorf("transfer %s is %+v, %v", w.ID, got, err)
		}
		file, err := c.Evidence(ctx, w.ID)
		if sum := sha256.Sum256(file); err != nil || hex.EncodeToString(sum[:]) != w.Evidence {
			t.Errorf("the evidence of %s is another one, %v", w.ID, err)
		}
		want.verifies(t, w.SHA256, w.Size, file)
		if w.Kind == string(record.Notarized) {
			continue
		}
		content, err := c.Content(ctx, w.ID)
		if err != nil {
			t.Errorf("the document of %s: %v", w.ID, err)
			continue
		}
		if n, err := io.Copy(io.Discard, content); err != nil || n != w.Size { // it is hashed on the way
			t.Errorf("%d bytes of %s, %v", n, w.ID, err)
		}
		content.Close()
	}
	events, err := c.Events(ctx, client.EventFilter{After: new(int64), Limit: 1000})
	if err != nil || len(events) < len(want.Events) {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, w := range want.Events {
		if events[i].Seq != w.Seq || events[i].Type != w.Type {
			t.Errorf("event %d is %+v", i, events[i])
		}
	}
	p, err := c.Partner(ctx, want.Partner.Alias)
	if err != nil || p.Name != want.Partner.Name || p.State != want.Partner.State || p.Fingerprint.String() != want.Partner.Fingerprint {
		t.Errorf("the partner is %+v, %v", p, err)
	}
}

// verifies fails unless the evidence holds in all that takes no chain.
func (want sample) verifies(t *testing.T, sum string, size int64, file []byte) {
	t.Helper()
	digest, err := hex.DecodeString(sum)
	if err != nil {
		t.Fatal(err)
	}
	doc := hashanchor.Document{Digest: record.Digest(digest), Length: size}
	r, err := hashanchor.Verify(t.Context(), doc, file, hashanchor.Options{Contract: evm.ContractAddress()})
	if err != nil || r.ExitCode() != hashanchor.ExitUndecided || r.Block == 0 {
		t.Errorf("the evidence verifies with %d, %+v, %v", r.ExitCode(), r.Checks, err)
	}
}
