package exchange_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/exchange"
	"dxd/hashanchor"
	"dxd/hashanchor/queue"
	"dxd/p2p"
	"dxd/record"
)

const (
	typeHello = 7
	typeNews  = 8
	typeAck   = 9
)

// telling is a stream of news, written by hand.
type telling struct {
	t *testing.T
	exchange.Stream
}

// tells opens a stream of news to another node.
func (n *node) tells(t *testing.T, to *node) telling {
	t.Helper()
	return telling{t, n.stream(t, to, exchange.ProtocolProof)}
}

func (n *node) stream(t *testing.T, to *node, protocol string) exchange.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	var s exchange.Stream
	// The first time a dial may be under way to where the other side was before
	// a restart, and all who want to reach it get what comes of that.
	until(t, "a stream to "+to.name, func() bool {
		c, err := n.host.Open(ctx, to.keys.Node(), to.host.Addrs(), protocol)
		s = c
		return err == nil
	})
	t.Cleanup(func() { s.Reset() })
	check(t, s.SetDeadline(time.Now().Add(waitAtMost)))
	return s
}

// said is how the other side took it.
type said struct {
	OK, Retry bool
	Receipt   json.RawMessage
}

// tell sends one piece of news and reads the answer.
func (s telling) tell(news map[string]any) (a said) {
	s.t.Helper()
	raw, err := json.Marshal(news)
	check(s.t, err)
	writeFrame(s.t, s, typeNews, raw)
	kind, content, err := readFrame(s)
	check(s.t, err)
	if kind != typeAck {
		s.t.Fatalf("answered with type %d, %s", kind, content)
	}
	check(s.t, json.Unmarshal(content, &a))
	return a
}

// records reads the manifest and the receipts of a transfer.
func (n *node) records(id record.TransferID) (manifest record.Envelope, receipts []record.Envelope) {
	n.t.Helper()
	file, err := n.Evidence(n.t.Context(), id)
	check(n.t, err)
	e, err := hashanchor.ParseEvidence(file)
	check(n.t, err)
	return e.Record, e.Receipts
}

// proofOf is the proof of a record that is a batch of its own.
func proofOf(t testing.TB, e record.Envelope, account record.Account) hashanchor.Proof {
	t.Helper()
	p := hashanchor.Proof{Record: e.ID(), Path: []record.Hash{}, Anchor: hashanchor.Anchor{
		ChainID: 1337, Contract: record.Account{1}, Account: account, Root: e.Leaf(), Block: 7, Time: 1_700_000_000,
	}}
	check(t, p.Check(e.Leaf()))
	return p
}

