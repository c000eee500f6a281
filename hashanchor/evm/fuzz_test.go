package evm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/record"
)

// answers is an endpoint that says of each method what it is told to say.
type answers struct {
	mu sync.Mutex // guards what follows
	of map[string][]byte
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req request
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, req.ID, a.of[req.Method]) // a client that is gone
}

func (a *answers) set(method string, answer []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[method] = answer
}

// listen keeps the last answer of the target to each method.
func (a *answers) listen(t testing.TB, target string) string {
	return between(t, target, func(r request) any {
		var whole bytes.Buffer
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": r.ID, "method": r.Method, "params": r.Params})
		if err != nil {
			t.Error(err)
		}
		forward(t, &whole, target, body)
		var answer struct{ Result json.RawMessage }
		if err := json.Unmarshal(whole.Bytes(), &answer); err != nil {
			t.Error(err)
		}
		a.set(r.Method, answer.Result)
		return answer.Result
	})
}

// FuzzAnswers asks an endpoint that answers with anything. Whatever it says,
// that ends in an answer that holds together, or in an error.
func FuzzAnswers(f *testing.F) {
	w := newWorld(f, evm.Config{})
	a := w.anchored(f, record.Hash{1})
	server := &answers{of: map[string][]byte{}}
	c := w.at(f, evm.Config{URLs: []string{server.listen(f, w.dev.URL())}})
	ask := func(t testing.TB, c *evm.Chain) {
		t.Helper()
		if found, err := c.Lookup(t.Context(), a); err == nil && found.Standing == hashanchor.Final && (found.Block < 1 || found.Time < 1) {
			t.Errorf("final is %+v", found)
		}
		if s, err := c.StateProof(t.Context(), []hashanchor.Anchor{a}); err == nil && s.Slots[0] != nil {
			if _, err := evm.CheckState(a, s.Header, s.Account, s.Slots[0]); err != nil {
				t.Errorf("a state proof that does not hold: %v", err)
			}
		}
		if b, err := c.Block(t.Context(), a.Block); err == nil && (b.Block != a.Block || b.Time < 0 || b.ChainID != a.ChainID) {
			t.Errorf("block %d is %+v", a.Block, b)
		}
		if h, err := c.Head(t.Context()); err == nil && (h.Block < 0 || h.Nonce < 0) {
			t.Errorf("the head is %+v", h)
		}
	}
	ask(f, c)
	said := func(method string) []byte { return server.of[method] }
	f.Add(said("eth_getBlockByNumber"), said("eth_getBlockByHash"), said("eth_getCode"), said("eth_call"), said("eth_getProof"))
	f.Add(said("eth_getBlockByNumber"), []byte("null"), []byte(`"0x"`), []byte(`"0x00"`), []byte(`{}`))
	liar := httptest.NewServer(server)
	f.Cleanup(liar.Close)
	c = w.at(f, evm.Config{URLs: []string{liar.URL}})
	f.Fuzz(func(t *testing.T, block, header, code, entry, proof []byte) {
		server.set("eth_getBlockByNumber", block)
		server.set("eth_getBlockByHash", header)
		server.set("eth_getCode", code)
		server.set("eth_call", entry)
		server.set("eth_getProof", proof)
		ask(t, c)
	})
}
