package anchor_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// TestATransactionThatNoBlockTakesIsReplaced has each client judge what the
// queue sends in the place of a transaction that is stuck.
func TestATransactionThatNoBlockTakesIsReplaced(t *testing.T) {
	onEach(t, 2, func(t *testing.T, n *node) {
		sent := make(chan *types.Transaction, 16)
		l := &liar{t: t, target: n.dev.URL(), lie: func(c call, _ func() any) any {
			var raw hexutil.Bytes
			tx := new(types.Transaction)
			if c.Method != "eth_sendRawTransaction" {
				return nil
			}
			if err := json.Unmarshal(c.Params[0], &raw); err != nil || tx.UnmarshalBinary(raw) != nil {
				t.Errorf("not a transaction: %s", c.Params[0])
			}
			select {
			case sent <- tx:
			default: // enough has been seen
			}
			return nil // the truth
		}}
		l.left.Store(forever)
		server := httptest.NewServer(l)
		defer server.Close()
		n.stop()
		n.front, n.stuck = []string{server.URL}, 200*time.Millisecond
		n.start()
		n.dev.Pause()
		signed, opening := n.notarise("hello")
		first, last := <-sent, <-sent
		for last.Hash() == first.Hash() { // the same once more
			last = <-sent
		}
		if last.Nonce() != first.Nonce() || last.GasFeeCap().Cmp(first.GasFeeCap()) <= 0 || string(last.Data()) != string(first.Data()) {
			t.Errorf("%v is sent in the place of %v", last, first)
		}
		before, err := n.chain().Head(t.Context())
		must(t, err)
		n.dev.Resume()
		n.final(signed)
		after, err := n.chain().Head(t.Context())
		must(t, err)
		if after.Nonce != before.Nonce+1 {
			t.Errorf("%d transactions are paid for", after.Nonce-before.Nonce)
		}
		if r := n.verify("hello", signed, opening); r.ExitCode() != 0 {
			t.Errorf("%+v", r.Checks)
		}
	})
}