func TestNewsThatDoNotHoldAreNotTaken(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	ours, theirs := a.send("bert", []byte("from anna")), c.send("bert", []byte("from carl"))
	a.delivered(ours.ID)
	c.delivered(theirs.ID)
	manifest, receipts := b.records(ours.ID)
	carls, _ := b.records(theirs.ID)
	proof := func(e record.Envelope, account record.Account, change func(*hashanchor.Proof)) map[string]any {
		p := proofOf(t, e, account)
		if change != nil {
			change(&p)
		}
		raw, err := p.Bytes()
		check(t, err)
		return map[string]any{"transfer": ours.ID.String(), "proof": json.RawMessage(raw)}
	}
	void := func(n *node, id record.TransferID, change func(*record.Void)) map[string]any {
		v := record.Void{
			Header:    record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
			Recipient: b.keys.Org(), Manifest: manifest.ID(), Reason: record.VoidCancelled,
			Number: record.Number{Epoch: record.Epoch{1}, Lane: record.LaneDoc, Sequence: 1},
		}
		change(&v)
		signed, err := n.keys.SignVoid(v)
		check(t, err)
		return map[string]any{"transfer": id.String(), "void": json.RawMessage(signed.Bytes())}
	}
	same := func(*record.Void) {}
	raw := func(s string) map[string]any {
		return map[string]any{"transfer": ours.ID.String(), "proof": json.RawMessage(s)}
	}
	strange := record.NewHeader[record.Notarization](a.keys.Org(), a.book.Self().ID(), 1, record.Nonce{1})
	unknown, err := a.keys.SignNotarization(record.Notarization{Header: strange, Root: record.Hash{1}})
	check(t, err)
	good := proof(manifest, a.keys.Account(), nil)
	no, later := said{}, said{Retry: true}
	for _, test := range []struct {
		what string
		from *node
		news map[string]any
		want said
	}{
		{"the proof of another partner's record", c, good, no},
		{"the proof of our record from another partner", a, proof(carls, a.keys.Account(), nil), no},
		{"a proof by an account on neither card", a, proof(manifest, c.keys.Account(), nil), no},
		{"a proof whose path leads elsewhere", a, proof(manifest, a.keys.Account(), func(p *hashanchor.Proof) { p.Anchor.Root[0] ^= 1 }), no},
		{"a proof with a step too many", a, proof(manifest, a.keys.Account(), func(p *hashanchor.Proof) { p.Path = []record.Hash{{1}} }), no},
		{"the proof of a record that is not here", a, proof(unknown.Envelope, a.keys.Account(), nil), later},
		{"a proof that is a number", a, raw(`7`), no},
		{"a proof that is null", a, raw(`null`), no},
		{"a proof of no fields", a, raw(`{}`), no},
		{"a proof with a field too many", a, raw(strings.Replace(string(good["proof"].(json.RawMessage)), `{`, `{"x":1,`, 1)), no},
		{"a state proof that does not lead to a block", a, with(good, `{"header":"Ag==","account":[],"slots":[[]]}`), no},
		{"a state proof of two slots", a, with(good, `{"header":"AQ==","account":[],"slots":[[],[]]}`), no},
		{"a state proof that is a number", a, with(good, `7`), no},
		{"neither proof nor void", a, map[string]any{"transfer": ours.ID.String()}, no},
		{"a void of another's transfer", c, void(c, ours.ID, same), no},
		{"a void that its signer did not send", c, void(a, ours.ID, same), no},
		{"a void that another signed", a, void(c, ours.ID, same), no},
		{"a void for another recipient", a, void(a, ours.ID, func(v *record.Void) { v.Recipient = c.keys.Org() }), no},
		{"a void under a card that is not known", a, void(a, ours.ID, func(v *record.Void) { v.Card[0] ^= 1 }), later},
		{"a void that is a receipt", a, map[string]any{"transfer": ours.ID.String(), "void": json.RawMessage(receipts[0].Bytes())}, no},
	} {
		s := test.from.tells(t, b)
		got := s.tell(test.news)
		if got.OK != test.want.OK || got.Retry != test.want.Retry || got.Receipt != nil {
			t.Errorf("%s: %+v", test.what, got)
		}
		if got := s.tell(void(a, ours.ID, same)); test.from == a && (!got.OK || !bytes.Equal(got.Receipt, receipts[0].Bytes())) {
			t.Errorf("%s: and then a void that comes too late: %+v", test.what, got)
		}
		s.Reset() // a partner may have so many streams at a time
	}
	if b.pushed(manifest.ID()) {
		t.Error("a proof that does not hold is kept")
	}
	for range 2 {
		if got := a.tells(t, b).tell(good); !got.OK {
			t.Errorf("a proof that holds: %+v", got)
		}
	}
	if !b.pushed(manifest.ID()) {
		t.Error("a proof that holds is not kept")
	}
	if got := a.tells(t, b).tell(with(good, `{"header":"AQ==","account":[],"slots":[[]]}`)); !got.OK {
		t.Errorf("a proof with a state proof that holds: %+v", got)
	}
	if v, err := b.Get(t.Context(), ours.ID); err != nil || v.State != exchange.Received {
		t.Errorf("the transfer is %s (%v)", v.State, err)
	}
}

