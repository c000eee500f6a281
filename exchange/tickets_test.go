package exchange_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dxd/crypto"
	"dxd/exchange"
	"dxd/record"
)

// threshold is a doorway through which nobody goes.
type threshold struct{}

func (threshold) Visit(context.Context, crypto.Ticket, string) (exchange.Stream, error) {
	return nil, record.Errorf(record.Unavailable, "nobody is there")
}

func (threshold) Drop(record.NodeID) {}

// inviting is an exchange that can do nothing but issue tickets.
func inviting(t *testing.T) (*exchange.Exchange, *exchange.Tickets) {
	t.Helper()
	keys, err := crypto.Generate()
	check(t, err)
	tickets := &exchange.Tickets{}
	return exchange.Open(exchange.Config{
		Keys: keys, Tickets: tickets, Doorway: threshold{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Addrs: func() []string { return []string{"/ip4/192.0.2.1/tcp/4600"} },
	}), tickets
}

// invite issues a ticket; the channel gives the error with which it ends.
func invite(t *testing.T, ctx context.Context, x *exchange.Exchange) (visitor record.NodeID, ends <-chan error) {
	t.Helper()
	issued, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := x.Invite(ctx, func(p exchange.Pairing) { issued <- p.Ticket })
		ended <- err
	}()
	ticket, err := crypto.ParseTicket(<-issued)
	check(t, err)
	visitor, err = ticket.Visitor()
	check(t, err)
	return visitor, ended
}

func TestTicketAdmitsItsVisitorForFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, tickets := inviting(t)
		begun := time.Now()
		visitor, ends := invite(t, t.Context(), x)
		if !tickets.Admit(visitor, time.Now()) || tickets.Admit(record.NodeID{}, time.Now()) {
			t.Error("not the visitor, or anybody, is admitted")
		}
		time.Sleep(15*time.Minute - 2*time.Second)
		if !tickets.Admit(visitor, time.Now()) {
			t.Error("the visitor is not admitted any more")
		}
		err := <-ends
		if spent := time.Since(begun); record.KindOf(err) != record.Timeout || record.Hint(err) == "" || spent > 15*time.Minute {
			t.Errorf("after %v: %v", spent, err)
		}
		if tickets.Admit(visitor, begun) {
			t.Error("the visitor of a ticket that is void is admitted")
		}
	})
}

// The clock counts, also if nobody has cleaned up yet.
func TestVisitorOfATicketThatIsOverIsNotAdmitted(t *testing.T) {
	x, tickets := inviting(t)
	ctx, cancel := context.WithCancel(t.Context())
	visitor, ends := invite(t, ctx, x)
	if tickets.Admit(visitor, time.Now().Add(15*time.Minute)) {
		t.Error("it is admitted")
	}
	cancel()
	<-ends
}

// piped is a stream between two goroutines.
type piped struct {
	net.Conn
	node record.NodeID
}

func (p piped) CloseWrite() error   { return p.Close() }
func (p piped) Reset() error        { return p.Close() }
func (p piped) Node() record.NodeID { return p.node }

func TestVisitorThatSaysNothingIsGivenUpAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, tickets := inviting(t)
		visitor, ends := invite(t, t.Context(), x)
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			x.ServePair(t.Context(), piped{near, visitor})
		}()
		synctest.Wait()
		if tickets.Admit(visitor, time.Now()) {
			t.Error("a second visitor is admitted with the same ticket")
		}
		begun := time.Now()
		if err := <-ends; err == nil || time.Since(begun) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		<-served
		check(t, far.Close())
	})
}

func TestStreamOfNobodyWhoIsExpectedIsReset(t *testing.T) {
	x, _ := inviting(t)
	near, far := net.Pipe()
	keys, err := crypto.Generate()
	check(t, err)
	x.ServePair(t.Context(), piped{near, keys.Node()})
	if n, err := far.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestWhyTheHostCannotBeReachedIsLogged(t *testing.T) {
	host, _ := inviting(t)
	visitor, _ := inviting(t)
	var log bytes.Buffer
	visitor.Log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := host.Invite(ctx, func(p exchange.Pairing) {
		if _, err := visitor.Join(ctx, p.Ticket, func(exchange.Pairing) {}); err == nil || strings.Contains(err.Error(), "nobody is there") {
			t.Errorf("the visitor is told: %v", err)
		}
		cancel()
	})
	if !strings.Contains(log.String(), "nobody is there") {
		t.Errorf("logged is only this: %s(%v)", &log, err)
	}
}

func TestWithoutADoorwayThereIsNoPairing(t *testing.T) {
	x := exchange.Open(exchange.Config{Now: time.Now})
	_, err := x.Invite(t.Context(), nil)
	if record.KindOf(err) != record.Unreachable {
		t.Error(err)
	}
	if _, err = x.Join(t.Context(), "dxdpair1", nil); record.KindOf(err) != record.Unreachable {
		t.Error(err)
	}
	if _, err = x.AnswerPairing(t.Context(), "", true, ""); record.KindOf(err) != record.Unreachable {
		t.Error(err)
	}
}
