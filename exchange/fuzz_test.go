package exchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/record"
)

// tape is a stream whose other end said all that it will say, and listens to
// nothing.
type tape struct {
	*bytes.Reader
	net.Conn // of which nothing but what follows is called
}

func newTape(said []byte) tape { return tape{Reader: bytes.NewReader(said)} }

func (t tape) Read(p []byte) (int, error)       { return t.Reader.Read(p) }
func (t tape) Write(p []byte) (int, error)      { return len(p), nil }
func (t tape) Close() error                     { return nil }
func (t tape) CloseWrite() error                { return nil }
func (t tape) Reset() error                     { return nil }
func (t tape) Node() record.NodeID              { return record.NodeID{} }
func (t tape) SetDeadline(time.Time) error      { return nil }
func (t tape) SetReadDeadline(time.Time) error  { return nil }
func (t tape) SetWriteDeadline(time.Time) error { return nil }

func rawFrame(kind frameType, content string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(content)))
	return append(append(b, byte(kind)), content...)
}

// offered is a valid offer of a small body.
const offered = `{"v":1,"id":"0190b8f0-3c5e-7abc-8def-0123456789ab","lane":"doc","sealed_length":42,` +
	`"body_nonce":"000102030405060708090a0b0c0d0e0f","header":"YWdl","early":42}`

// someRecord is a signed record whose signature does not hold.
var someRecord = `{"payloadType":"application/vnd.dxd.receipt.v1+json","payload":"e30=","signatures":[{"sig":"` +
	strings.Repeat("A", 86) + `=="}]}`

// frames are seeds: one of each type, and some that are none.
func frames() [][]byte {
	return [][]byte{
		rawFrame(frameOffer, offered),
		rawFrame(frameOffer, strings.Replace(offered, "42", "-42", 1)),
		rawFrame(frameOffer, strings.Replace(offered, `"v":1`, `"v":1,"later":{"a":[1]}`, 1)),
		rawFrame(frameOffer, strings.NewReplacer(`":42,`, `":-1,`, `"early":42`, `"early":65536`).Replace(offered)),
		rawFrame(frameWait, ""),
		rawFrame(frameBody, "some bytes"),
		rawFrame(frameBody, ""),
		rawFrame(frameClosing, `{"manifest":`+someRecord+`,"openings":"AAAA"}`),
		rawFrame(frameAnswer, `{"offset":65536}`),
		rawFrame(frameAnswer, `{"offset":-1,"receipt":`+someRecord+`}`),
		rawFrame(frameReceipt, `{"receipt":`+someRecord+`}`),
		rawFrame(frameReceipt, `{}`),
		rawFrame(frameRefusal, `{"reason":"full","retry":true}`),
		rawFrame(frameRefusal, `{"reason":"\u001b[2J\u202e"}`),
		rawFrame(frameHello, `{"v":1,"file":{"card":`+someRecord+`,"presence":[]}}`),
		rawFrame(frameHello, `{"v":1,"file":{"card":`+someRecord+`,"presence":[]},"heads":`+someRecord+`,"shown":[`+someRecord+`,`+someRecord+`]}`),
		rawFrame(frameHello, `{"v":1,"file":{"card":`+someRecord+`,"presence":[]},"has":"bafkreie7rdz6cxy2bjbioauefpi7poz5yeo4ks63rl66e4xr6ydqflmo54","history":[`+someRecord+`,{}]}`),
		rawFrame(framePair, `{"v":1,"file":{"card":`+someRecord+`,"presence":[]},"node":"12D3KooWGC8yXvn3zFRnwJrG1iWqz5Z8eoYb6Qj9pW4aF8q1a6dT","proof":"AAAA"}`),
		rawFrame(frameWord, `{"word":"yes"}`),
		rawFrame(frameNews, `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab","proof":{"record":1}}`),
		rawFrame(frameNews, `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab","void":`+someRecord+`}`),
		rawFrame(frameNews, `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab","receipt":`+someRecord+`}`),
		rawFrame(frameNews, `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab","erase":true}`),
		rawFrame(frameNews, `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab","erasure":`+someRecord+`}`),
		rawFrame(frameAck, `{"ok":true,"retry":true}`),
		rawFrame(77, "of a later version"),
		{0, 0, 0, 0, 1},
		{0xff, 0xff, 0xff, 0xff, 1},
		{0, 16, 0, 1, 2},
		{0, 0},
	}
}

