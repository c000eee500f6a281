package crypto_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/record"
)

// ticketExample is the worked example of docs/spec/pairing.md.
type ticketExample struct {
	Node      record.NodeID `json:"node"`
	Secret    string        `json:"secret"`
	Expires   int64         `json:"expires"` // s since 1970
	Addresses []string      `json:"addresses"`
	Bytes     string        `json:"bytes"`
	Ticket    string        `json:"ticket"`
	Seed      string        `json:"visitor_seed"`
	Visitor   record.NodeID `json:"visitor"`
}

// refusedTicket is a text that is no ticket.
type refusedTicket struct {
	Name  string `json:"name"`
	Input string `json:"input"`
}

// body is what the specification puts before the checksum.
func (x ticketExample) body(t testing.TB) []byte {
	t.Helper()
	secret, err := hex.DecodeString(x.Secret)
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte{1}, x.Node.Key()...)
	b = append(b, secret...)
	b = binary.BigEndian.AppendUint64(b, uint64(x.Expires))
	b = append(b, byte(len(x.Addresses)))
	for _, a := range x.Addresses {
		b = append(append(b, byte(len(a))), a...)
	}
	return b
}

// textOf is the ticket of a body, as the specification writes it.
func textOf(body []byte) string {
	sum := sha256.Sum256(append([]byte("dxd/ticket/v1\n"), body...))
	return "dxdpair1" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(append(bytes.Clone(body), sum[:4]...)))
}

func readTicketExample(t testing.TB) (x ticketExample) {
	t.Helper()
	if err := json.Unmarshal(read(t, "ticket.json"), &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// writeTickets makes the golden files. Their keys are those of seeds that
// anybody may know.
func writeTickets(t *testing.T) {
	x := ticketExample{
		Node: nodeOf(t, 7), Secret: strings.Repeat("5a", 32), Expires: 1790000900,
		Addresses: []string{"/ip4/192.0.2.7/tcp/4600", "/dns4/dxd.acme.example/udp/4600/quic-v1"},
	}
	body := x.body(t)
	x.Bytes, x.Ticket = hex.EncodeToString(body), textOf(body)
	seed := visitorSeed(t, x)
	x.Seed, x.Visitor = hex.EncodeToString(seed), nodeOfKey(t, ed25519.NewKeyFromSeed(seed))
	writeJSON(t, "ticket.json", x)
	changed := func(change func(b []byte) []byte) string { return textOf(change(bytes.Clone(body))) }
	none := x
	none.Addresses = nil
	many := x
	many.Addresses = make([]string, 17)
	for i := range many.Addresses {
		many.Addresses[i] = "/ip4/192.0.2.7/tcp/1"
	}
	writeJSON(t, "ticket-refused.json", []refusedTicket{
		{"empty", ""},
		{"another prefix", "dxdpair2" + x.Ticket[8:]},
		{"in capitals", strings.ToUpper(x.Ticket)},
		{"a space before it", " " + x.Ticket},
		{"a line break behind it", x.Ticket + "\n"},
		{"its last letter lost", x.Ticket[:len(x.Ticket)-1]},
		{"one letter too many", x.Ticket + "a"},
		{"two letters exchanged", x.Ticket[:60] + x.Ticket[61:62] + x.Ticket[60:61] + x.Ticket[62:]},
		{"padded", x.Ticket + "="},
		{"version 2", changed(func(b []byte) []byte { b[0] = 2; return b })},
		{"a node key of small order", changed(func(b []byte) []byte { copy(b[1:33], make([]byte, 32)); return b })},
		{"expires at no time", changed(func(b []byte) []byte { b[65] = 0xff; return b })},
		{"no address", textOf(none.body(t))},
		{"17 addresses", textOf(many.body(t))},
		{"an address less than announced", changed(func(b []byte) []byte { b[73]++; return b })},
		{"an address more than announced", changed(func(b []byte) []byte { b[73]--; return b })},
		{"an address that is cut off", changed(func(b []byte) []byte { return b[:len(b)-1] })},
		{"an empty address", changed(func(b []byte) []byte { b[73]++; return append(b, 0) })},
		{"an address with an escape", changed(func(b []byte) []byte { b[80] = 0x1b; return b })},
		{"nothing but a version", textOf([]byte{1})},
	})
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, append(b, '\n'))
}

func nodeOf(t testing.TB, seed byte) record.NodeID {
	return nodeOfKey(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)))
}

