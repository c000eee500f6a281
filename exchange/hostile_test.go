package exchange_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/record"
)

// The frames of docs/spec/wire.md, written by hand: a partner gone bad does
// not use our code.
const (
	typeOffer   = 1
	typeBody    = 2
	typeClosing = 3
	typeAnswer  = 4
	typeReceipt = 5
	typeRefusal = 6
)

func writeFrame(t *testing.T, w io.Writer, kind byte, content []byte) {
	t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(content)))
	if _, err := w.Write(append(append(b, kind), content...)); err != nil {
		t.Logf("writing a frame: %v", err) // the other side may have had enough
	}
}

func readFrame(r io.Reader) (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	content = make([]byte, binary.BigEndian.Uint32(head[:4])-1)
	_, err = io.ReadFull(r, content)
	return head[4], content, err
}

// forgery is a whole delivery that a test can change in one place before it
// is signed or sent.
type forgery struct {
	ID       record.TransferID
	Doc      []byte // what is sealed
	Manifest record.Manifest
	Opening  record.Opening
	Version  int
	Lane     string
	Sealed   int64 // as announced
	Early    int
	Nonce    record.BodyNonce
	Header   []byte
	Body     []byte
	Openings func(opening []byte) []byte // packed, before they are sealed
	Closing  func(map[string]any)

	key crypto.FileKey
}

func newForgery(t *testing.T, from, to *node) *forgery {
	t.Helper()
	f := &forgery{ID: record.TransferID(uuid.Must(uuid.NewV7())), Doc: []byte("a document"), Version: 1, Lane: "doc"}
	f.seal(t, to)
	f.Opening = record.Opening{
		Transfer: f.ID, Kind: record.Document, Name: "a.txt", MediaType: "text/plain",
		Length: int64(len(f.Doc)), Digest: sha256.Sum256(f.Doc), Salt: record.Nonce{1},
	}
	f.Manifest = record.Manifest{
		Header:    record.Header{Card: from.book.Self().ID(), Created: time.Now().UnixMilli()},
		Recipient: to.keys.Org(), RecipientCard: to.book.Self().ID(),
		Number: record.Number{Epoch: record.Epoch(f.ID), Lane: record.LaneDoc, Sequence: 1},
		Items:  1, SealedLength: f.Sealed, BodyNonce: f.Nonce,
	}
	f.Openings = func(o []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(o))), o...) }
	return f
}

func (f *forgery) seal(t *testing.T, to *node) {
	t.Helper()
	var body bytes.Buffer
	w, err := crypto.SealBody(&body)
	check(t, err)
	_, err = w.Write(f.Doc)
	check(t, err)
	check(t, w.Close())
	f.key, f.Nonce, f.Body, f.Sealed = w.Key(), w.Nonce(), body.Bytes(), int64(body.Len())
	f.Early = body.Len()
	f.Header, err = crypto.SealHeader(f.key, to.keys.Recipient())
	check(t, err)
}

// deliver sends the forgery and returns the last frame that came back.
func (f *forgery) deliver(t *testing.T, from, to *node) (kind byte, content []byte) {
	t.Helper()
	opening, err := f.Opening.Bytes()
	check(t, err)
	if f.Manifest.Root.IsZero() {
		f.Manifest.Root = record.LeafHash(opening)
	}
	manifest, err := from.keys.SignManifest(f.Manifest)
	check(t, err)
	s := openRaw(t, from, to)
	offer, err := json.Marshal(map[string]any{
		"v": f.Version, "id": f.ID.String(), "lane": f.Lane, "sealed_length": f.Sealed,
		"body_nonce": f.Nonce.String(), "header": f.Header, "early": f.Early,
	})
	check(t, err)
	writeFrame(t, s, typeOffer, offer)
	writeFrame(t, s, typeBody, f.Body)
	writeFrame(t, s, typeBody, nil)
	closing := map[string]any{
		"manifest": json.RawMessage(manifest.Bytes()),
		"openings": crypto.SealOpenings(f.key, f.Openings(opening)),
	}
	if f.Closing != nil {
		f.Closing(closing)
	}
	raw, err := json.Marshal(closing)
	check(t, err)
	writeFrame(t, s, typeClosing, raw)
	return lastFrame(s)
}

// lastFrame reads to the end of the stream.
func lastFrame(s io.Reader) (kind byte, content []byte) {
	for {
		k, c, err := readFrame(s)
		if err != nil || k == typeReceipt || k == typeRefusal {
			if err == nil {
				kind, content = k, c
			}
			return kind, content
		}
		kind, content = k, c
	}
}

func openRaw(t *testing.T, from, to *node) exchange.Stream {
	t.Helper()
	return from.stream(t, to, exchange.ProtocolTransfer)
}

func TestAHonestDeliveryByHandIsReceived(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newForgery(t, a, b)
	kind, content := f.deliver(t, a, b)
	if kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	if got := b.document(f.ID); !bytes.Equal(got, f.Doc) {
		t.Error("another document came out")
	}
	// The same once more is answered with the same receipt, and kept once.
	if kind, again := f.deliver(t, a, b); kind != typeAnswer || !bytes.Contains(again, []byte(`"receipt"`)) {
		t.Errorf("sent again: a frame of type %d: %s", kind, again)
	}
}