// FuzzFrames reads whatever a partner may send: every frame lies within its
// bounds, what is read again gives the same bytes, and no content panics.
func FuzzFrames(f *testing.F) {
	for _, seed := range frames() {
		f.Add(seed)
		f.Add(append(rawFrame(frameBody, "before"), seed...))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		l := newLink(newTape(said))
		var again []byte
		for {
			kind, content, err := l.next()
			if err != nil {
				if errors.Is(err, io.EOF) && len(again) != len(said) && !errors.Is(err, io.ErrUnexpectedEOF) {
					if rest := len(said) - len(again); rest >= frameHeader {
						t.Errorf("the stream ends %d bytes early", rest)
					}
				}
				break
			}
			again = append(again, rawFrame(kind, string(content))...)
			decodeAny(t, content)
		}
		if !bytes.HasPrefix(said, again) {
			t.Error("other frames came out than went in")
		}
		if cap(l.in) > maxFrame || cap(l.in) > bodyFrame && len(said) == 0 {
			t.Errorf("%d bytes are held for one frame", cap(l.in))
		}
	})
}

// decodeAny reads the content as a frame of every type.
func decodeAny(t *testing.T, content []byte) {
	t.Helper()
	var o offer
	if decodeFrame(content, &o) == nil && o.check() == nil {
		plain, err := crypto.PlainLength(o.SealedLength)
		if !o.grows() && (err != nil || plain < 0 || o.Early > o.SealedLength) || o.Early < 0 || o.Early > maxEarly || len(o.Header) > crypto.MaxHeader {
			t.Errorf("an offer out of bounds: %+v", o)
		}
	}
	var h hello
	if decodeFrame(content, &h) == nil {
		if _, err := h.File.Open(); err == nil && h.File.Card.IsZero() {
			t.Error("a card file without a card opens")
		}
	}
	var n news
	if decodeFrame(content, &n) == nil {
		for _, e := range []record.Envelope{n.Void, n.Receipt} {
			if !e.IsZero() && e.Name() == "" {
				t.Error("a void or a receipt that is no record")
			}
		}
	}
	var p pairFrame
	if decodeFrame(content, &p) == nil {
		if _, err := p.File.Open(); err == nil && p.File.Card.IsZero() {
			t.Error("a card file without a card opens in a pairing")
		}
	}
	for _, v := range []any{&closing{}, &ack{}, &wordFrame{}} {
		if err := decodeFrame(content, v); err != nil && record.KindOf(err) != record.Invalid {
			t.Errorf("a frame that is not valid: %v", err)
		}
	}
}

// FuzzNews reads the content of a piece of news: what is taken out of it is
// what was sent, byte for byte.
func FuzzNews(f *testing.F) {
	const id = `{"transfer":"0190b8f0-3c5e-7abc-8def-0123456789ab",`
	f.Add([]byte(id + `"receipt":` + someRecord + `}`))
	f.Add([]byte(id + `"void":` + someRecord + `,"receipt":` + someRecord + `}`))
	f.Add([]byte(id + `"proof":{"record":1},"later":[1]}`))
	f.Add([]byte(id + `"receipt":null}`))
	f.Add([]byte(id + `"proof":{},"state":{"header":"AQ==","account":[],"slots":[[]]}}`))
	f.Add([]byte(strings.Replace(id+`"receipt":`+someRecord+`}`, "e30=", "e31=", 1)))
	f.Fuzz(func(t *testing.T, content []byte) {
		var n, again news
		if err := decodeFrame(content, &n); err != nil {
			if record.KindOf(err) != record.Invalid {
				t.Errorf("the error is %v", err)
			}
			return
		}
		for _, e := range []record.Envelope{n.Void, n.Receipt} {
			if !e.IsZero() && !bytes.Contains(content, e.Bytes()) {
				t.Error("a record that was not sent")
			}
		}
		if n.Transfer.IsZero() {
			return // it names none, and so is about nothing that is here
		}
		raw, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := decodeFrame(raw, &again); err != nil || again.Transfer != n.Transfer || !bytes.Equal(again.Receipt.Bytes(), n.Receipt.Bytes()) {
			t.Errorf("encoded again it is other news (%v)", err)
		}
	})
}

