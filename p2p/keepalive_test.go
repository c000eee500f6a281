package p2p

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A peer whose machine lost power sends nothing, not even an end.
func TestSilentPeerIsGivenUpWithin45Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }() // takes all and answers nothing
		start := time.Now()
		mux, err := newMuxer().NewConn(near, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mux.AcceptStream(); err == nil {
			t.Fatal("a stream came from nowhere")
		}
		if spent := time.Since(start); spent > keepAlive+writeTimeout {
			t.Errorf("noticed after %v", spent)
		}
		_ = far.Close()
		synctest.Wait()
	})
}

func TestQUICPingsTwiceWithinItsIdleTimeout(t *testing.T) {
	h := newHost(t, newDoor())
	c := h.net.quic.ClientConfig()
	if c.KeepAlivePeriod != 15*time.Second || c.MaxIdleTimeout != 0 { // 0 is quic-go's 30 s
		t.Errorf("pings every %v, gives up after %v", c.KeepAlivePeriod, c.MaxIdleTimeout)
	}
}