// with is news of a proof with a state proof beside it. That of the header 1
// holds for the nodes of these tests.
func with(news map[string]any, state string) map[string]any {
	more := maps.Clone(news)
	more["state"] = json.RawMessage(state)
	return more
}

func leadsToABlock(_ hashanchor.Anchor, header []byte, _, _ [][]byte) (record.Beacon, error) {
	if !bytes.Equal(header, []byte{1}) {
		return record.Beacon{}, record.Errorf(record.Invalid, "a header of nothing")
	}
	return record.Beacon{}, nil
}

// pushed tells whether a partner's proof of the record is kept.
func (n *node) pushed(id record.RecordID) bool {
	n.t.Helper()
	err := n.store.View(n.t.Context(), func(tx blobstore.ReadTx) error {
		_, err := queue.PushedProofOf(tx, id)
		return err
	})
	if record.KindOf(err) != record.NotFound {
		check(n.t, err)
	}
	return err == nil
}

func TestNewsThatAreNoneEndTheStream(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for what, raw := range map[string][]byte{
		"an offer":         {0, 0, 0, 3, typeOffer, '{', '}'},
		"no JSON":          {0, 0, 0, 3, typeNews, '{', 'x'},
		"a list":           {0, 0, 0, 3, typeNews, '[', ']'},
		"a frame of 4 GiB": {0xff, 0xff, 0xff, 0xff, typeNews},
		"half a frame":     {0, 0, 1, 0, typeNews, '{'},
	} {
		for _, protocol := range []string{exchange.ProtocolProof, exchange.ProtocolHello} {
			s := a.stream(t, b, protocol)
			_, err := s.Write(raw)
			check(t, err)
			check(t, s.CloseWrite())
			if kind, content, err := readFrame(s); err == nil {
				t.Errorf("%s: %s answers with type %d, %s", what, protocol, kind, content)
			}
		}
	}
	a.delivered(a.send("bert", []byte("goes on")).ID)
}

// large makes the forgery one of a document that does not come along whole.
func (f *forgery) large(t *testing.T, to *node) {
	t.Helper()
	f.Doc = randomDocument(200 << 10)
	f.seal(t, to)
	f.Early = 64 << 10
	f.Opening.Length, f.Opening.Digest = int64(len(f.Doc)), sha256.Sum256(f.Doc)
	f.Manifest.SealedLength, f.Manifest.BodyNonce = f.Sealed, f.Nonce
}

// finish signs the manifest, and returns it with what sends the rest of the
// forgery over a stream and reads the answer.
func (f *forgery) finish(t *testing.T, from *node) (record.Signed[record.Manifest], func(s io.ReadWriter, offset int64) (byte, []byte)) {
	t.Helper()
	opening, err := f.Opening.Bytes()
	check(t, err)
	f.Manifest.Root = record.LeafHash(opening)
	manifest, err := from.keys.SignManifest(f.Manifest)
	check(t, err)
	return manifest, func(s io.ReadWriter, offset int64) (byte, []byte) {
		t.Helper()
		if offset < f.Sealed {
			writeFrame(t, s, typeBody, f.Body[offset:])
		}
		writeFrame(t, s, typeBody, nil)
		raw, err := json.Marshal(map[string]any{
			"manifest": json.RawMessage(manifest.Bytes()), "openings": crypto.SealOpenings(f.key, f.Openings(opening)),
		})
		check(t, err)
		writeFrame(t, s, typeClosing, raw)
		return lastFrame(s)
	}
}

// voids signs that a manifest will not be delivered.
func (n *node) voids(t *testing.T, id record.TransferID, to *node, manifest record.RecordID) map[string]any {
	t.Helper()
	signed, err := n.keys.SignVoid(record.Void{
		Header:    record.Header{Card: n.book.Self().ID(), Created: time.Now().UnixMilli()},
		Recipient: to.keys.Org(), Manifest: manifest, Reason: record.VoidCancelled,
		Number: record.Number{Epoch: record.Epoch(id), Lane: record.LaneDoc, Sequence: 1},
	})
	check(t, err)
	return map[string]any{"transfer": id.String(), "void": json.RawMessage(signed.Bytes())}
}