// FuzzReplies reads what a recipient may answer: what comes out is one of an
// offset, a record, and an error, and a refusal's reason is one of ours.
func FuzzReplies(f *testing.F) {
	for _, seed := range frames() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, read := range []func(*link) reply{readAnswer, readReceipt} {
			r := read(newLink(newTape(said)))
			refused := new(refusedError)
			if errors.As(r.err, &refused) {
				if reason := knownReason(refused.Reason); record.CheckText("the reason", reason, 20) != nil {
					t.Errorf("the reason %q", reason)
				}
				if text := refused.Error(); record.CheckText("the error", text, 500) != nil && strings.ContainsAny(text, "\x1b\n\u202e") {
					t.Errorf("the error is %q", text)
				}
			}
		}
		r := readReceipt(newLink(newTape(said)))
		if r.err == nil && r.Receipt.IsZero() {
			t.Error("no receipt, and no error")
		}
	})
}

// FuzzOffer changes the offer itself, which frames of random bytes seldom do.
func FuzzOffer(f *testing.F) {
	f.Add(1, "doc", int64(42), int64(42), 3)
	f.Add(1, "doc", int64(1<<40+1<<30), int64(maxEarly), 3000)
	f.Add(2, "msg", int64(-1), int64(-1), 0)
	f.Add(1, "doc", int64(-1), int64(maxEarly), 0)
	f.Add(1, "msg", int64(-1), int64(maxEarly), 0)
	f.Add(1, "doc", int64(-1<<63), int64(1<<62), 1<<20)
	f.Add(1, "doc", int64(1<<63-1), int64(1<<63-1), 1)
	f.Add(1, "doc", int64(16+(1<<37+1)*(1<<16+16)), int64(maxEarly), 1) // more than 2^53
	f.Fuzz(func(t *testing.T, version int, lane string, sealed, early int64, header int) {
		o := offer{Version: version, Lane: record.Lane(lane), SealedLength: sealed, Early: early, Header: make([]byte, min(max(0, header), maxFrame))}
		o.ID[6], o.ID[8] = 0x70, 0x80
		if o.check() != nil {
			return
		}
		if o.Version != wireVersion || o.Early < 32 || o.Early > maxEarly || len(o.Header) > crypto.MaxHeader {
			t.Errorf("an offer out of bounds: %+v", o)
		}
		if o.grows() && o.Lane == record.LaneDoc && o.Early == maxEarly {
			return
		}
		if o.Early > o.SealedLength {
			t.Errorf("%d early bytes of %d", o.Early, o.SealedLength)
		}
		if plain, err := crypto.PlainLength(sealed); err != nil || crypto.SealedLength(plain) != sealed || sealed > record.MaxInteger {
			t.Errorf("a body of %d bytes", sealed)
		}
	})
}

// FuzzUnpackOpenings packs what came out again.
func FuzzUnpackOpenings(f *testing.F) {
	f.Add(packOpenings([]byte("one"), []byte("another"), nil))
	f.Add(packOpenings(make([]byte, record.MaxOpening)))
	f.Add(packOpenings(make([]byte, record.MaxOpening+1)))
	f.Add(packOpenings(make([][]byte, record.MaxItems+1)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, packed []byte) {
		list, err := unpackOpenings(packed)
		if err != nil {
			if list != nil || record.KindOf(err) != record.Invalid {
				t.Errorf("%d openings beside the error %v", len(list), err)
			}
			return
		}
		if len(list) > record.MaxItems || !bytes.Equal(packOpenings(list...), packed) {
			t.Errorf("%d openings, and packed again they are others", len(list))
		}
		for _, o := range list {
			if len(o) > record.MaxOpening {
				t.Errorf("an opening of %d bytes", len(o))
			}
		}
	})
}

