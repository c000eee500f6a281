package crypto

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"
	"filippo.io/age"

	"dxd/record"
)

// vector is one of the test vectors that all implementations of age share.
type vector struct {
	expect     string
	payload    string // SHA-256 in hex of all that may come out
	fileKey    []byte
	identities []age.Identity
	armored    bool
	file       []byte
}

func parseVector(t *testing.T, data []byte) (v vector) {
	t.Helper()
	compressed := false
	for line := ""; ; {
		line, data = cutLine(data)
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "":
			v.file = data
			if compressed {
				v.file = inflate(t, data)
			}
			return v
		case "expect":
			v.expect = value
		case "payload":
			v.payload = value
		case "file key":
			v.fileKey = unhex(t, value)
		case "identity":
			v.identities = append(v.identities, parseIdentity(t, value))
		case "passphrase":
			id, err := age.NewScryptIdentity(value)
			if err != nil {
				t.Fatal(err)
			}
			v.identities = append(v.identities, id)
		case "armored":
			v.armored = true
		case "compressed":
			compressed = true
		}
	}
}

func cutLine(data []byte) (string, []byte) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	return string(line), rest
}

func inflate(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseIdentity(t *testing.T, s string) age.Identity {
	t.Helper()
	if id, err := age.ParseHybridIdentity(s); err == nil {
		return id
	}
	id, err := age.ParseX25519Identity(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// split cuts a file behind the line with the MAC. What has no such line is all
// header.
func split(file []byte) (header, body []byte) {
	at := bytes.Index(file, []byte("\n---"))
	if at < 0 {
		return file, nil
	}
	end := bytes.IndexByte(file[at+1:], '\n')
	if end < 0 {
		return file, nil
	}
	return file[:at+1+end+1], file[at+1+end+1:]
}

func TestSharedVectorsOfAge(t *testing.T) {
	names, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, name := range names {
		data, err := fs.ReadFile(agetest.Vectors, name.Name())
		if err != nil {
			t.Fatal(err)
		}
		v := parseVector(t, data)
		if v.armored {
			continue // a form that dxd does not have
		}
		tried++
		t.Run(name.Name(), func(t *testing.T) { tryVector(t, v) })
	}
	if tried < 100 {
		t.Errorf("only %d vectors were tried", tried)
	}
}

func tryVector(t *testing.T, v vector) {
	header, body := split(v.file)
	key, err := openHeader(header, v.identities...)
	kind := record.KindOf(err)
	switch v.expect {
	case "success", "payload failure":
		if err != nil {
			t.Fatalf("the header is refused: %v", err)
		}
		if v.fileKey != nil && !bytes.Equal(v.fileKey, key.key()[:]) {
			t.Error("it is another file key")
		}
		tryBody(t, key, body, v)
	case "no match":
		if kind != record.Refused {
			t.Errorf("the error is %v", err)
		}
	case "header failure", "HMAC failure":
		if len(body) < bodyNonceSize && err == nil { // the vectors count the nonce as header
			tryBody(t, key, body, v)
			return
		}
		if kind != record.Invalid || !key.IsZero() {
			t.Errorf("the error is %v", err)
		}
	default:
		t.Errorf("an expectation that this test does not know: %q", v.expect)
	}
}

func tryBody(t *testing.T, key FileKey, body []byte, v vector) {
	t.Helper()
	r, err := OpenBody(key, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if sum := sha256.Sum256(out); v.payload != "" && hex.EncodeToString(sum[:]) != v.payload {
		t.Errorf("%d bytes come out that are not those", len(out))
	}
	if (err == nil) != (v.expect == "success") || err != nil && record.KindOf(err) != record.Damaged {
		t.Errorf("%s was expected, the error is %v", v.expect, err)
	}
	at, size, err := OpenBodyAt(key, bytes.NewReader(body), int64(len(body)))
	if err == nil {
		_, err = io.ReadAll(io.NewSectionReader(at, 0, size))
	}
	if (err == nil) != (v.expect == "success") {
		t.Errorf("at any place, %s was expected, the error is %v", v.expect, err)
	}
}

// FuzzOpenHeader checks that a header which opens is written in one way only.
func FuzzOpenHeader(f *testing.F) {
	identity, err := age.ParseHybridIdentity("AGE-SECRET-KEY-PQ-1HZLGZUPT4ETPKDEV8HSGFDCYZ4E522W0A7PU2LHT8EH9W6YLNC3SW78XKG")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"hybrid", "hybrid_grease", "hybrid_multiple_recipients", "hybrid_no_match", "hybrid_long_share", "hmac_bad", "header_crlf", "empty"} {
		data, err := fs.ReadFile(agetest.Vectors, name)
		if err != nil {
			f.Fatal(err)
		}
		_, file, _ := bytes.Cut(data, []byte("\n\n"))
		header, _ := split(file)
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		key, err := openHeader(header, identity)
		if err != nil {
			if !key.IsZero() {
				t.Error("a key is returned beside the error")
			}
			return
		}
		if again, err := age.ExtractHeader(bytes.NewReader(header)); err != nil || !bytes.Equal(again, header) {
			t.Errorf("written again it is %q, %v", again, err)
		}
	})
}
