package daemon_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/statedir"
	"dxd/p2p"
	"dxd/record"
)

// patience is how long anything may take that should take a moment.
const patience = 30 * time.Second

// house is an organisation's daemon in this process.
type house struct {
	*daemon.Daemon
	t   *testing.T
	at  func(exchange.Point) // a seam that tests set before they begin
	dir string
	// stop ends the daemon; twice does nothing.
	stop func()
}

func newHouse(t *testing.T, name string, configuration ...string) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "dxd-pair-") // short, as a socket's path must be
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	h := &house{t: t, dir: filepath.Join(dir, "state")}
	toml := "listen = [\"/ip4/127.0.0.1/tcp/0\", \"/ip4/127.0.0.1/udp/0/quic-v1\"]\n"
	for _, line := range configuration {
		toml += line + "\n"
	}
	state, keys, err := daemon.Create(t.Context(), h.dir, name, nil, []byte(toml))
	check(t, err)
	c, err := config.Load(h.dir, func(string) (string, bool) { return "", false })
	check(t, err)
	h.start(state, c, keys)
	return h
}

func (h *house) start(state statedir.Dir, c config.Config, keys *crypto.Keyring) {
	h.t.Helper()
	d, err := daemon.Start(h.t.Context(), daemon.Options{
		Dir: state, Config: c, Keys: keys, Log: slog.New(slog.DiscardHandler),
		Seam: func(p exchange.Point) {
			if h.at != nil {
				h.at(p)
			}
		},
		Retry: exchange.Retry{First: 20 * time.Millisecond, Longest: 200 * time.Millisecond},
	})
	check(h.t, err)
	h.Daemon = d
	h.stop = sync.OnceFunc(func() { check(h.t, d.Stop()) })
	h.t.Cleanup(h.stop)
}

// side is one person at one side of a pairing.
type side struct {
	h      *house
	cancel context.CancelFunc
	states chan exchange.Pairing // all that it is told
	done   chan struct{}
	end    exchange.Pairing
	err    error
}

// pairs begins a pairing; without a ticket it issues one.
func (h *house) pairs(ticket string) *side {
	ctx, cancel := context.WithCancel(h.t.Context())
	s := &side{h: h, cancel: cancel, states: make(chan exchange.Pairing, 10), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		seen := func(p exchange.Pairing) { s.states <- p }
		if ticket == "" {
			s.end, s.err = h.Exchange.Invite(ctx, seen)
		} else {
			s.end, s.err = h.Exchange.Join(ctx, ticket, seen)
		}
	}()
	h.t.Cleanup(func() {
		cancel()
		<-s.done
	})
	return s
}

// sees waits for a state.
func (s *side) sees(want exchange.PairingState) exchange.Pairing {
	s.h.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case p := <-s.states:
			if p.State == want {
				return p
			}
		case <-s.done:
			select {
			case p := <-s.states:
				if p.State == want {
					return p
				}
			default:
				s.h.t.Fatalf("it ended before it was %s: %v", want, s.err)
			}
		case <-timer.C:
			s.h.t.Fatalf("not %s", want)
		}
	}
}

// answers says yes or no once it is asked.
func (s *side) answers(yes bool, alias string) {
	s.h.t.Helper()
	_, err := s.h.Exchange.AnswerPairing(s.h.t.Context(), s.sees(exchange.PairingAsks).ID, yes, alias)
	check(s.h.t, err)
}

// ends waits for the end and gives its error.
func (s *side) ends() error {
	s.h.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.h.t.Fatal("it does not end")
	}
	return s.err
}

// invites begins a pairing and gives its ticket.
func (h *house) invites() (*side, string) {
	h.t.Helper()
	s := h.pairs("")
	return s, s.sees(exchange.PairingWaits).Ticket
}

