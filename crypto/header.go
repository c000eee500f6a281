package crypto

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"

	"filippo.io/age"

	"dxd/record"
)

// age can't wrap a file key that it did not draw, nor write a header without
// a body. Both follow from its specification (c2sp.org/age, "Header"), and age
// itself reads what is written here.

// MaxHeader is the largest header in bytes. One post-quantum recipient takes
// about 1,700.
const MaxHeader = 4096

const (
	headerIntro   = "age-encryption.org/v1\n"
	headerColumns = 64
)

var headerBase64 = base64.RawStdEncoding.Strict()

// SealHeader wraps the key for one age recipient. The header followed by the
// body is a valid age file.
func SealHeader(key FileKey, recipient string) ([]byte, error) {
	r, err := parseRecipient(recipient)
	if err != nil {
		return nil, err
	}
	if err := key.check(); err != nil {
		return nil, err
	}
	stanzas, err := r.Wrap(key.key()[:])
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't wrap a file key: %w", err)
	}
	return writeHeader(key, stanzas), nil
}

// writeHeader writes the version line, the stanzas and the MAC over them.
func writeHeader(key FileKey, stanzas []*age.Stanza) []byte {
	var b bytes.Buffer
	b.WriteString(headerIntro)
	for _, s := range stanzas {
		writeStanza(&b, s)
	}
	b.WriteString("---")
	h := hmac.New(sha256.New, key.derive("header"))
	h.Write(b.Bytes())
	b.WriteString(" " + headerBase64.EncodeToString(h.Sum(nil)) + "\n")
	return b.Bytes()
}

// writeStanza writes the type, the arguments, and the body in lines of 64
// columns. The last line is always shorter, so it may be empty.
func writeStanza(b *bytes.Buffer, s *age.Stanza) {
	b.WriteString("-> " + strings.Join(append([]string{s.Type}, s.Args...), " ") + "\n")
	body := headerBase64.EncodeToString(s.Body)
	for ; len(body) >= headerColumns; body = body[headerColumns:] {
		b.WriteString(body[:headerColumns] + "\n")
	}
	b.WriteString(body + "\n")
}

// OpenHeader unwraps the file key from a header for one of our recipient
// keys. The error is of kind Refused if it is for others, and Invalid if it is
// no header, or if anything stands behind it.
func (k *Keyring) OpenHeader(header []byte) (FileKey, error) {
	identities := make([]age.Identity, len(k.secrets().recipients))
	for i, r := range k.secrets().recipients {
		identities[i] = r
	}
	return openHeader(header, identities...)
}

func openHeader(header []byte, identities ...age.Identity) (FileKey, error) {
	if len(header) > MaxHeader {
		return FileKey{}, record.Errorf(record.Invalid, "an age header of %d bytes, %d are allowed", len(header), MaxHeader)
	}
	// age would silently leave what stands behind the header.
	again, err := age.ExtractHeader(bytes.NewReader(header))
	if err != nil || !bytes.Equal(again, header) {
		return FileKey{}, record.Errorf(record.Invalid, "not an age header")
	}
	key, err := age.DecryptHeader(header, identities...)
	if none := new(age.NoIdentityMatchError); errors.As(err, &none) {
		return FileKey{}, record.Errorf(record.Refused, "the payload is sealed for another recipient key")
	}
	if err != nil {
		return FileKey{}, record.Errorf(record.Invalid, "not an age header for a post-quantum recipient: %s", record.Printable(err.Error(), 200))
	}
	return newFileKey(key)
}

// CheckRecipient tells whether s is a post-quantum hybrid age recipient in
// its one spelling.
func CheckRecipient(s string) error {
	_, err := parseRecipient(s)
	return err
}

// known keeps recipients by what they were parsed from: that takes as long as to
// seal a header.
var known struct {
	mu         sync.Mutex
	recipients map[string]*age.HybridRecipient
}

// maxKnown bounds them; each takes some kilobytes.
const maxKnown = 1000

func parseRecipient(s string) (*age.HybridRecipient, error) {
	known.mu.Lock()
	r := known.recipients[s]
	known.mu.Unlock()
	if r != nil {
		return r, nil
	}
	r, err := age.ParseHybridRecipient(s)
	if err != nil || r.String() != s {
		return nil, record.Errorf(record.Invalid, "not a post-quantum age recipient: %q", record.Printable(s, 40))
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.recipients == nil || len(known.recipients) == maxKnown {
		known.recipients = map[string]*age.HybridRecipient{}
	}
	known.recipients[strings.Clone(s)] = r
	return r, nil
}
