package record_test

import (
	"strings"
	"testing"

	"dxd/record"
)

// The golden exchange: organisation "a" sends one document to "b", which
// receives it and accepts it.

func openingOf(name string) record.Opening {
	return record.Opening{
		Transfer:  record.TransferID{0x01, 0x99, 0x0c, 0x7e, 0x5a, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 1, 2, 3, 4, 5, 6},
		Kind:      record.Document,
		Name:      name,
		MediaType: "application/pdf",
		Length:    12345,
		Digest:    seed("document"),
		Salt:      seed("salt"),
	}
}

func rootOf(t testing.TB, openings ...record.Opening) record.Hash {
	t.Helper()
	var leaves []record.Hash
	for _, o := range openings {
		b, err := o.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, record.LeafHash(b))
	}
	return record.TreeRoot(leaves)
}

var goldenBeacon = record.Beacon{ChainID: 1337, Block: 4711, Hash: seed("block"), Time: created/1000 - 60}

func manifestOf(t testing.TB) record.Signed[record.Manifest] {
	t.Helper()
	epoch, nonce := seed("epoch"), seed("body nonce")
	s, err := record.Sign(record.Manifest{
		Header:        header[record.Manifest]("a", cardOf("a").ID(), "manifest"),
		Recipient:     orgOf("b"),
		RecipientCard: cardOf("b").ID(),
		Number:        record.Number{Epoch: record.Epoch(epoch[:16]), Lane: record.LaneDoc, Sequence: 1},
		Items:         1,
		Root:          rootOf(t, openingOf("Angebot Nr. 7.pdf")),
		SealedLength:  12377,
		BodyNonce:     record.BodyNonce(nonce[:16]),
		Beacon:        goldenBeacon,
	}, signWith("a signing"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// by makes an Open function that verifies with the card of an organisation.
func by[T record.Body](open func(record.Envelope, record.Signed[record.Card]) (record.Signed[T], error), org string) func(record.Envelope) (record.Signed[T], error) {
	return func(e record.Envelope) (record.Signed[T], error) { return open(e, cardOf(org)) }
}

// wrongSigners are the refusals that every record but cards and presences has.
func wrongSigners(e record.Envelope, org string) []refusal {
	payloadType, payload := parts(e)
	notSigned := "not by a key of its signer's card"
	return []refusal{
		{"signed by the root", notSigned, forge(payloadType, payload, signWith(org+" root"))},
		{"signed by a node", notSigned, forge(payloadType, payload, signWith(org+" node"))},
		{"signed by a stranger", notSigned, forge(payloadType, payload, signWith("stranger"))},
		{"signed twice", "2 signatures", forge(payloadType, payload, signWith(org+" signing"), signWith(org+" signing"))},
		{"a signature with s + L", notSigned, forge(payloadType, payload, edited(signWith(org+" signing"), sPlusL))},
		{"a payload type that it does not have", "was expected", forge(otherType(payloadType), payload, signWith(org+" signing"))},
		{"a card in its place", "was expected, not a card", cardOf(org).Bytes()},
	}
}

func otherType(payloadType string) string {
	if strings.Contains(payloadType, "void") {
		return strings.Replace(payloadType, "void", "receipt", 1)
	}
	return "application/vnd.dxd.void.v1+json"
}

func TestManifest(t *testing.T) {
	s, open := manifestOf(t), by(record.OpenManifest, "a")
	accept(t, "manifest.json", s, open)
	root, beacon := s.Body.Root.String(), s.Body.Beacon.Hash.String()
	zero := strings.Repeat("0", 64)
	cases := changed(t, s.Envelope, []change{
		{"of another organisation", "another signer's card", `"org":"` + orgOf("a").String(), `"org":"` + orgOf("c").String()},
		{"under another card", "another signer's card", `"card":"` + cardOf("a").ID().String(), `"card":"` + cardOf("b").ID().String()},
		{"to oneself", "to itself", `"recipient":"` + orgOf("b").String(), `"recipient":"` + orgOf("a").String()},
		{"no root", "without recipient or root", root, "0x" + zero},
		{"no epoch", "without an epoch", s.Body.Epoch.String(), zero[:32]},
		{"an unknown lane", "not a lane", `"lane":"doc"`, `"lane":"fast"`},
		{"sequence 0", "sequence is 0", `"sequence":1`, `"sequence":0`},
		{"sequence 2 without predecessor", "names no predecessor", `"sequence":1`, `"sequence":2`},
		{"no item", "items is 0", `"lane":"doc","sequence":1,"items":1`, `"lane":"msg","sequence":1,"items":0`},
		{"a document of two items", "payload of 2 items", `"items":1`, `"items":2`},
		{"1025 messages", "payload of 1025 items", `"lane":"doc","sequence":1,"items":1`, `"lane":"msg","sequence":1,"items":1025`},
		{"a body shorter than the shortest", "sealed_length is 31", `"sealed_length":12377`, `"sealed_length":31`},
		{"a body of 2^53 bytes", "not between", `"sealed_length":12377`, `"sealed_length":9007199254740992`},
		{"a length that is a fraction", "strict JSON", `"sealed_length":12377`, `"sealed_length":12377.0`},
		{"a length that is a string", "strict JSON", `"sealed_length":12377`, `"sealed_length":"12377"`},
		{"a beacon of no chain", "beacon's chain is 0", `"chain_id":1337`, `"chain_id":0`},
		{"a beacon without a block's hash", "without a block's hash", beacon, "0x" + zero},
		{"an empty beacon", "one form of its JSON", beaconJSON(s.Body.Beacon), `{"chain_id":0,"block":0,"hash":"0x` + zero + `","time":0}`},
		{"an upper-case root", "lower-case hex", root, "0x" + strings.ToUpper(root[2:])},
	}, signWith("a signing"))
	refuse(t, "manifest-refused.json", append(cases, wrongSigners(s.Envelope, "a")...), parsed(open))
}

func beaconJSON(b record.Beacon) string {
	text, err := record.Marshal(b)
	if err != nil {
		panic(err) // four fields that can all be encoded
	}
	return string(text)
}

func receiptOf(t *testing.T, nonce string, previous record.RecordID, entries ...record.Entry) record.Signed[record.Receipt] {
	t.Helper()
	s, err := record.Sign(record.Receipt{
		Header:   header[record.Receipt]("b", cardOf("b").ID(), nonce),
		Sender:   orgOf("a"),
		Manifest: manifestOf(t).ID(),
		Previous: previous,
		Entries:  entries,
	}, signWith("b signing"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReceipt(t *testing.T) {
	open := by(record.OpenReceipt, "b")
	first := receiptOf(t, "receipt", record.RecordID{}, record.Entry{Status: record.StatusReceived})
	accept(t, "receipt.json", first, open)
	second := receiptOf(t, "second receipt", first.ID(), record.Entry{Status: record.StatusAccepted, Application: "order 4711"})
	accept(t, "receipt-accepted.json", second, open)
	bundle := receiptOf(t, "bundle receipt", first.ID(),
		record.Entry{First: 0, Last: 4, Status: record.StatusAccepted},
		record.Entry{First: 7, Last: 7, Status: record.StatusRefused, Reason: "not ours"},
		record.Entry{First: 8, Last: 1023, Status: record.StatusAccepted})
	accept(t, "receipt-bundle.json", bundle, open)

	signer := signWith("b signing")
	cases := changed(t, first.Envelope, []change{
		{"from oneself", "without sender or manifest", `"sender":"` + orgOf("a").String(), `"sender":"` + orgOf("b").String()},
		{"no entry", "0 entries", `[{"first":0,"last":0,"status":"received"}]`, `[]`},
		{"null for the entries", "one form of its JSON", `[{"first":0,"last":0,"status":"received"}]`, `null`},
		{"an unknown status", "not a status", `"received"`, `"seen"`},
		{"a first receipt that accepts", "first receipt", `"received"`, `"accepted"`},
		{"a reason of what is received", "only a refusal", `"received"`, `"received","reason":"late"`},
		{"an application's word at once", "an application's string", `"received"`, `"received","application":"x"`},
		{"an item before the first", "in the order", `"first":0`, `"first":-1`},
		{"an item behind the last that can be", "in the order", `"last":0`, `"last":1024`},
	}, signer)
	cases = append(cases, changed(t, second.Envelope, []change{
		{"a second receipt that receives", "first receipt", `"status":"accepted","application":"order 4711"`, `"status":"received"`},
		{"a second receipt that names none before it", "first receipt", `"previous":"` + first.ID().String() + `",`, ``},
		{"an application's string that is not UTF-8", "strict JSON", `order 4711`, "order \xff"},
		{"an application's string of 65,537 bytes", "65537 bytes", `order 4711`, strings.Repeat("x", 65537)},
		{"a reason of what is accepted", "only a refusal", `"status":"accepted"`, `"status":"accepted","reason":"fine"`},
	}, signer)...)
	cases = append(cases, changed(t, bundle.Envelope, []change{
		{"entries that overlap", "in the order", `"last":4`, `"last":7`},
		{"an entry that ends before it begins", "in the order", `"first":7,"last":7`, `"first":7,"last":6`},
		{"entries out of order", "in the order", `"first":0,"last":4`, `"first":1020,"last":1021`},
		{"a reason with a line break", "cannot be shown", `not ours`, `not\nours`},
		{"a reason of 1,025 bytes", "1025 bytes", `not ours`, strings.Repeat("r", 1025)},
	}, signer)...)
	refuse(t, "receipt-refused.json", append(cases, wrongSigners(first.Envelope, "b")...), parsed(open))
}

func TestReceiptWithTheLongestApplicationStringIsARecord(t *testing.T) {
	// The character whose escape is longest.
	long := record.Entry{Status: record.StatusAccepted, Application: strings.Repeat("\x01", record.MaxApplication)}
	s := receiptOf(t, "long receipt", record.RecordID{1}, long)
	if err := parsed(by(record.OpenReceipt, "b"))(s.Bytes()); err != nil {
		t.Error(err)
	}
}

func TestVoid(t *testing.T) {
	m := manifestOf(t)
	s, err := record.Sign(record.Void{
		Header:    header[record.Void]("a", cardOf("a").ID(), "void"),
		Recipient: orgOf("b"),
		Manifest:  m.ID(),
		Number:    m.Body.Number,
		Reason:    record.VoidCancelled,
	}, signWith("a signing"))
	if err != nil {
		t.Fatal(err)
	}
	open := by(record.OpenVoid, "a")
	accept(t, "void.json", s, open)
	cases := changed(t, s.Envelope, []change{
		{"to oneself", "without recipient or manifest", `"recipient":"` + orgOf("b").String(), `"recipient":"` + orgOf("a").String()},
		{"an unknown reason", "not a reason", `"cancelled"`, `"bored"`},
		{"no lane", "not a lane", `"doc"`, `""`},
		{"no manifest", "not a record's identifier", m.ID().String(), ""},
	}, signWith("a signing"))
	refuse(t, "void-refused.json", append(cases, wrongSigners(s.Envelope, "a")...), parsed(open))
}

func TestNotarization(t *testing.T) {
	o := openingOf("Protokoll.txt")
	o.Kind = record.Notarized
	s, err := record.Sign(record.Notarization{
		Header: header[record.Notarization]("a", cardOf("a").ID(), "notarisation"),
		Root:   rootOf(t, o),
	}, signWith("a signing"))
	if err != nil {
		t.Fatal(err)
	}
	open := by(record.OpenNotarization, "a")
	accept(t, "notarization.json", s, open)
	cases := changed(t, s.Envelope, []change{
		{"no root", "without a root", s.Body.Root.String(), "0x" + strings.Repeat("0", 64)},
		{"a root without 0x", "lower-case hex", s.Body.Root.String(), s.Body.Root.String()[2:]},
		{"a beacon from before 1970", "beacon's time", s.Body.Root.String() + `"`, s.Body.Root.String() + `","beacon":` + beaconJSON(record.Beacon{ChainID: 1, Hash: record.Hash{1}, Time: -1})},
	}, signWith("a signing"))
	refuse(t, "notarization-refused.json", append(cases, wrongSigners(s.Envelope, "a")...), parsed(open))
}

func TestOpening(t *testing.T) {
	o := openingOf("Angebot Nr. 7.pdf")
	b, err := o.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "opening.json", b)
	if again, err := record.ParseOpening(b); err != nil || again.Name != o.Name || again.Digest != o.Digest {
		t.Errorf("the opening changed on its way: %+v, %v", again, err)
	}
	salt, digest := o.Salt.String(), o.Digest.String()
	var cases []refusal
	for _, c := range []change{
		{"another type", "not an opening of this version", `opening.v1`, `opening.v2`},
		{"a transfer's id of version 4", "not a transfer's id", `-7abc-`, `-4abc-`},
		{"no transfer", "not a transfer's id", o.Transfer.String(), "00000000-0000-0000-0000-000000000000"},
		{"an index below 0", "index is -1", `"index":0`, `"index":-1`},
		{"an unknown kind", "not a kind", `"kind":"document"`, `"kind":"picture"`},
		{"a message with a name", "a message has no name", `"kind":"document"`, `"kind":"message"`},
		{"a document without a name", "name is empty", `"name":"Angebot Nr. 7.pdf",`, ``},
		{"a name with a path", "is a path", `Angebot`, `../Angebot`},
		{"no media type", "media type is empty", `application/pdf`, ``},
		{"a media type without a slash", "not a media type", `application/pdf`, `pdf`},
		{"a length below 0", "length is -1", `"length":12345`, `"length":-1`},
		{"a length of 2^53", "not between", `"length":12345`, `"length":9007199254740992`},
		{"a digest in hex", "not a digest", digest, o.Digest.Hex()},
		{"no salt", "without digest or salt", salt, strings.Repeat("0", 64)},
		{"a salt of 31 bytes", "lower-case hex", salt, salt[2:]},
		{"an unknown member", "strict JSON", `,"salt"`, `,"pepper":1,"salt"`},
		{"more than 4096 bytes", "4096 are allowed", `Angebot`, strings.Repeat("x", 4096)},
	} {
		if strings.Count(string(b), c.old) != 1 {
			t.Fatalf("%s: %q stands %d times", c.name, c.old, strings.Count(string(b), c.old))
		}
		cases = append(cases, refusal{c.name, c.why, []byte(strings.Replace(string(b), c.old, c.new, 1))})
	}
	refuse(t, "opening-refused.json", cases, func(input []byte) error {
		o, err := record.ParseOpening(input)
		if err != nil && o != (record.Opening{}) {
			t.Error("something is returned beside the error")
		}
		return err
	})
}

func TestOpeningThatBreaksARuleHasNoBytes(t *testing.T) {
	for name, edit := range map[string]func(*record.Opening){
		"no digest":        func(o *record.Opening) { o.Digest = record.Digest{} },
		"no salt":          func(o *record.Opening) { o.Salt = record.Nonce{} },
		"no transfer":      func(o *record.Opening) { o.Transfer = record.TransferID{} },
		"no kind":          func(o *record.Opening) { o.Kind = "" },
		"a path":           func(o *record.Opening) { o.Name = "a/b" },
		"a huge length":    func(o *record.Opening) { o.Length = 1 << 53 },
		"an index of 2^60": func(o *record.Opening) { o.Index = 1 << 60 },
	} {
		o := openingOf("a")
		edit(&o)
		if b, err := o.Bytes(); record.KindOf(err) != record.Invalid || b != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}
