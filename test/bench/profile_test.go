package bench

import (
	"strings"
	"testing"
)

const traces = `File: bench.test
Type: cpu
Duration: 10s, Total samples = 4s (40%)
-----------+-------------------------------------------------------
     2.50s   crypto/internal/fips140/sha256.blockSHANI
             crypto/internal/fips140/sha256.(*Digest).Write (inline)
             dxd/exchange.(*spool).Write
-----------+-------------------------------------------------------
     500ms   internal/runtime/syscall.Syscall6
             syscall.Fsync
             internal/poll.(*FD).Fsync
             os.(*File).Sync
-----------+-------------------------------------------------------
        1s   internal/runtime/syscall.Syscall6
             internal/poll.(*FD).Write
             os.(*File).Write
-----------+-------------------------------------------------------
`

func TestStacksBelongToAKindOfWork(t *testing.T) {
	p, err := parseTraces("alpha", strings.NewReader(traces))
	if err != nil {
		t.Fatal(err)
	}
	if p.Total != 4 || len(p.Shares) != 3 || p.Shares["SHA-256"] != 0.625 || p.Shares["syncing files"] != 0.125 || p.Shares["reading, writing files"] != 0.25 {
		t.Errorf("%+v", p)
	}
	if got := kindOf([]string{"main.main"}); got != otherKind {
		t.Errorf("a stack of nothing known is of %s", got)
	}
}