func TestAVoidKeepsItsPayloadOut(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	for _, c := range []struct {
		size  string
		other bool // the void comes under the id of another transfer
	}{{"small", false}, {"large", false}, {"small", true}, {"large", true}} {
		size := c.size
		f := newForgery(t, a, b)
		if size == "large" {
			f.large(t, b)
		}
		manifest, finish := f.finish(t, a)
		told := a.voids(t, f.ID, b, manifest.ID())
		if c.other {
			told["transfer"] = newForgery(t, a, b).ID.String()
		}
		if got := a.tells(t, b).tell(told); !got.OK || got.Receipt != nil {
			t.Errorf("%s: a void of what has not come yet: %+v", size, got)
		}
		s := openRaw(t, a, b)
		kind, content := byte(0), []byte(nil)
		if c.other {
			kind, content = finish(s, f.offerAnd(t, s))
		} else {
			kind, content = f.offered(t, s)
		}
		if kind != typeRefusal || !bytes.Contains(content, []byte(`"cancelled"`)) {
			t.Errorf("%s: answered with type %d, %s", size, kind, content)
		}
		if v, err := b.Get(t.Context(), f.ID); record.KindOf(err) != record.NotFound {
			t.Errorf("%s: the recipient keeps a transfer that is %s (%v)", size, v.State, err)
		}
		b.keepsNoFile()
	}
}

func TestAVoidIsOnlyOfItsSignersManifests(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl")
	pair(t, a, b)
	pair(t, c, b)
	f := newForgery(t, a, b)
	manifest, finish := f.finish(t, a)
	c.tells(t, b).tell(c.voids(t, f.ID, b, manifest.ID()))
	s := openRaw(t, a, b)
	if kind, content := finish(s, f.offerAnd(t, s)); kind != typeReceipt {
		t.Errorf("after another partner's void: answered with type %d, %s", kind, content)
	}
}

// mute is a stream over which the node says so much and no more.
type mute struct {
	exchange.Stream
	words *atomic.Int64
}

func (m mute) Write(p []byte) (int, error) {
	if m.words.Add(-1) < 0 {
		m.Reset()
		return 0, io.ErrClosedPipe
	}
	return m.Stream.Write(p)
}

func TestAVoidThatComesTooLateEndsAsDelivered(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	words := &atomic.Int64{}
	words.Store(1) // the answer to the offer, but not the receipt
	b.host.Handle(exchange.ProtocolTransfer, func(ctx context.Context, c *p2p.Conn) { b.ServeTransfer(ctx, mute{c, words}) })
	doc := []byte("a document")
	sent := a.send("bert", doc)
	b.becomes(sent.ID, exchange.Received)
	v, err := a.Cancel(t.Context(), sent.ID)
	check(t, err)
	if v.State != exchange.Cancelled && v.State != exchange.Delivered {
		t.Errorf("the cancelled transfer is %s", v.State)
	}
	a.becomes(sent.ID, exchange.Delivered)
	b.becomes(sent.ID, exchange.Received)
	_, here := b.records(sent.ID)
	_, there := a.records(sent.ID)
	if len(here) != 1 || len(there) != 1 || here[0].ID() != there[0].ID() {
		t.Error("the two sides hold different receipts")
	}
	if !bytes.Equal(b.document(sent.ID), doc) {
		t.Error("another document came out")
	}
}

// becomes waits until the transfer is in this state.
func (n *node) becomes(id record.TransferID, s exchange.State) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), waitAtMost)
	defer cancel()
	changed := n.store.Watch(ctx, "x/t/")
	for {
		v, err := n.Get(ctx, id)
		if err == nil && v.State == s {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("the transfer is %s (%v), not %s", v.State, err, s)
		}
	}
}

