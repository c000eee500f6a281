package evm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"dxd/crypto"
	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/devchain"
	"dxd/record"
)

// newSigner is the keyring of an organisation that owns nothing yet.
func newSigner(t testing.TB) *crypto.Keyring {
	t.Helper()
	keys, err := crypto.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// world is a dev chain, an account with coin on it, and a Chain over both.
type world struct {
	dev    *devchain.Chain
	signer *crypto.Keyring
	*evm.Chain
}

// newWorld starts one where the contract stands, with finality 2 unless told.
// Blocks come only by dev.Mine from then on.
func newWorld(t testing.TB, cfg evm.Config) world {
	t.Helper()
	w := bareWorld(t, devchain.Config{}, cfg)
	if _, err := w.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.dev.Pause()
	return w
}

func bareWorld(t testing.TB, chain devchain.Config, cfg evm.Config) world {
	t.Helper()
	s := newSigner(t)
	chain.Fund = []record.Account{s.Account()}
	dev, err := devchain.Start(chain)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	if cfg.Finality == 0 {
		cfg.Finality = 2
	}
	cfg.URLs, cfg.Signer = append(cfg.URLs, dev.URL()), s
	return world{dev, s, newChain(t, cfg)}
}

func newChain(t testing.TB, cfg evm.Config) *evm.Chain {
	t.Helper()
	c, err := evm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at is the same chain and account through other endpoints.
func (w world) at(t testing.TB, cfg evm.Config) *evm.Chain {
	t.Helper()
	cfg.Signer = w.signer
	if cfg.Finality == 0 {
		cfg.Finality = 2
	}
	return newChain(t, cfg)
}

// anchor is where w's account would anchor the root.
func (w world) anchor(root record.Hash) hashanchor.Anchor {
	a := w.Where()
	a.ChainID, a.Root = devchain.DefaultChainID, root
	return a
}

func (w world) lookup(t testing.TB, root record.Hash) hashanchor.Found {
	t.Helper()
	found, err := w.Lookup(t.Context(), w.anchor(root))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (w world) head(t testing.TB) hashanchor.Head {
	t.Helper()
	h, err := w.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// prepare signs with the account's next nonce.
func (w world) prepare(t testing.TB, root record.Hash) hashanchor.Transaction {
	t.Helper()
	tx, err := w.Prepare(t.Context(), root, w.head(t).Nonce, hashanchor.Transaction{})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func (w world) send(t testing.TB, tx hashanchor.Transaction) {
	t.Helper()
	if err := w.Send(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
}

func (w world) mine(t testing.TB, n int) {
	t.Helper()
	if err := w.dev.Mine(n); err != nil {
		t.Fatal(err)
	}
}

// included anchors a root and mines one block with it.
func (w world) included(t testing.TB, root record.Hash) hashanchor.Transaction {
	t.Helper()
	tx := w.prepare(t, root)
	w.send(t, tx)
	w.mine(t, 1)
	return tx
}

// request is one call that an endpoint gets.
type request struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// nodeError makes an endpoint answer with an error.
type nodeError string

// between is an endpoint in front of another that answers some calls itself:
// those for which override returns something. Of a nodeError it makes an error.
func between(t testing.TB, target string, override func(r request) any) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req request
		if err != nil || json.Unmarshal(body, &req) != nil {
			t.Errorf("not a request: %s", body)
		}
		w.Header().Set("Content-Type", "application/json")
		switch answer := override(req).(type) {
		case nil:
			forward(t, w, target, body)
		case nodeError:
			writeJSON(t, w, map[string]any{"jsonrpc": "2.0", "id": req.ID, "error": map[string]any{"code": -32000, "message": answer}})
		default:
			writeJSON(t, w, map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": answer})
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func forward(t testing.TB, w io.Writer, target string, body []byte) {
	resp, err := http.Post(target, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Errorf("couldn't forward: %v", err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		t.Errorf("couldn't forward: %v", err)
	}
}

func writeJSON(t testing.TB, w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Errorf("couldn't answer: %v", err)
	}
}

// answering overrides the calls of one method.
func answering(method string, answer any) func(request) any {
	return func(r request) any {
		if r.Method == method {
			return answer
		}
		return nil
	}
}

// wantKind checks an error, and that it gives no endpoint's secret away.
func wantKind(t testing.TB, err error, kind record.Kind, parts ...string) {
	t.Helper()
	if err == nil || record.KindOf(err) != kind {
		t.Fatalf("the error is %v (%s), not of kind %s", err, record.KindOf(err), kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error()+record.Hint(err), secret) {
		t.Errorf("the error holds the endpoint's key: %v", err)
	}
}

// secret is the key in the path of endpoints' URLs.
const secret = "s3cr3t-k3y"

// brief is a timeout that a loopback answer meets and a silent server doesn't.
const brief = 300 * time.Millisecond

// mutated is what the target answers, changed.
func mutated(t testing.TB, target string, r request, change func(result map[string]any)) any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": r.Method, "params": r.Params})
	if err != nil {
		t.Errorf("couldn't ask: %v", err)
	}
	var whole bytes.Buffer
	forward(t, &whole, target, body)
	var answer struct {
		Result map[string]any `json:"result"`
	}
	if err := json.Unmarshal(whole.Bytes(), &answer); err != nil {
		t.Errorf("not an answer: %v", err)
	}
	change(answer.Result)
	return answer.Result
}

func hexes(nodes [][]byte) []string {
	all := []string{}
	for _, n := range nodes {
		all = append(all, hexutil.Encode(n))
	}
	return all
}
