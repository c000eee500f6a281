package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/record"
)

// writeCard makes a card file of a fresh organisation.
func writeCard(t *testing.T, name string, created time.Time) (path string, content []byte) {
	t.Helper()
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	card, err := keys.SignCard(record.Card{
		Header: record.Header{Created: created.UnixMilli()},
		Name:   name, Serial: 1, Expires: created.Add(time.Hour).UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	presence, err := keys.SignPresence(record.Presence{
		Header:    record.Header{Card: card.ID(), Created: created.UnixMilli()},
		Addresses: []string{"/ip4/192.0.2.1/tcp/4600"}, Expires: created.Add(time.Hour).UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err = record.CardFile{Card: card.Envelope, Presence: []record.Envelope{presence.Envelope}}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "card.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func dxd(t *testing.T, in []byte, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, bytes.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func TestCardShowExplainsACard(t *testing.T) {
	path, content := writeCard(t, "Acme Ltd", time.Now())
	code, out, stderr := dxd(t, nil, "card", "show", path)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"Acme Ltd", "/ip4/192.0.2.1/tcp/4600", "serial        1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "(expired)") {
		t.Errorf("a valid card is said to have expired\n%s", out)
	}
	code, fromStdin, _ := dxd(t, content, "card", "show", "-", "--json")
	if code != 0 || !strings.Contains(fromStdin, `"addresses":["/ip4/192.0.2.1/tcp/4600"],"serial":1,"expires":"`) {
		t.Errorf("exit %d, %s", code, fromStdin)
	}
}

func TestCardShowOfAnExpiredCardSaysSo(t *testing.T) {
	path, _ := writeCard(t, "Acme Ltd", time.Now().Add(-2*time.Hour))
	code, out, _ := dxd(t, nil, "card", "show", path)
	if code != 0 || !strings.Contains(out, "(expired)") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestCardShowRefusesWhatIsNoCard(t *testing.T) {
	_, content := writeCard(t, "Acme Ltd", time.Now())
	other, _ := writeCard(t, "Acme Ltd", time.Now())
	forged := bytes.Replace(content, []byte(`"sig":"`), []byte(`"sig":"A`), 1)
	for name, tt := range map[string]struct {
		in   []byte
		path string
		code int
	}{
		"forged signature":   {forged, "-", 1},
		"not JSON":           {[]byte("\x1b[31mcard"), "-", 1},
		"empty":              {nil, "-", 1},
		"endless":            {bytes.Repeat([]byte("a"), record.MaxCardFile+1), "-", 1},
		"file that is gone":  {nil, other + ".gone", 1},
		"directory":          {nil, filepath.Dir(other), 1},
		"two cards in a row": {append(bytes.Clone(content), content...), "-", 1},
	} {
		code, out, stderr := dxd(t, tt.in, "card", "show", tt.path)
		if code != tt.code || out != "" || !strings.HasPrefix(stderr, "dxd: error: ") || strings.Contains(stderr, "\x1b") {
			t.Errorf("%s: exit %d, out %q, stderr %q", name, code, out, stderr)
		}
	}
}

func TestCardShowTellsWhereTheFileSaysThatTheCardIsAnchored(t *testing.T) {
	whole, err := os.ReadFile("../../docs/spec/testdata/card-file-proof.json")
	if err != nil {
		t.Fatal(err)
	}
	code, out, stderr := dxd(t, whole, "card", "show", "-")
	if code != 0 || !strings.Contains(out, "in block 60 of chain 1337, as the file says") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
	code, out, _ = dxd(t, whole, "card", "show", "-", "--json")
	if code != 0 || !strings.Contains(out, `"anchored":{"chain_id":1337,"account":"0x`) {
		t.Errorf("exit %d, %s", code, out)
	}
	code, out, stderr = dxd(t, bytes.Replace(whole, []byte(`"index":`), []byte(`"more":1,"index":`), 1), "card", "show", "-")
	if code != 1 || out != "" || !strings.Contains(stderr, "not a proof") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
}
