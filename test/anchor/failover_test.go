package anchor_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/hashanchor/queue"
	"dxd/record"
)

// call is a question to an endpoint.
type call struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// lie is what an endpoint answers instead of the truth; nil: nothing else.
type lie func(c call, truth func() any) any

// failure is an answer that is an error.
type failure string

// liar is an endpoint in front of another that says the truth until it is told
// to lie, and then so many times.
type liar struct {
	t      *testing.T
	target string
	lie    lie
	left   atomic.Int64
	told   atomic.Int64
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var c call
	if err != nil || json.Unmarshal(body, &c) != nil {
		l.t.Errorf("not a call: %s", body)
	}
	truth := func() any { return l.truth(body) }
	var said any
	if l.left.Load() > 0 {
		if said = l.lie(c, truth); said != nil {
			l.left.Add(-1)
			l.told.Add(1)
		}
	}
	if said == nil {
		said = truth()
	}
	answer := map[string]any{"jsonrpc": "2.0", "id": c.ID, "result": said}
	if text, failed := said.(failure); failed {
		delete(answer, "result")
		answer["error"] = map[string]any{"code": -32000, "message": string(text)}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

func (l *liar) truth(body []byte) any {
	resp, err := http.Post(l.target, "application/json", bytes.NewReader(body))
	if err != nil {
		return failure(err.Error())
	}
	defer resp.Body.Close()
	var answer struct {
		Result any
		Error  *struct{ Message string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return failure(err.Error())
	}
	if answer.Error != nil {
		return failure(answer.Error.Message)
	}
	return answer.Result
}

// on lies about one method alone.
func on(method string, said any) lie {
	return func(c call, _ func() any) any {
		if c.Method == method {
			return said
		}
		return nil
	}
}

// baseFee lies about the base fee of blocks.
func baseFee(wei string) lie {
	return func(c call, truth func() any) any {
		if c.Method != "eth_getBlockByNumber" {
			return nil
		}
		b, ok := truth().(map[string]any)
		if !ok {
			return nil
		}
		b["baseFeePerGas"] = wei
		return b
	}
}

var absurd = "0x" + strings.Repeat("f", 64)

// forever is more lies than a test hears.
const forever = 1 << 40

// TestAnEndpointThatFailsOrLiesInTheMiddleLosesNoRecord has a sane endpoint
// behind one that turns bad while the queue runs. Most lies may last; those
// about how far the chain is are believed for as long as they are told (it is
// for who verifies to ask several endpoints), and then mended.
func TestAnEndpointThatFailsOrLiesInTheMiddleLosesNoRecord(t *testing.T) {
	n := newNode(t, inProcess, 2)
	n.stuck = time.Second
	for name, c := range map[string]struct {
		lie   lie
		times int64
	}{
		"fails":                          {func(call, func() any) any { return failure("busy") }, forever},
		"fails for a moment":             {func(call, func() any) any { return failure("busy") }, 3},
		"says an absurd base fee":        {baseFee(absurd), forever},
		"says an absurd tip":             {on("eth_maxPriorityFeePerGas", absurd), forever},
		"says absurd gas":                {on("eth_estimateGas", "0xffffffffff"), forever},
		"says too little gas":            {on("eth_estimateGas", "0x1"), forever},
		"says that any price is too low": {on("eth_sendRawTransaction", failure("transaction underpriced")), forever},
		"says that there is no coin":     {on("eth_sendRawTransaction", failure("insufficient funds for gas * price + value")), forever},
		"shows no contract":              {on("eth_getCode", "0x"), 20},
		"shows other code":               {on("eth_getCode", "0x00"), forever},
		"takes what it throws away":      {swallow, forever},
		"says a nonce that is too high":  {on("eth_getTransactionCount", "0x50"), 10},
		"says a nonce that is too low":   {on("eth_getTransactionCount", "0x0"), 10},
		"denies every root":              {on("eth_call", "0x"+strings.Repeat("00", 96)), 10},
		"shows an entry without end":     {on("eth_call", "0x"+strings.Repeat("00", 960)), forever},
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{t: t, target: n.dev.URL(), lie: c.lie}
			server := httptest.NewServer(l)
			defer server.Close()
			n.stop()
			n.front = []string{server.URL}
			n.start()
			before, opening := n.notarise("before it " + name)
			n.await(before.ID(), queue.Included, queue.Final)
			l.left.Store(c.times)
			during, duringOpening := n.notarise("while it " + name)
			n.final(during)
			n.await(before.ID(), queue.Final) // its block may have been looked at before that one
			t.Logf("%d lies", l.told.Load())
			if l.told.Load() == 0 {
				t.Error("so this says nothing")
			}
			if r := n.verify("before it "+name, before, opening); r.ExitCode() != 0 {
				t.Errorf("what was anchored before: %+v", r.Checks)
			}
			if r := n.verify("while it "+name, during, duringOpening); r.ExitCode() != 0 {
				t.Errorf("what was anchored meanwhile: %+v", r.Checks)
			}
		})
	}
}

// final waits until a record is final, and makes the blocks that it takes.
func (n *node) final(signed record.Envelope) {
	n.t.Helper()
	n.await(signed.ID(), queue.Included, queue.Final)
	must(n.t, n.dev.Mine(int(n.depth)))
	n.await(signed.ID(), queue.Final)
}

// swallow has an endpoint say that it takes transactions, of which it passes
// none on.
func swallow(c call, _ func() any) any {
	var raw hexutil.Bytes
	if c.Method != "eth_sendRawTransaction" || json.Unmarshal(c.Params[0], &raw) != nil {
		return nil
	}
	return hexutil.Encode(crypto.Keccak256(raw))
}