func TestARecipientRefusesWhatDoesNotHold(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	other := randomDocument(10)
	tests := []struct {
		what   string
		change func(f *forgery)
		reason string
	}{
		{"another version", func(f *forgery) { f.Version = 2 }, "rejected"},
		{"a lane that is none", func(f *forgery) { f.Lane = "vip" }, "rejected"},
		{"an id that is no UUIDv7", func(f *forgery) { f.ID[6] = 0x40 }, "rejected"},
		{"a length that no body has", func(f *forgery) { f.Sealed = 7 }, "rejected"},
		{"a negative length", func(f *forgery) { f.Sealed = -5 }, "rejected"},
		{"another nonce than the body's", func(f *forgery) { f.Nonce[0] ^= 1 }, "rejected"},
		{"a flipped bit in the body", func(f *forgery) { f.Body[len(f.Body)-1] ^= 1 }, "damaged"},
		{"a body longer than announced", func(f *forgery) { f.Sealed--; f.Early--; f.Manifest.SealedLength-- }, "rejected"},
		{"a header for somebody else", func(f *forgery) {
			h, err := crypto.SealHeader(f.key, c.keys.Recipient())
			check(t, err)
			f.Header = h
		}, "card"},
		{"the digest of another document", func(f *forgery) { f.Opening.Digest = sha256.Sum256(other) }, "rejected"},
		{"a length that lies", func(f *forgery) { f.Opening.Length++ }, "rejected"},
		{"the opening of another transfer", func(f *forgery) { f.Opening.Transfer = record.TransferID(uuid.Must(uuid.NewV7())) }, "rejected"},
		{"an opening at another index", func(f *forgery) { f.Opening.Index = 1 }, "rejected"},
		{"a root of something else", func(f *forgery) { f.Manifest.Root = record.Hash{1} }, "rejected"},
		{"a manifest for somebody else", func(f *forgery) { f.Manifest.Recipient = c.keys.Org() }, "rejected"},
		{"a manifest under somebody else's card of us", func(f *forgery) { f.Manifest.RecipientCard = c.book.Self().ID() }, "rejected"},
		{"a manifest of another body", func(f *forgery) { f.Manifest.BodyNonce[0] ^= 1 }, "rejected"},
		{"a manifest of another length", func(f *forgery) { f.Manifest.SealedLength++ }, "rejected"},
		{"a manifest in the other lane", func(f *forgery) { f.Manifest.Lane = record.LaneMsg }, "rejected"},
		{"a manifest by a card that is not known", func(f *forgery) { f.Manifest.Card = record.RecordID{9} }, "card"},
		{"no opening", func(f *forgery) { f.Openings = func([]byte) []byte { return nil } }, "rejected"},
		{"two openings", func(f *forgery) {
			one := f.Openings
			f.Openings = func(o []byte) []byte { return append(one(o), one(o)...) }
		}, "rejected"},
		{"an opening that is cut off", func(f *forgery) {
			one := f.Openings
			f.Openings = func(o []byte) []byte { return one(o)[:20] }
		}, "rejected"},
		{"openings under another key", func(f *forgery) {
			f.Closing = func(c map[string]any) { c["openings"] = []byte("not sealed with this key at all, but long enough") }
		}, "rejected"},
		{"a manifest that is no record", func(f *forgery) {
			f.Closing = func(c map[string]any) { c["manifest"] = map[string]string{"payload": "x"} }
		}, "rejected"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			f := newForgery(t, a, b)
			test.change(f)
			kind, content := f.deliver(t, a, b)
			var r struct{ Reason string }
			if kind == typeRefusal {
				check(t, json.Unmarshal(content, &r))
			}
			if r.Reason != test.reason {
				t.Errorf("answered with type %d, %s; want a refusal as %q", kind, content, test.reason)
			}
			if _, err := b.Get(t.Context(), f.ID); record.KindOf(err) != record.NotFound {
				t.Errorf("the recipient keeps a transfer: %v", err)
			}
		})
	}
	b.keepsNoFile()
}

func TestAPartnerCantUseAnothersTransfer(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	f := newForgery(t, a, b)
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	g := newForgery(t, c, b)
	g.ID, g.Opening.Transfer = f.ID, f.ID
	if kind, content := g.deliver(t, c, b); kind != typeRefusal {
		t.Errorf("a frame of type %d came back: %s", kind, content)
	}
	if got := b.document(f.ID); !bytes.Equal(got, f.Doc) {
		t.Error("the document changed")
	}
}

func TestOneNumberIsNotTakenTwice(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newForgery(t, a, b)
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	g := newForgery(t, a, b)
	g.Manifest.Number = f.Manifest.Number
	if kind, content := g.deliver(t, a, b); kind != typeRefusal {
		t.Errorf("a second record with the number: a frame of type %d: %s", kind, content)
	}
}

func TestFramesThatAreNoneEndTheStream(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, raw := range map[string][]byte{
		"a frame of no bytes":      {0, 0, 0, 0, 0},
		"a frame of 4 GiB":         {0xff, 0xff, 0xff, 0xff, typeOffer},
		"an offer that is no JSON": {0, 0, 0, 3, typeOffer, '{', 'x'},
		"a body before an offer":   {0, 0, 0, 2, typeBody, 1},
		"nothing":                  {},
	} {
		s := openRaw(t, a, b)
		_, err := s.Write(raw)
		check(t, err)
		check(t, s.CloseWrite())
		if kind, content := lastFrame(s); kind != 0 && kind != typeRefusal {
			t.Errorf("%s: answered with type %d, %s", what, kind, content)
		}
	}
	a.delivered(a.send("bert", []byte("goes on")).ID)
}
