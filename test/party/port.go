package party

import (
	"fmt"
	"net"
	"sync"
	"testing"
)

// Ports that daemons of tests listen on lie below those that outgoing
// connections take. Tests run in several processes at once, and a port has to
// stay its daemon's while that is down. So each process takes ports by the lot:
// whoever listens on the first port of a lot owns the others, as long as it
// runs, and gives each of them away once.
const (
	lowestPort  = 12000
	highestPort = 32000
	portsInALot = 100
)

var ports struct {
	mu    sync.Mutex // guards what follows
	owned []net.Listener
	next  int
	left  int // of the lot
}

// FreePort finds a port that is free for TCP and UDP on 127.0.0.1, and that no
// other test is given.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := NewPort()
	Check(t, err)
	return port
}

// NewPort is FreePort where there is no test to fail.
func NewPort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for {
		if ports.left == 0 {
			if err := takeLot(); err != nil {
				return 0, err
			}
		}
		port := ports.next
		ports.next++
		ports.left--
		if isFree(port) {
			return port, nil
		}
	}
}

// takeLot is called with mu held.
func takeLot() error {
	for first := lowestPort; first < highestPort; first += portsInALot {
		l, err := net.Listen("tcp4", loopback(first))
		if err != nil {
			continue // another's
		}
		ports.owned = append(ports.owned, l)
		ports.next, ports.left = first+1, portsInALot-1
		return nil
	}
	return fmt.Errorf("no lot of ports is left between %d and %d", lowestPort, highestPort)
}

// isFree tells whether nobody else, who knows nothing of lots, listens there.
func isFree(port int) bool {
	tcp, err := net.Listen("tcp4", loopback(port))
	if err != nil {
		return false
	}
	udp, err := net.ListenPacket("udp4", loopback(port))
	if err == nil {
		err = udp.Close()
	}
	return tcp.Close() == nil && err == nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
