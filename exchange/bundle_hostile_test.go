package exchange_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"dxd/crypto"
	"dxd/event"
	"dxd/exchange"
	"dxd/record"
)

func newID() record.TransferID { return record.TransferID(uuid.Must(uuid.NewV7())) }

// bundleForgery is a bundle that a test can change in one place before it is
// signed or sent.
type bundleForgery struct {
	ID       record.TransferID
	Bodies   [][]byte
	Openings []record.Opening
	Lane     string
	Alone    bool
	Manifest func(*record.Manifest)
	Packed   func([]byte) []byte // before they are sealed
}

// newBundleForgery has three messages.
func newBundleForgery() *bundleForgery {
	f := &bundleForgery{ID: newID(), Lane: "msg", Manifest: func(*record.Manifest) {}, Packed: func(b []byte) []byte { return b }}
	for _, body := range []string{"one", "two", "three"} {
		f.add(body)
	}
	return f
}

func (f *bundleForgery) add(body string) {
	f.Openings = append(f.Openings, record.Opening{
		Transfer: newID(), Index: int64(len(f.Openings)), Kind: record.Message, MediaType: "text/plain",
		Length: int64(len(body)), Digest: sha256.Sum256([]byte(body)), Salt: record.Nonce{1},
	})
	f.Bodies = append(f.Bodies, []byte(body))
}

// deliver sends the forgery and returns the last frame that came back.
func (f *bundleForgery) deliver(t *testing.T, from, to *node) (kind byte, content []byte) {
	t.Helper()
	return f.sign(t, from, to).deliver(t, from, to)
}

// signedForgery is a forgery as it goes over the wire.
type signedForgery struct {
	offer, closing map[string]any
	sealed         []byte
}

// sign seals and signs the forgery.
func (f *bundleForgery) sign(t *testing.T, from, to *node) signedForgery {
	t.Helper()
	var sealed bytes.Buffer
	w, err := crypto.SealBody(&sealed)
	check(t, err)
	_, err = w.Write(bytes.Join(f.Bodies, nil))
	check(t, err)
	check(t, w.Close())
	header, err := crypto.SealHeader(w.Key(), to.keys.Recipient())
	check(t, err)
	var packed []byte
	var leaves []record.Hash
	for _, o := range f.Openings {
		raw, err := o.Bytes()
		check(t, err)
		packed = append(binary.BigEndian.AppendUint32(packed, uint32(len(raw))), raw...)
		leaves = append(leaves, record.LeafHash(raw))
	}
	m := record.Manifest{
		Header:    record.Header{Card: from.book.Self().ID(), Created: time.Now().UnixMilli()},
		Recipient: to.keys.Org(), RecipientCard: to.book.Self().ID(),
		Number: record.Number{Epoch: record.Epoch(f.ID), Lane: record.LaneMsg, Sequence: 1},
		Items:  int64(len(f.Openings)), Root: record.TreeRoot(leaves), SealedLength: int64(sealed.Len()), BodyNonce: w.Nonce(),
	}
	f.Manifest(&m)
	manifest, err := from.keys.SignManifest(m)
	check(t, err)
	offer := map[string]any{
		"v": 1, "id": f.ID.String(), "lane": f.Lane, "sealed_length": sealed.Len(), "body_nonce": w.Nonce().String(), "header": header,
		"early": min(sealed.Len(), 64<<10),
	}
	if f.Alone {
		offer["alone"] = true
	}
	closing := map[string]any{"manifest": json.RawMessage(manifest.Bytes()), "openings": crypto.SealOpenings(w.Key(), f.Packed(packed))}
	return signedForgery{offer, closing, sealed.Bytes()}
}

func (f signedForgery) deliver(t *testing.T, from, to *node) (kind byte, content []byte) {
	t.Helper()
	s := openRaw(t, from, to)
	raw, err := json.Marshal(f.offer)
	check(t, err)
	writeFrame(t, s, typeOffer, raw)
	early := f.offer["early"].(int)
	writeFrame(t, s, typeBody, f.sealed[:early])
	if early < len(f.sealed) {
		writeFrame(t, s, typeBody, f.sealed[early:])
	}
	writeFrame(t, s, typeBody, nil)
	raw, err = json.Marshal(f.closing)
	check(t, err)
	writeFrame(t, s, typeClosing, raw)
	return lastFrame(s)
}

