package crypto_test

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/record"
)

func generate(t testing.TB) *crypto.Keyring {
	t.Helper()
	k, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func lock(t *testing.T, k *crypto.Keyring, passphrase string) []byte {
	t.Helper()
	file, err := k.Lock([]byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// reseal mends the checksum of a keyring file that a test has changed, as one
// who wants to deceive would.
func reseal(file []byte) []byte {
	body := regexp.MustCompile(`,"checksum":"[0-9a-f]*"`).ReplaceAll(bytes.TrimSuffix(file, []byte("\n")), nil)
	sum := sha256.Sum256(body)
	return fmt.Appendf(bytes.TrimSuffix(body, []byte("}")), ",\"checksum\":%q}\n", hex.EncodeToString(sum[:]))
}

func TestKeyringOpensAgainWithAllItsKeys(t *testing.T) {
	for _, passphrase := range []string{"correct horse", ""} {
		k := generate(t)
		file := lock(t, k, passphrase)
		if needs, err := crypto.NeedsPassphrase(file); err != nil || needs != (passphrase != "") {
			t.Errorf("NeedsPassphrase = %v, %v with the passphrase %q", needs, err, passphrase)
		}
		again, err := crypto.Unlock(file, []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lock(t, k, ""), lock(t, again, "")) || k.Org() != again.Org() || k.Node() != again.Node() {
			t.Error("the keyring changed on its way through the file")
		}
	}
}

func TestTwoFilesOfOneKeyringDiffer(t *testing.T) {
	k := generate(t)
	if bytes.Equal(lock(t, k, "p"), lock(t, k, "p")) {
		t.Error("salt or nonce was used twice")
	}
}

func TestFileWithoutPassphraseSaysThatItIsUnprotected(t *testing.T) {
	if file := lock(t, generate(t), ""); !bytes.Contains(file, []byte("whoever reads this file has every key")) {
		t.Errorf("it does not:\n%s", file)
	}
}

func TestWrongPassphraseIsRefused(t *testing.T) {
	file := lock(t, generate(t), "correct")
	for _, wrong := range []string{"Correct", "correct ", ""} {
		if _, err := crypto.Unlock(file, []byte(wrong)); record.KindOf(err) != record.Refused {
			t.Errorf("with %q the error is %v", wrong, err)
		}
	}
}

func TestChangedByteOfAKeyringIsDamage(t *testing.T) {
	for _, passphrase := range []string{"correct", ""} {
		file := lock(t, generate(t), passphrase)
		for i := range file {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << (i % 7)
			// A flipped version digit may look like a newer version.
			if _, err := crypto.Unlock(bad, []byte(passphrase)); record.KindOf(err) != record.Damaged && record.KindOf(err) != record.Invalid {
				t.Fatalf("with byte %d changed the error is %v", i, err)
			}
			if _, err := crypto.Unlock(file[:i], []byte(passphrase)); record.KindOf(err) != record.Damaged {
				t.Fatalf("cut to %d bytes the error is %v", i, err)
			}
		}
	}
}

func TestForgedKeyringIsRefused(t *testing.T) {
	k := generate(t)
	file, open := lock(t, k, "correct"), lock(t, k, "")
	edit := func(file []byte, old, new string) []byte {
		b := regexp.MustCompile(old).ReplaceAll(file, []byte(new))
		if bytes.Equal(b, file) {
			t.Fatalf("nothing matches %q", old)
		}
		return reseal(b)
	}
	keys := func(from, to string) []byte {
		m := regexp.MustCompile(`"keys":"([^"]*)"`).FindSubmatch(open)
		plain, err := base64.StdEncoding.DecodeString(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		changed := regexp.MustCompile(from).ReplaceAll(plain, []byte(to))
		if bytes.Equal(changed, plain) {
			t.Fatalf("nothing matches %q", from)
		}
		return edit(open, `"keys":"[^"]*"`, `"keys":"`+base64.StdEncoding.EncodeToString(changed)+`"`)
	}
	zero, ones := strings.Repeat("0", 64), strings.Repeat("f", 64)
	for name, c := range map[string]struct {
		file []byte
		kind record.Kind
	}{
		"100 GB of memory":                  {edit(file, `"memory_kib":65536`, `"memory_kib":100000000`), record.Damaged},
		"no memory":                         {edit(file, `"memory_kib":65536`, `"memory_kib":0`), record.Damaged},
		"a million passes":                  {edit(file, `"passes":3`, `"passes":1000000`), record.Damaged},
		"no pass":                           {edit(file, `"passes":3`, `"passes":0`), record.Damaged},
		"256 lanes":                         {edit(file, `"lanes":4`, `"lanes":256`), record.Damaged},
		"no lane":                           {edit(file, `"lanes":4`, `"lanes":0`), record.Damaged},
		"another salt":                      {edit(file, `"salt":".."`+`?`, `"salt":"00`), record.Refused},
		"fewer passes":                      {edit(file, `"passes":3`, `"passes":2`), record.Refused},
		"a newer version":                   {edit(file, `"version":1`, `"version":3`), record.Invalid},
		"a newer version, with new members": {edit(file, `"version":1`, `"version":3,"new":true`), record.Invalid},
		"version 0":                         {edit(file, `"version":1`, `"version":0`), record.Damaged},
		"another format":                    {edit(file, `dxd keyring`, `dxd ring`), record.Damaged},
		"an unknown protection":             {edit(file, `"passphrase"`, `"rot13"`), record.Damaged},
		"protection denied":                 {edit(file, `"passphrase"`, `"none: whoever reads this file has every key"`), record.Damaged},
		"an unknown member":                 {edit(file, `"keys"`, `"more":1,"keys"`), record.Damaged},
		"white space":                       {edit(file, `,"keys"`, `, "keys"`), record.Damaged},
		"no keys":                           {edit(file, `"keys":"[^"]*"`, `"keys":""`), record.Refused},
		"keys that are not base64":          {edit(file, `"keys":"`, `"keys":"*`), record.Damaged},
		"an account of 0":                   {keys(`"accounts":\["[^"]*"`, `"accounts":["`+zero+`"`), record.Damaged},
		"an account above the order":        {keys(`"accounts":\["[^"]*"`, `"accounts":["`+ones+`"`), record.Damaged},
		"a root in capitals":                {keys(`"root":"[^"]*"`, `"root":"`+strings.ToUpper(ones)+`"`), record.Damaged},
		"no node":                           {keys(`"nodes":\[[^]]*\]`, `"nodes":[]`), record.Damaged},
		"17 nodes":                          {keys(`"nodes":\[[^]]*\]`, `"nodes":["`+strings.Repeat(zero+`","`, 16)+zero+`"]`), record.Damaged},
		"a recipient key of another sort":   {keys(`AGE-SECRET-KEY-PQ-1[^"]*`, `AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX`), record.Damaged},
		"an index key that is too short":    {keys(`"index":"..`, `"index":"`), record.Damaged},
		"an unknown key":                    {keys(`"root"`, `"more":"","root"`), record.Damaged},
		"empty":                             {nil, record.Damaged},
		"2 MiB":                             {append(bytes.Repeat([]byte(" "), 2<<20), file...), record.Damaged},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := crypto.Unlock(c.file, []byte("correct"))
			if record.KindOf(err) != c.kind || k != nil {
				t.Errorf("the error is %v, not of kind %s", err, c.kind)
			}
		})
	}
}

func TestReformedFileOpens(t *testing.T) { // so that the table above tests what it says
	file := lock(t, generate(t), "")
	if _, err := crypto.Unlock(reseal(file), nil); err != nil {
		t.Error(err)
	}
}

func TestSealerIsOneForTheJournal(t *testing.T) {
	var s blobstore.Sealer = generate(t).Sealer()
	box := s.Seal([]byte("value"), []byte("key"))
	if got, err := s.Open(box, []byte("key")); err != nil || string(got) != "value" {
		t.Errorf("a value does not open: %q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"under another key":    func() ([]byte, error) { return s.Open(box, []byte("other")) },
		"cut":                  func() ([]byte, error) { return s.Open(box[:len(box)-1], []byte("key")) },
		"empty":                func() ([]byte, error) { return s.Open(nil, []byte("key")) },
		"in another's journal": func() ([]byte, error) { return generate(t).Sealer().Open(box, []byte("key")) },
	} {
		if got, err := open(); record.KindOf(err) != record.Damaged || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if bytes.Equal(s.Seal(nil, nil), s.Seal(nil, nil)) {
		t.Error("two sealed values are the same")
	}
}

func TestIndexDependsOnLabelValueAndKeyring(t *testing.T) {
	s := generate(t).Sealer()
	seen := map[[16]byte]string{}
	for _, c := range [][2]string{{"alias", "a"}, {"alias", "b"}, {"aliasa", ""}, {"", "aliasa"}, {"org", "a"}} {
		i := s.Index(c[0], []byte(c[1]))
		if before, ok := seen[i]; ok {
			t.Errorf("%q and %q have one index", c, before)
		}
		seen[i] = fmt.Sprint(c)
		if i != s.Index(c[0], []byte(c[1])) {
			t.Errorf("the index of %q changes", c)
		}
		if i == generate(t).Sealer().Index(c[0], []byte(c[1])) {
			t.Errorf("the index of %q is no secret", c)
		}
	}
}

func TestFileKeyIsWrappedForOneKeyringAndOnePlace(t *testing.T) {
	k := generate(t)
	key, body := sealed(t, []byte("x"))
	box := k.WrapFileKey(key, []byte("here"))
	again, err := k.UnwrapFileKey(box, []byte("here"))
	if err != nil {
		t.Fatalf("the key does not come back: %v", err)
	}
	if _, _, err := crypto.OpenBodyAt(again, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Error(err)
	}
	if _, err := k.UnwrapFileKey(box, []byte("there")); record.KindOf(err) != record.Damaged {
		t.Errorf("in another place the error is %v", err)
	}
	if _, err := generate(t).UnwrapFileKey(box, []byte("here")); record.KindOf(err) != record.Damaged {
		t.Errorf("in another keyring the error is %v", err)
	}
	// The storage key and the journal key are not the same one.
	if _, err := k.Sealer().Open(box, []byte("here")); record.KindOf(err) != record.Damaged {
		t.Errorf("under the journal key the error is %v", err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	k := generate(t)
	key, _ := sealed(t, nil)
	raw := secretsOf(t, k)
	type outer struct {
		Key     crypto.FileKey
		key     crypto.FileKey
		Ring    *crypto.Keyring
		ring    *crypto.Keyring
		copied  crypto.Keyring
		sealer  *crypto.Sealer
		sealed  crypto.Sealer
		signer  stdcrypto.Signer
		pointed *crypto.FileKey
	}
	for name, v := range map[string]any{
		"a keyring":                  k,
		"a keyring's value":          *k,
		"a file key":                 key,
		"a file key, by its address": &key,
		"a sealer":                   k.Sealer(),
		"a node's signer":            k.NodeSigner(),
		"a struct with them":         outer{key, key, k, k, *k, k.Sealer(), *k.Sealer(), k.NodeSigner(), &key},
		"a slice of them":            []any{k, key, k.NodeSigner()},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
			if b, err := json.Marshal(v); err == nil {
				t.Errorf("it can be encoded: %s", b)
			}
			for _, secret := range raw {
				if strings.Contains(strings.ToLower(out.String()), secret) {
					t.Errorf("a secret is printed")
				}
			}
			if regexp.MustCompile(`\[\d+ \d+ \d+ \d+|0x[0-9a-f]{1,2}, `).MatchString(out.String()) {
				t.Errorf("bytes are printed: %.300s", out.String())
			}
		})
	}
}

// secretsOf reads a keyring's secrets out of an unprotected file, in the forms
// in which they might be printed.
func secretsOf(t *testing.T, k *crypto.Keyring) (out []string) {
	t.Helper()
	var f struct{ Keys []byte }
	if err := json.Unmarshal(lock(t, k, ""), &f); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"([0-9a-f]{64}|AGE-SECRET[^"]*)"`).FindAllSubmatch(f.Keys, -1) {
		out = append(out, strings.ToLower(string(m[1])))
		if raw, err := hex.DecodeString(string(m[1])); err == nil {
			out = append(out, strings.Trim(fmt.Sprint(raw), "[]"), strings.ToLower(base64.StdEncoding.EncodeToString(raw)))
		}
	}
	if len(out) != 7*3+1 {
		t.Fatalf("a keyring has 8 secrets, not %d", len(out))
	}
	return out
}

func TestNodeSignerSignsForTheNetworkButNoRecords(t *testing.T) {
	k := generate(t)
	s := k.NodeSigner()
	public := s.Public().(ed25519.PublicKey)
	if !bytes.Equal(public, k.Node().Key()) {
		t.Error("it has another key than the node")
	}
	sig, err := s.Sign(nil, []byte("libp2p-tls-handshake:x"), stdcrypto.Hash(0))
	if err != nil || !ed25519.Verify(public, []byte("libp2p-tls-handshake:x"), sig) {
		t.Errorf("it does not sign a handshake: %v", err)
	}
	presence, err := k.SignPresence(record.Presence{Header: record.Header{Card: record.RecordID{1}}, Addresses: []string{}, Expires: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(nil, presence.PAE(), stdcrypto.Hash(0)); record.KindOf(err) != record.Refused {
		t.Errorf("for a record the error is %v", err)
	}
	if _, err := s.Sign(nil, make([]byte, 64), stdcrypto.SHA512); err == nil {
		t.Error("it signs a hash")
	}
}