func nodeOfKey(t testing.TB, key ed25519.PrivateKey) record.NodeID {
	t.Helper()
	node, err := record.MakeNodeID(key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func visitorSeed(t testing.TB, x ticketExample) []byte {
	t.Helper()
	secret, err := hex.DecodeString(x.Secret)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, "dxd/pair/visitor/v1", 32)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func TestTicketIsWhatItsSpecificationSays(t *testing.T) {
	if *update {
		writeTickets(t)
	}
	x := readTicketExample(t)
	if text := textOf(x.body(t)); text != x.Ticket {
		t.Errorf("by the specification it is %s", text)
	}
	ticket, err := crypto.ParseTicket(x.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Node != x.Node || ticket.Expires.Unix() != x.Expires || fmt.Sprint(ticket.Addresses) != fmt.Sprint(x.Addresses) {
		t.Errorf("it reads as %v, %v, %v", ticket.Node, ticket.Expires, ticket.Addresses)
	}
	if ticket.Text() != x.Ticket {
		t.Errorf("written again it is %s", ticket.Text())
	}
	seed := visitorSeed(t, x)
	visitor, err := ticket.Visitor()
	if err != nil || hex.EncodeToString(seed) != x.Seed || visitor != x.Visitor || visitor != nodeOfKey(t, ed25519.NewKeyFromSeed(seed)) {
		t.Errorf("its visitor is %v, %v", visitor, err)
	}
	shows(t, "pairing.md", x.Node.String(), x.Secret, x.Bytes, x.Ticket, x.Seed, x.Visitor.String())
}

func TestWhatIsNoTicketIsRefusedAndNotQuoted(t *testing.T) {
	var cases []refusedTicket
	if err := json.Unmarshal(read(t, "ticket-refused.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got, err := crypto.ParseTicket(c.Input)
		if err == nil || record.KindOf(err) != record.Invalid || !got.Node.IsZero() {
			t.Errorf("%s: %v, %v", c.Name, got, err)
			continue
		}
		if said := err.Error() + record.Hint(err); len(c.Input) > 20 && strings.Contains(said, c.Input[8:20]) {
			t.Errorf("%s: the error quotes the ticket: %s", c.Name, said)
		}
	}
}

func TestTicketTellsItsSecretOnlyByText(t *testing.T) {
	ticket, err := crypto.NewTicket(nodeOf(t, 1), []string{"/ip4/192.0.2.1/tcp/1"}, time.Unix(1790000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(ticket), fmt.Sprintf("%+v", ticket), fmt.Sprintf("%#v", &ticket)} {
		if shown != "(secret)" {
			t.Errorf("printed as %s", shown)
		}
	}
	if b, err := json.Marshal(ticket); err == nil {
		t.Errorf("encoded as %s", b)
	}
}

func TestTwoTicketsHaveTwoVisitors(t *testing.T) {
	seen := map[record.NodeID]bool{}
	for range 2 {
		ticket, err := crypto.NewTicket(nodeOf(t, 1), []string{"/ip4/192.0.2.1/tcp/1"}, time.Unix(1790000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		visitor, err := ticket.Visitor()
		if err != nil || seen[visitor] {
			t.Errorf("visitor %v, %v", visitor, err)
		}
		seen[visitor] = true
	}
}

func TestProofOfAVisitorHoldsForItsNodeTicketAndHostOnly(t *testing.T) {
	k := generate(t)
	visitor, host, other := nodeOf(t, 2), nodeOf(t, 3), nodeOf(t, 4)
	proof := k.ProvePairing(visitor, host)
	if err := crypto.CheckPairing(k.Node(), visitor, host, proof); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another node":    crypto.CheckPairing(other, visitor, host, proof),
		"no node":         crypto.CheckPairing(record.NodeID{}, visitor, host, proof),
		"another ticket":  crypto.CheckPairing(k.Node(), other, host, proof),
		"another host":    crypto.CheckPairing(k.Node(), visitor, other, proof),
		"exchanged":       crypto.CheckPairing(k.Node(), host, visitor, proof),
		"no proof":        crypto.CheckPairing(k.Node(), visitor, host, nil),
		"too short proof": crypto.CheckPairing(k.Node(), visitor, host, proof[:63]),
	} {
		if record.KindOf(err) != record.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseTicket tries texts as they are, and bodies with their checksum
// mended, so that what is behind it is reached.
func FuzzParseTicket(f *testing.F) {
	x := readTicketExample(f)
	f.Add([]byte(x.Ticket))
	f.Add(x.body(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, text := range []string{string(data), textOf(data)} {
			ticket, err := crypto.ParseTicket(text)
			if err != nil {
				if !ticket.Node.IsZero() {
					t.Error("a ticket is returned beside the error")
				}
				continue
			}
			if ticket.Text() != text {
				t.Errorf("written again it is %q, not %q", ticket.Text(), text)
			}
		}
	})
}