func TestABundleByHandIsReceived(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newBundleForgery()
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	for i, o := range f.Openings {
		if got := b.document(o.Transfer); !bytes.Equal(got, f.Bodies[i]) {
			t.Errorf("message %d is %q", i, got)
		}
	}
	if _, err := b.Get(t.Context(), f.ID); record.KindOf(err) != record.NotFound {
		t.Errorf("the bundle itself is shown: %v", err)
	}
	list, err := b.List(t.Context(), exchange.Filter{})
	check(t, err)
	if len(list) != 3 {
		t.Errorf("%d transfers are listed", len(list))
	}
}

func TestARecipientRefusesABundleThatDoesNotHold(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	mine := newBundleForgery()
	if kind, content := mine.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	carls := newForgery(t, c, b)
	if kind, content := carls.deliver(t, c, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	for _, test := range []struct {
		what   string
		change func(f *bundleForgery)
	}{
		{"the root of other openings", func(f *bundleForgery) { f.Manifest = func(m *record.Manifest) { m.Root = record.Hash{1} } }},
		{"a root of one item alone", func(f *bundleForgery) {
			f.Manifest = func(m *record.Manifest) {
				raw, err := f.Openings[0].Bytes()
				check(t, err)
				m.Root = record.LeafHash(raw)
			}
		}},
		{"fewer items than openings", func(f *bundleForgery) { f.Manifest = func(m *record.Manifest) { m.Items-- } }},
		{"more items than openings", func(f *bundleForgery) { f.Manifest = func(m *record.Manifest) { m.Items++ } }},
		{"a manifest in the lane of documents", func(f *bundleForgery) {
			f.Openings, f.Bodies = f.Openings[:1], f.Bodies[:1]
			f.Manifest = func(m *record.Manifest) { m.Lane = record.LaneDoc }
		}},
		{"no opening", func(f *bundleForgery) { f.Packed = func([]byte) []byte { return nil } }},
		{"one opening less", func(f *bundleForgery) { f.Packed = func(b []byte) []byte { return b[:len(b)/3] } }},
		{"openings that are cut off", func(f *bundleForgery) { f.Packed = func(b []byte) []byte { return b[:len(b)-1] } }},
		{"one id twice", func(f *bundleForgery) { f.Openings[2].Transfer = f.Openings[0].Transfer }},
		{"the bundle's own id", func(f *bundleForgery) { f.Openings[1].Transfer = f.ID }},
		{"indices out of order", func(f *bundleForgery) { f.Openings[1].Index, f.Openings[2].Index = 2, 1 }},
		{"indices that do not begin at 0", func(f *bundleForgery) {
			for i := range f.Openings {
				f.Openings[i].Index++
			}
		}},
		{"a document among messages", func(f *bundleForgery) { f.Openings[1].Kind, f.Openings[1].Name = record.Document, "a.txt" }},
		{"a notarisation among messages", func(f *bundleForgery) { f.Openings[1].Kind, f.Openings[1].Name = record.Notarized, "a.txt" }},
		{"a length that is too large", func(f *bundleForgery) { f.Openings[2].Length = 1 << 40 }},
		{"lengths that add up to less", func(f *bundleForgery) { f.Bodies = append(f.Bodies, []byte("more")) }},
		{"lengths that add up to more", func(f *bundleForgery) { f.Bodies = f.Bodies[:2] }},
		{"bodies in another order", func(f *bundleForgery) { f.Bodies[0], f.Bodies[1] = f.Bodies[1], f.Bodies[0] }},
		{"the digest of something else", func(f *bundleForgery) { f.Openings[1].Digest = record.Digest{1} }},
		{"more items than there may be", func(f *bundleForgery) {
			for range record.MaxItems {
				f.add("x")
			}
			f.Manifest = func(m *record.Manifest) { m.Items = record.MaxItems }
		}},
		{"more bytes than there may be", func(f *bundleForgery) { f.add(string(make([]byte, 512<<10))) }},
		{"more bytes than there may be with the openings", func(f *bundleForgery) { f.add(string(make([]byte, 511<<10))) }},
		{"the id of another partner's transfer", func(f *bundleForgery) { f.Openings[1].Transfer = carls.ID }},
		{"the id of a message that is here with other content", func(f *bundleForgery) { f.Openings[1].Transfer = mine.Openings[2].Transfer }},
		{"the id of a bundle as that of a message", func(f *bundleForgery) { f.Openings[1].Transfer = mine.ID }},
		{"the id of a message as that of a bundle", func(f *bundleForgery) { f.ID = mine.Openings[0].Transfer }},
		{"the id of a message as that of a payload", func(f *bundleForgery) {
			f.ID, f.Alone, f.Openings, f.Bodies = mine.Openings[0].Transfer, true, f.Openings[:1], f.Bodies[:1]
			f.Openings[0].Transfer = f.ID
		}},
		{"the id of a bundle that is here, with other content", func(f *bundleForgery) { f.ID = mine.ID }},
		{"a bundle that says it is one message", func(f *bundleForgery) { f.Alone = true }},
		{"a document that says it is a message", func(f *bundleForgery) { f.Alone, f.Lane = true, "doc" }},
		{"a bundle in the lane of documents", func(f *bundleForgery) { f.Lane = "doc" }},
	} {
		t.Run(test.what, func(t *testing.T) {
			f := newBundleForgery()
			test.change(f)
			kind, content := f.deliver(t, a, b)
			var r struct {
				Reason string
				Retry  bool
			}
			if kind == typeRefusal {
				check(t, json.Unmarshal(content, &r))
			}
			if r.Reason != "rejected" || r.Retry {
				t.Errorf("answered with type %d, %s; want a refusal for good", kind, content)
			}
			for i, o := range f.Openings {
				known := slices.ContainsFunc(mine.Openings, func(m record.Opening) bool { return m.Transfer == o.Transfer }) || o.Transfer == carls.ID
				if _, err := b.Get(t.Context(), o.Transfer); !known && record.KindOf(err) != record.NotFound {
					t.Errorf("the recipient keeps message %d: %v", i, err)
				}
			}
		})
	}
	for i, o := range mine.Openings {
		if got := b.document(o.Transfer); !bytes.Equal(got, mine.Bodies[i]) {
			t.Errorf("message %d is %q by now", i, got)
		}
	}
	if got := len(b.messagesReceived()); got != 3 {
		t.Errorf("%d messages arrived", got)
	}
	if len(b.events(event.Alarm)) == 0 {
		t.Error("no alarm was raised over two contents of one id")
	}
}

func TestAMessageThatIsTooLongIsNotEvenBegun(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for length, want := range map[int64]byte{exchange.MaxMessage: typeAnswer, exchange.MaxMessage + 1: typeRefusal} {
		f := &bundleForgery{ID: newID(), Lane: "msg", Alone: true, Manifest: func(*record.Manifest) {}, Packed: func(b []byte) []byte { return b }}
		f.add(string(make([]byte, 100<<10))) // what goes along with the offer
		signed := f.sign(t, a, b)
		signed.offer["sealed_length"] = crypto.SealedLength(length)
		raw, err := json.Marshal(signed.offer)
		check(t, err)
		s := openRaw(t, a, b)
		writeFrame(t, s, typeOffer, raw)
		writeFrame(t, s, typeBody, signed.sealed[:64<<10])
		if kind, content, err := readFrame(s); err != nil || kind != want {
			t.Errorf("%d bytes are answered with type %d, %s (%v)", length, kind, content, err)
		}
		s.Reset()
	}
}

func TestAMessageThatIsHereAlreadyIsNotMadeAgain(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newBundleForgery()
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	// A sender with an old backup gives its messages new numbers.
	g := newBundleForgery()
	g.Openings[1].Transfer, g.Openings[2].Transfer = f.Openings[1].Transfer, f.Openings[2].Transfer
	if kind, content := g.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	want := []record.TransferID{f.Openings[0].Transfer, f.Openings[1].Transfer, f.Openings[2].Transfer, g.Openings[0].Transfer}
	if got := b.messagesReceived(); !slices.Equal(got, want) {
		t.Errorf("%v arrived, not %v", got, want)
	}
	for i, id := range want[:3] {
		b.proves(id, f.Bodies[i])
	}
}

func TestOneManifestStandsForOneBundle(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	f := newBundleForgery().sign(t, a, b)
	if kind, content := f.deliver(t, a, b); kind != typeReceipt {
		t.Fatalf("a frame of type %d came back: %s", kind, content)
	}
	leaves := len(b.leaves())
	f.offer["id"] = newID().String() // which no signature binds
	if kind, content := f.deliver(t, a, b); kind != typeRefusal {
		t.Errorf("the same once more under another id: a frame of type %d came back: %s", kind, content)
	}
	if got := len(b.leaves()); got != leaves {
		t.Errorf("%d more records were signed about the manifest", got-leaves)
	}
	// A hello may have told meanwhile that anna lacks the number that the
	// forgery took: an alarm about a lane, which names no bundle.
	alarms := slices.DeleteFunc(b.events(event.Alarm), func(e event.Event) bool { return e.Bundle.IsZero() })
	if len(alarms) != 1 || !alarms[0].ID.IsZero() {
		t.Errorf("the alarms about bundles are %+v", alarms)
	}
}