func (h *house) knows(want ...string) {
	h.t.Helper()
	got := []string{}
	for _, p := range h.Book.List() {
		got = append(got, p.Alias)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("%s knows %v, not %v", h.Book.Self().Body.Name, got, want)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind record.Kind) {
	t.Helper()
	if err == nil || record.KindOf(err) != kind {
		t.Errorf("got %v (%v), not the kind %v", err, record.KindOf(err), kind)
	}
}

// connects waits until both sides are connected.
func connects(t *testing.T, a, b *house) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !a.Host.Connected(b.Keys.Node()) || !b.Host.Connected(a.Keys.Node()) {
		if time.Now().After(deadline) {
			t.Fatal("not connected")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestTwoYesMakeTwoPartnersWhoAreConnected(t *testing.T) {
	a, b := newHouse(t, "Acme GmbH"), newHouse(t, "Bolt & Söhne")
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	if p := visitor.sees(exchange.PairingAsks); p.File.Card.Body.Name != "Acme GmbH" || p.Alias != "acme-gmbh" || p.Known {
		t.Errorf("the visitor is asked about %q as %q", p.File.Card.Body.Name, p.Alias)
	} else if _, err := b.Exchange.AnswerPairing(t.Context(), p.ID, true, "acme"); err != nil {
		t.Fatal(err)
	}
	b.knows()
	host.answers(true, "")
	check(t, host.ends())
	check(t, visitor.ends())
	if !host.end.Confirmed || !visitor.end.Confirmed {
		t.Error("a side has not the other's word")
	}
	a.knows("bolt-s-hne")
	b.knows("acme")
	connects(t, a, b)
}

func TestNobodyIsAddedUnlessBothSayYes(t *testing.T) {
	for name, play := range map[string]struct {
		talk          func(host, visitor *side)
		host, visitor record.Kind
	}{
		"the host says no": {func(host, visitor *side) {
			visitor.answers(true, "")
			host.answers(false, "")
		}, record.Invalid, record.Refused},
		"the host says no first": {func(host, visitor *side) {
			host.answers(false, "")
		}, record.Invalid, record.Refused},
		"the visitor says no": {func(host, visitor *side) {
			host.answers(true, "")
			visitor.answers(false, "")
		}, record.Refused, record.Invalid},
		"the host goes away": {func(host, visitor *side) {
			visitor.answers(true, "")
			host.sees(exchange.PairingAsks)
			host.cancel()
		}, record.Internal, record.Refused},
		"the visitor goes away": {func(host, visitor *side) {
			host.answers(true, "")
			visitor.sees(exchange.PairingAsks)
			visitor.cancel()
		}, record.Refused, record.Internal},
		"the visitor goes away after its yes": {func(host, visitor *side) {
			visitor.answers(true, "")
			visitor.sees(exchange.PairingAgreed)
			visitor.cancel()
			host.sees(exchange.PairingAsks)
		}, record.Refused, record.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
			host, ticket := a.invites()
			visitor := b.pairs(ticket)
			play.talk(host, visitor)
			wantKind(t, host.ends(), play.host)
			wantKind(t, visitor.ends(), play.visitor)
			a.knows()
			b.knows()
		})
	}
}

// Where the one who issues the ticket can't reach the other at all.
func TestOneSideThatCanBeReachedIsEnough(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt", `announce = ["/ip4/192.0.2.1/tcp/4600"]`)
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	host.answers(true, "bolt")
	visitor.answers(true, "acme")
	check(t, host.ends())
	check(t, visitor.ends())
	connects(t, a, b)
}

func TestWhoCannotReachTheHostIsToldToTurnItAround(t *testing.T) {
	a, b := newHouse(t, "Acme", `announce = ["/ip4/127.0.0.1/tcp/1"]`), newHouse(t, "Bolt")
	_, ticket := a.invites()
	err := b.pairs(ticket).ends()
	wantKind(t, err, record.Unavailable)
	if hint := record.Hint(err); hint == "" {
		t.Error("no hint")
	}
	if said := err.Error(); strings.Contains(said, "/ip4/") || strings.Contains(said, a.Host.Node().String()) {
		t.Errorf("a person is told what the log is for: %s", said)
	}
}

// visits dials a house as the bearer of a ticket does, or as anybody else
// does, and says what happens.
func visits(t *testing.T, key crypto.Ticket, a *house, protocol string) (*p2p.Conn, error) {
	t.Helper()
	host, err := p2p.New(p2p.Config{Identity: key.Signer(), Gate: anybody{}})
	check(t, err)
	t.Cleanup(func() { check(t, host.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return host.Open(ctx, a.Keys.Node(), a.Host.Addrs(), protocol)
}

type anybody struct{}

func (anybody) Admit(record.NodeID) bool           { return true }
func (anybody) MayDial(record.NodeID, string) bool { return true }

// ticketOf reads a ticket as the other side does.
func ticketOf(t *testing.T, text string) crypto.Ticket {
	t.Helper()
	ticket, err := crypto.ParseTicket(text)
	check(t, err)
	return ticket
}

// stranger is a key that nobody has heard of.
func stranger(t *testing.T, a *house) crypto.Ticket {
	t.Helper()
	ticket, err := crypto.NewTicket(a.Keys.Node(), a.Host.Addrs(), time.Now().Add(time.Hour))
	check(t, err)
	return ticket
}

// gated is the code with which QUIC tells that the gate is closed. Over TCP
// there is none, and over QUIC it is not always read before the end.
var gated = regexp.MustCompile("0x[0-9a-f]+")

// outcome is what one who dials can tell: over TCP every TLS record that the
// node sends before it hangs up, by its type; over QUIC that it gets no stream.
func outcome(t *testing.T, key crypto.Ticket, a *house) string {
	t.Helper()
	all := ""
	for _, network := range []string{"tcp", "quic"} {
		host, err := p2p.New(p2p.Config{Identity: key.Signer(), Gate: anybody{}})
		check(t, err)
		addrs := slices.DeleteFunc(a.Host.Addrs(), func(addr string) bool { return !strings.Contains(addr, network) })
		records := func() string { return "" }
		if network == "tcp" {
			addrs, records = recorder(t, addrs[0])
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := host.Open(ctx, a.Keys.Node(), addrs, exchange.ProtocolPair)
		if c != nil {
			t.Error("it gets a stream")
		}
		if code := gated.FindString(fmt.Sprint(err)); code != "" && code != "0x1007" {
			t.Errorf("it is told %s", code)
		}
		all += fmt.Sprintf("%s: %v %s; ", network, record.KindOf(err), records())
		cancel()
		check(t, host.Close())
	}
	return all
}

// recorder stands before a TCP address. records waits until the connection
// has ended, and tells what came from there: the lines before TLS, and the
// type of each record of TLS.
func recorder(t *testing.T, addr string) (addrs []string, records func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	down := make(chan []byte, 1)
	go func() {
		defer l.Close()
		near, err := l.Accept()
		if err != nil {
			down <- nil
			return
		}
		parts := strings.Split(addr, "/") // "", ip4, A, tcp, P
		far, err := net.Dial("tcp", net.JoinHostPort(parts[2], parts[4]))
		if err != nil {
			down <- nil
			return
		}
		go io.Copy(far, near) // ends with near
		var b bytes.Buffer
		io.Copy(io.MultiWriter(&b, near), far) // ends when the node hangs up
		near.Close()
		far.Close()
		down <- b.Bytes()
	}()
	at := l.Addr().(*net.TCPAddr)
	return []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", at.Port)}, func() string { return recordsOf(<-down) }
}

func recordsOf(b []byte) string {
	at := bytes.Index(b, []byte{0x16, 0x03}) // the first record of TLS
	if at < 0 {
		return fmt.Sprintf("%q", b)
	}
	types := fmt.Sprintf("%q", b[:at])
	for b = b[at:]; len(b) >= 5; {
		end := 5 + int(binary.BigEndian.Uint16(b[3:]))
		types += fmt.Sprintf(" %d", b[0])
		b = b[min(end, len(b)):]
	}
	return types
}

func TestTicketThatIsWrongUsedOrOverGetsWhatAnyStrangerGets(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	want := outcome(t, stranger(t, a), a)
	t.Log("a stranger gets: " + want)
	waiting, open := a.invites() // while another ticket is open
	host, used := a.invites()
	visitor := b.pairs(used)
	gets := func(who string, ticket crypto.Ticket) {
		t.Helper()
		if got := outcome(t, ticket, a); got != want {
			t.Errorf("%s gets %q, a stranger %q", who, got, want)
		}
	}
	visitor.answers(true, "")
	gets("a second bearer, while the first is here,", ticketOf(t, used))
	host.answers(true, "")
	check(t, host.ends())
	check(t, visitor.ends())
	gets("a used ticket", ticketOf(t, used))
	gets("a wrong ticket", stranger(t, a))
	waiting.cancel()
	<-waiting.done
	gets("a ticket whose issuer went away", ticketOf(t, open))
	wantKind(t, b.pairs(used).ends(), record.Refused)
}

func TestVisitorIsServedNothingButThePairing(t *testing.T) {
	a := newHouse(t, "Acme")
	_, ticket := a.invites()
	for _, protocol := range []string{exchange.ProtocolHello, exchange.ProtocolTransfer, exchange.ProtocolProof} {
		c, err := visits(t, ticketOf(t, ticket), a, protocol)
		if err != nil {
			continue
		}
		if b, err := io.ReadAll(c); len(b) > 0 || err == nil {
			t.Errorf("%s answers a visitor %x, %v", protocol, b, err)
		}
	}
}

func TestPartnerIsNotServedAPairing(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	host.answers(true, "")
	visitor.answers(true, "")
	check(t, host.ends())
	check(t, visitor.ends())
	again, _ := a.invites()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := b.Host.Open(ctx, a.Keys.Node(), a.Host.Addrs(), exchange.ProtocolPair)
	if err == nil {
		if got, err := io.ReadAll(c); len(got) > 0 || err == nil {
			t.Errorf("it answers %x, %v", got, err)
		}
	}
	again.cancel()
	wantKind(t, again.ends(), record.Internal) // cancelled, and not by the partner
}

// hostile is a visitor that says what it likes.
type hostile struct {
	t *testing.T
	*p2p.Conn
}

func (h hostile) sends(frame byte, content []byte) {
	h.t.Helper()
	b := append(binary.BigEndian.AppendUint32(nil, uint32(1+len(content))), frame)
	if _, err := h.Write(append(b, content...)); err != nil {
		h.t.Log(err) // the host may have hung up
	}
}

// shows sends the first frame of a visitor.
func (h hostile) shows(file record.CardFile, node record.NodeID, proof []byte) {
	h.t.Helper()
	content, err := json.Marshal(map[string]any{"v": 1, "file": json.RawMessage(cardJSON(h.t, file)), "node": node, "proof": proof})
	check(h.t, err)
	h.sends(16, content)
}

func cardJSON(t *testing.T, file record.CardFile) []byte {
	t.Helper()
	b, err := file.Bytes()
	check(t, err)
	return b
}

// strangerWithACard is an organisation that runs no daemon.
func strangerWithACard(t *testing.T, name string) (*crypto.Keyring, record.CardFile) {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	now := time.Now()
	card, err := keys.SignCard(record.Card{
		Header: record.Header{Created: now.UnixMilli()}, Name: name, Serial: 1, Expires: now.Add(time.Hour).UnixMilli(),
	})
	check(t, err)
	return keys, record.CardFile{Card: card.Envelope}
}

func TestHostAsksNobodyAboutAVisitorThatDoesNotHold(t *testing.T) {
	keys, file := strangerWithACard(t, "Mallory")
	other, otherFile := strangerWithACard(t, "Somebody else")
	for name, play := range map[string]func(a *house, visitor record.NodeID, h hostile){
		"another's card, without its node": func(a *house, visitor record.NodeID, h hostile) {
			h.shows(otherFile, keys.Node(), keys.ProvePairing(visitor, a.Keys.Node()))
		},
		"another's card, with its node's name": func(a *house, visitor record.NodeID, h hostile) {
			h.shows(otherFile, other.Node(), keys.ProvePairing(visitor, a.Keys.Node()))
		},
		"a proof for another ticket": func(a *house, visitor record.NodeID, h hostile) {
			h.shows(file, keys.Node(), keys.ProvePairing(other.Node(), a.Keys.Node()))
		},
		"no proof": func(a *house, visitor record.NodeID, h hostile) { h.shows(file, keys.Node(), nil) },
		"the host's own card": func(a *house, visitor record.NodeID, h hostile) {
			own, err := a.Book.CardFile(a.Host.Addrs())
			check(t, err)
			h.shows(own.File(), a.Keys.Node(), a.Keys.ProvePairing(visitor, a.Keys.Node()))
		},
		"no card":          func(_ *house, _ record.NodeID, h hostile) { h.sends(16, []byte(`{"v":1}`)) },
		"another version":  func(_ *house, _ record.NodeID, h hostile) { h.sends(16, []byte(`{"v":2}`)) },
		"a yes at once":    func(_ *house, _ record.NodeID, h hostile) { h.sends(17, []byte(`{"word":"yes"}`)) },
		"an offer":         func(_ *house, _ record.NodeID, h hostile) { h.sends(1, []byte(`{}`)) },
		"a frame too long": func(_ *house, _ record.NodeID, h hostile) { _, _ = h.Write([]byte{0xff, 0xff, 0xff, 0xff, 16}) },
		"an end":           func(_ *house, _ record.NodeID, h hostile) { check(t, h.CloseWrite()) },
		"a reset":          func(_ *house, _ record.NodeID, h hostile) { check(t, h.Reset()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newHouse(t, "Acme")
			host, text := a.invites()
			ticket := ticketOf(t, text)
			visitor, err := ticket.Visitor()
			check(t, err)
			c, err := visits(t, ticket, a, exchange.ProtocolPair)
			check(t, err)
			play(a, visitor, hostile{t, c})
			if err := host.ends(); err == nil {
				t.Error("it ended well")
			}
			close(host.states)
			for p := range host.states {
				if p.State == exchange.PairingAsks {
					t.Errorf("a person is asked about %s", p.File.Card.Body.Name)
				}
			}
			a.knows()
		})
	}
}

func TestHostKeepsToItsWordsWhateverAVisitorSays(t *testing.T) {
	keys, file := strangerWithACard(t, "Mallory")
	for name, play := range map[string]struct {
		says []string
		ok   bool // the host adds it all the same, once its own person has said yes
	}{
		"added before a yes":      {[]string{"added"}, false},
		"a word that is none":     {[]string{"maybe"}, false},
		"yes and then no":         {[]string{"yes", "no"}, false},
		"yes twice":               {[]string{"yes", "yes"}, false},
		"words without end":       {[]string{"yes", "added", "added", "no", "no", "no", "no", "no", "no"}, false},
		"yes, and then it leaves": {[]string{"yes"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newHouse(t, "Acme")
			host, text := a.invites()
			ticket := ticketOf(t, text)
			visitor, err := ticket.Visitor()
			check(t, err)
			c, err := visits(t, ticket, a, exchange.ProtocolPair)
			check(t, err)
			h := hostile{t, c}
			h.shows(file, keys.Node(), keys.ProvePairing(visitor, a.Keys.Node()))
			asked := host.sees(exchange.PairingAsks)
			for _, w := range play.says {
				h.sends(17, fmt.Appendf(nil, `{"word":%q}`, w))
			}
			if !play.ok {
				if err := h.CloseWrite(); err != nil {
					t.Log(err) // the host may have hung up
				}
				wantKind(t, host.ends(), record.Refused)
				a.knows()
				return
			}
			_, err = a.Exchange.AnswerPairing(t.Context(), asked.ID, true, "mallory")
			check(t, err)
			host.sees(exchange.PairingAgreed)
			waitFor(t, c, "added")
			check(t, c.Reset())
			check(t, host.ends())
			if host.end.Confirmed {
				t.Error("the host believes that it was added")
			}
			a.knows("mallory")
		})
	}
}

// waitFor reads frames until one holds the text.
func waitFor(t *testing.T, r io.Reader, text string) {
	t.Helper()
	for {
		var head [5]byte
		_, err := io.ReadFull(r, head[:])
		check(t, err)
		content := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
		_, err = io.ReadFull(r, content)
		check(t, err)
		if string(content) == `{"word":"`+text+`"}` {
			return
		}
	}
}

// The one cut that leaves one side with a partner who has not added it.
func TestCutBetweenTheTwoAdditionsIsToldAndMendedByPairingAgain(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	bearer, err := ticketOf(t, ticket).Visitor()
	check(t, err)
	var once sync.Once
	a.at = func(p exchange.Point) {
		if p == exchange.AfterPaired {
			once.Do(func() { a.Host.Drop(bearer) })
		}
	}
	host.answers(true, "bolt")
	visitor.answers(true, "acme")
	check(t, host.ends())
	if host.end.Confirmed {
		t.Error("the host believes that it was added")
	}
	wantKind(t, visitor.ends(), record.Unavailable)
	a.knows("bolt")
	b.knows()

	host, ticket = a.invites()
	visitor = b.pairs(ticket)
	if p := host.sees(exchange.PairingAsks); !p.Known || p.Alias != "bolt" {
		t.Errorf("the host does not know whom it has added: %v, %q", p.Known, p.Alias)
	} else if _, err := a.Exchange.AnswerPairing(t.Context(), p.ID, true, ""); err != nil {
		t.Fatal(err)
	}
	visitor.answers(true, "acme")
	check(t, host.ends())
	check(t, visitor.ends())
	a.knows("bolt")
	b.knows("acme")
	connects(t, a, b)
}

func TestVisitorThatCouldNotAddTheHostSaysSo(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	_, file := strangerWithACard(t, "Carat")
	opened, err := file.Open()
	check(t, err)
	visitor.answers(true, "acme")
	visitor.sees(exchange.PairingAgreed)
	_, err = b.Book.Add(t.Context(), opened, "acme") // which takes the alias meanwhile
	check(t, err)
	host.answers(true, "bolt")
	check(t, host.ends())
	if host.end.Confirmed {
		t.Error("the host believes that it was added")
	}
	wantKind(t, visitor.ends(), record.Conflict)
	a.knows("bolt")
	b.knows("acme")
}

func TestAliasThatIsTakenCanBeChosenAgain(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	_, file := strangerWithACard(t, "Another Bolt")
	opened, err := file.Open()
	check(t, err)
	_, err = a.Book.Add(t.Context(), opened, "bolt")
	check(t, err)
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	asked := host.sees(exchange.PairingAsks)
	if asked.Alias != "bolt-2" {
		t.Errorf("%q is proposed", asked.Alias)
	}
	for alias, kind := range map[string]record.Kind{"bolt": record.Conflict, "no alias": record.Invalid} {
		_, err := a.Exchange.AnswerPairing(t.Context(), asked.ID, true, alias)
		wantKind(t, err, kind)
	}
	_, err = a.Exchange.AnswerPairing(t.Context(), asked.ID, true, "bolt-ag")
	check(t, err)
	_, err = a.Exchange.AnswerPairing(t.Context(), asked.ID, true, "bolt-ag")
	wantKind(t, err, record.Conflict)
	visitor.answers(true, "")
	check(t, host.ends())
	a.knows("bolt", "bolt-ag")
}

func TestOwnTicketIsRefused(t *testing.T) {
	a := newHouse(t, "Acme")
	_, ticket := a.invites()
	wantKind(t, a.pairs(ticket).ends(), record.Conflict)
}

func TestHostWithoutAnAddressIssuesNoTicket(t *testing.T) {
	a := newHouse(t, "Acme")
	c := a.Exchange.Config
	c.Addrs = func() []string { return nil }
	_, err := exchange.Open(c).Invite(t.Context(), func(exchange.Pairing) { t.Error("it issues one") })
	wantKind(t, err, record.Conflict)
}

func TestNinthPairingAtATimeIsRefused(t *testing.T) {
	a := newHouse(t, "Acme")
	for range 8 {
		a.invites()
	}
	wantKind(t, a.pairs("").ends(), record.Quota)
}

func TestPairingEndsWithTheDaemon(t *testing.T) {
	a, b := newHouse(t, "Acme"), newHouse(t, "Bolt")
	host, ticket := a.invites()
	visitor := b.pairs(ticket)
	host.sees(exchange.PairingAsks)
	visitor.sees(exchange.PairingAsks)
	host.cancel() // as the API does when it drains
	a.stop()
	if kind := record.KindOf(visitor.ends()); kind != record.Refused && kind != record.Unavailable {
		t.Errorf("the visitor ended with %v", visitor.err)
	}
	b.knows()
	if !errors.Is(host.ends(), context.Canceled) {
		t.Errorf("the host ended with %v", host.err)
	}
}
