package p2p

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

func newTestResources(t *testing.T) (resources, *trusted) {
	t.Helper()
	res, trusted, err := newResources()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := res.Close(); err != nil {
			t.Error(err)
		}
	})
	return res, trusted
}

const elsewhere = "/ip4/198.51.100.7/tcp/"

// fillFrom opens handshakes from one address until one is refused.
func fillFrom(t *testing.T, res resources, host string) (n int, refusal error) {
	t.Helper()
	for port := 1; ; port++ {
		scope, err := res.OpenConnection(network.DirInbound, true, ma.StringCast(host+strconv.Itoa(port)))
		if err != nil {
			return n, err
		}
		t.Cleanup(scope.Done)
		n++
	}
}

func TestManyPartnersBehindOneNATGetIn(t *testing.T) {
	res, _ := newTestResources(t)
	n, err := fillFrom(t, res, elsewhere)
	if n < inboundBurst || !errors.Is(err, errTooFast) {
		t.Errorf("%d connections from one address, then %v", n, err)
	}
}

func TestFloodFromOneAddressLeavesRoomForOthersAndForDialling(t *testing.T) {
	res, _ := newTestResources(t)
	fillFrom(t, res, elsewhere)
	other, err := res.OpenConnection(network.DirInbound, true, ma.StringCast("/ip4/203.0.113.9/tcp/1"))
	if err != nil {
		t.Errorf("another address: %v", err)
	} else {
		other.Done()
	}
	for range 2 * inboundBurst { // the same address, but outbound
		scope, err := res.OpenConnection(network.DirOutbound, true, ma.StringCast(elsewhere+"4001"))
		if err != nil {
			t.Fatalf("dialling: %v", err)
		}
		scope.Done()
	}
}

func TestFullHandshakeLimitLetsTrustedAddressesIn(t *testing.T) {
	res, trusted := newTestResources(t)
	n, _ := fillFrom(t, res, "/ip4/127.0.0.1/tcp/") // no rate limit on loopback
	if n != maxHandshakes {
		t.Fatalf("%d handshakes at once, want %d", n, maxHandshakes)
	}
	from := ma.StringCast(elsewhere + "9")
	if _, err := res.OpenConnection(network.DirInbound, true, from); err == nil {
		t.Fatal("an unknown address got in")
	}
	id, err := newIdentity(newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	trusted.add(id.peer, from)
	scope, err := res.OpenConnection(network.DirInbound, true, from)
	if err != nil {
		t.Fatalf("a trusted address: %v", err)
	}
	defer scope.Done()
	if err := scope.SetPeer(id.peer); err != nil {
		t.Errorf("its node: %v", err)
	}
	trusted.forget(id.peer)
	if _, err := res.OpenConnection(network.DirInbound, true, from); err == nil {
		t.Error("a forgotten address got in")
	}
}

func TestTrustedAddressesOfOneNodeAreBounded(t *testing.T) {
	_, trusted := newTestResources(t)
	id, err := newIdentity(newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxTrusted {
		trusted.add(id.peer, ma.StringCast("/ip4/198.51.100."+strconv.Itoa(i)+"/tcp/1"))
	}
	if n := len(trusted.ips[id.peer]); n != maxTrusted {
		t.Errorf("%d are kept", n)
	}
	if trusted.list.Allowed(ma.StringCast("/ip4/198.51.100.0/tcp/1")) {
		t.Error("the oldest is still allowed")
	}
	if !trusted.list.Allowed(ma.StringCast("/ip4/198.51.100.23/tcp/1")) {
		t.Error("the newest is not allowed")
	}
}

func TestLibp2pSpeaksAtDebugLevelOnly(t *testing.T) {
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var out bytes.Buffer
		inner := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})
		slog.New(demoted{inner}).With("a", 1).WithGroup("g").Error("something with an address")
		if got := strings.Contains(out.String(), "level=DEBUG"); got != want || strings.Contains(out.String(), "ERROR") {
			t.Errorf("at %v: %q", level, out.String())
		}
	}
}