func TestASenderCantTurnWhatWeReceivedIntoDelivered(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bert")
	pair(t, a, b)
	sent := a.send("bert", []byte("a document"))
	a.delivered(sent.ID)
	manifest, receipts := b.records(sent.ID)
	lie, err := a.keys.SignReceipt(record.Receipt{
		Header: record.Header{Card: a.book.Self().ID(), Created: 1}, Sender: b.keys.Org(), Manifest: manifest.ID(),
		Entries: []record.Entry{{Status: record.StatusReceived}},
	})
	check(t, err)
	told := make(chan struct{}, 10)
	a.host.Handle(exchange.ProtocolProof, func(_ context.Context, c *p2p.Conn) {
		for {
			if _, _, err := readFrame(c); err != nil {
				token(told)
				return
			}
			raw, err := json.Marshal(map[string]any{"ok": true, "receipt": json.RawMessage(lie.Bytes())})
			check(t, err)
			writeFrame(t, c, typeAck, raw)
		}
	})
	// The chain has confirmed the anchor of our receipt, which the sender is told.
	proof, err := record.Marshal(proofOf(t, receipts[0], b.keys.Account()))
	check(t, err)
	check(t, b.store.Update(t.Context(), func(tx blobstore.Tx) error {
		id := receipts[0].ID()
		if err := tx.Set("q/p/"+tx.Index("queue", id[:]), proof); err != nil {
			return err
		}
		return b.Proven(tx, id, true)
	}))
	<-told
	if v, err := b.Get(t.Context(), sent.ID); err != nil || v.State != exchange.Received {
		t.Errorf("the transfer is %s (%v)", v.State, err)
	}
	if _, now := b.records(sent.ID); len(now) != 1 || now[0].ID() != receipts[0].ID() {
		t.Error("our receipt is another one now")
	}
}

func TestHelloIsAboutItsSenderOnly(t *testing.T) {
	a, b, c, stranger := newNode(t, "anna"), newNode(t, "bert"), newNode(t, "carl"), newNode(t, "dora")
	pair(t, a, b)
	pair(t, c, b)
	file := func(n *node) record.CardFile {
		f, err := n.book.CardFile([]string{"/ip4/127.0.0.1/tcp/9"})
		check(t, err)
		return f.File()
	}
	say := func(version int, f record.CardFile) (kind byte, err error) {
		raw, err := json.Marshal(map[string]any{"v": version, "file": f, "heads": json.RawMessage(a.heads(t, b, nil).Bytes()), "later": true})
		check(t, err)
		s := a.stream(t, b, exchange.ProtocolHello)
		writeFrame(t, s, typeHello, raw)
		kind, _, err = readFrame(s)
		return kind, err
	}
	for what, f := range map[string]record.CardFile{"another partner's card": file(c), "a stranger's card": file(stranger), "our own card": file(b)} {
		if kind, err := say(1, f); err == nil {
			t.Errorf("a hello with %s is answered with type %d", what, kind)
		}
	}
	if kind, err := say(2, file(a)); err == nil {
		t.Errorf("a hello of another version is answered with type %d", kind)
	}
	for n, want := range map[*node]string{a: a.host.Addrs()[0], c: c.host.Addrs()[0]} {
		if p, err := b.book.ByOrg(n.keys.Org()); err != nil || p.AllAddresses()[0] != want {
			t.Errorf("%s is at %v (%v)", n.name, p.AllAddresses(), err)
		}
	}
	learned := false
	for range 20 { // anna's own node says hello as well, in between or later
		if kind, err := say(1, file(a)); err != nil || kind != typeHello {
			t.Fatalf("a hello that holds: type %d, %v", kind, err)
		}
		p, err := b.book.ByOrg(a.keys.Org())
		check(t, err)
		learned = learned || p.AllAddresses()[0] == "/ip4/127.0.0.1/tcp/9"
	}
	if !learned {
		t.Error("bert did not learn where anna is")
	}
}
