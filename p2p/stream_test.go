package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"dxd/record"
)

// transportsUnderTest name each transport by the address that selects it.
var transportsUnderTest = []struct{ name, listen string }{
	{"tcp", overTCP},
	{"quic", overQUIC},
}

func TestStreamEchoesUntilItsSendingHalfIsClosed(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			b.Handle(testProtocol, echo)
			for range 3 { // the first settles the protocol, the others assume it
				c := mustOpen(t, a, b, testProtocol)
				roundTrip(t, c, []byte("hello"))
				if c.Transport() != tt.name || c.Node() != b.Node() {
					t.Errorf("stream of %s with %s", c.Transport(), c.Node())
				}
			}
			if !a.Connected(b.Node()) {
				t.Error("not connected after a stream")
			}
		})
	}
}

func TestBigStreamArrivesAsItWasSent(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			b.Handle(testProtocol, echo)
			data := make([]byte, 24<<20+17)
			rand.Read(data)
			roundTrip(t, mustOpen(t, a, b, testProtocol), data)
		})
	}
}

func TestEmptyStreamReachesTheHandler(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			b.Handle(testProtocol, echo)
			for range 2 {
				roundTrip(t, mustOpen(t, a, b, testProtocol), nil)
			}
		})
	}
}

func TestResetIsAnErrorAndNotEOF(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			got := make(chan error, 1)
			b.Handle(testProtocol, func(_ context.Context, c *Conn) {
				_, err := io.Copy(io.Discard, c)
				got <- err
			})
			c := mustOpen(t, a, b, testProtocol)
			if _, err := c.Write([]byte("half")); err != nil {
				t.Fatal(err)
			}
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
			wantKind(t, <-got, record.Unavailable)
		})
	}
}

func TestDeadlineEndsARead(t *testing.T) {
	for _, tt := range transportsUnderTest {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newHost(t, newDoor()), newHost(t, newDoor(), tt.listen)
			b.Handle(testProtocol, echo)
			c := mustOpen(t, a, b, testProtocol)
			if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read(make([]byte, 1))
			wantKind(t, err, record.Timeout)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v is not os.ErrDeadlineExceeded", err)
			}
			if err := c.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			roundTrip(t, c, []byte("still works")) // a deadline alone ends nothing
		})
	}
}

func TestUnknownProtocolIsUnavailable(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	_, err := a.Open(testContext(t), b.Node(), b.Addrs(), "/test/none/1")
	wantKind(t, err, record.Unavailable)
	wantText(t, err, "does not speak /test/none/1")
}

func TestOneConnectionServesBothDirections(t *testing.T) {
	a, b := newHost(t, newDoor()), newHost(t, newDoor(), overTCP)
	a.Handle(testProtocol, echo)
	b.Handle(testProtocol, echo)
	roundTrip(t, mustOpen(t, a, b, testProtocol), []byte("there"))
	// b knows no address of a, and needs none.
	c, err := b.Open(testContext(t), a.Node(), nil, testProtocol)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, bytes.Repeat([]byte("back"), 1000))
}