// FuzzBundles takes bundles apart: what comes out is what went in, cut into
// pieces that have the digests of their openings, under ids that differ.
func FuzzBundles(f *testing.F) {
	raw, err := os.ReadFile(filepath.Join("..", "docs", "spec", "testdata", "bundle.json"))
	if err != nil {
		f.Fatal(err)
	}
	var g struct {
		Packed string `json:"packed_hex"`
		Plain  string `json:"plain_hex"`
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		f.Fatal(err)
	}
	packed, plain := unhex(f, g.Packed), unhex(f, g.Plain)
	f.Add(packed, plain)
	f.Add(packed, plain[:3])
	f.Add(packed, append(plain, 'x'))
	f.Add(bytes.ReplaceAll(packed, []byte("45678901"), []byte("45678900")), plain)
	f.Add(packed[:len(packed)/3], plain)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, packed, plain []byte) {
		list, err := unpackOpenings(packed)
		if err != nil {
			return
		}
		openings, bodies, err := split(record.TransferID{1}, list, plain)
		if err != nil {
			if openings != nil || bodies != nil || record.KindOf(err) != record.Invalid {
				t.Errorf("%d messages beside the error %v", len(bodies), err)
			}
			return
		}
		if !bytes.Equal(bytes.Join(bodies, nil), plain) || len(bodies) != len(list) || len(openings) != len(list) {
			t.Error("other messages come out than went in")
		}
		ids := map[record.TransferID]bool{}
		for i, o := range openings {
			ids[o.Transfer] = true
			if o.Digest != record.Digest(sha256.Sum256(bodies[i])) || o.Kind != record.Message || o.Index != int64(i) {
				t.Errorf("message %d is not the one of its opening", i)
			}
		}
		if len(ids) != len(list) {
			t.Error("one id stands there twice")
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzQueueEntries reads values of the queues; those that are damaged are told
// from those that are not.
func FuzzQueueEntries(f *testing.F) {
	keys, err := crypto.Generate()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(waiting{keys.Org(), record.TransferID{1}, 7, 1}.value())
	f.Add(waiting{keys.Org(), record.TransferID{1}, 7, 3}.value())
	f.Add([]byte(keys.Org().Key()))
	f.Add(make([]byte, 32+16+8)) // no organisation has this key
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		w, err := parseWaiting(value)
		if err == nil && !bytes.Equal(w.value(), value) {
			t.Error("written again it is another entry")
		}
		if err != nil && (record.KindOf(err) != record.Damaged || w != waiting{}) {
			t.Errorf("%+v beside the error %v", w, err)
		}
		if org, err := orgOf(value); err == nil && !bytes.Equal(org.Key(), value[:32]) {
			t.Error("another organisation comes out")
		}
	})
}

func TestAHeldFrameIsNoLargerThanAFrameMayBe(t *testing.T) {
	huge := rawFrame(frameBody, strings.Repeat("x", maxFrame-1))
	l := newLink(newTape(append(huge, rawFrame(frameBody, strings.Repeat("x", maxFrame))...)))
	if _, content, err := l.next(); err != nil || len(content) != maxFrame-1 {
		t.Errorf("the largest frame: %d bytes, %v", len(content), err)
	}
	if _, _, err := l.next(); record.KindOf(err) != record.Invalid {
		t.Errorf("a frame that is too large: %v", err)
	}
	if cap(l.in) > maxFrame {
		t.Errorf("%d bytes are held", cap(l.in))
	}
	over, err := json.Marshal(strings.Repeat("x", maxFrame))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.send(frameHello, json.RawMessage(over)); record.KindOf(err) != record.Invalid {
		t.Errorf("sending a frame that is too large: %v", err)
	}
}
