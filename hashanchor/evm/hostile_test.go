package evm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/record"
)

// serve is an endpoint that does as the function does, with a key in its URL.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil { // or the server does not see the client go
			return
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/" + secret
}

// closedPort is an endpoint that is away.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String() + "/" + secret
}

// saying answers each request with one body.
func saying(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body) // the client may be gone
	}
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// trickling sends a byte now and then, for ever.
func trickling(w http.ResponseWriter, r *http.Request) {
	for tick := time.Tick(brief / 10); ; {
		select {
		case <-tick:
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// flooding sends as much as is read, in one JSON string.
func flooding(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"`)
	for chunk := strings.Repeat("a", 1<<16); ; {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
	}
}

// bad lists endpoints that are of no use.
func bad(t *testing.T) map[string]string {
	return map[string]string{
		"away":                closedPort(t),
		"silent":              serve(t, silent),
		"trickling":           serve(t, trickling),
		"endless":             serve(t, flooding),
		"HTML":                serve(t, saying(200, "<html>hello</html>")),
		"nothing":             serve(t, saying(200, "")),
		"an empty object":     serve(t, saying(200, "{}")),
		"an array":            serve(t, saying(200, "[1,2]")),
		"a null":              serve(t, saying(200, `{"jsonrpc":"2.0","id":1,"result":null}`)),
		"a huge number":       serve(t, saying(200, `{"jsonrpc":"2.0","id":1,"result":"0xffffffffffffffffff"}`)),
		"an error with codes": serve(t, saying(200, `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"\u001b[31mred\u202e"}}`)),
		"a refusal":           serve(t, saying(401, secret)),
		"a redirect": serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}),
	}
}

func TestABadEndpointIsUnavailableAndKeepsItsKey(t *testing.T) {
	for name, url := range bad(t) {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, evm.Config{URLs: []string{url}, Timeout: brief, Signer: newSigner(t)})
			host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
			_, err := c.Head(t.Context())
			wantKind(t, err, record.Unavailable, host)
			a := hashanchor.Anchor{ChainID: 1, Contract: evm.ContractAddress(), Root: record.Hash{1}}
			_, err = c.Lookup(t.Context(), a)
			wantKind(t, err, record.Unavailable, host)
			wantKind(t, c.Send(t.Context(), hashanchor.Transaction{Raw: "0x02"}), record.Unavailable, host)
			if strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("the error is not printable: %q", err)
			}
		})
	}
}

func TestAnEndlessAnswerTakesLittleMemory(t *testing.T) {
	c := newChain(t, evm.Config{URLs: []string{serve(t, flooding)}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Block(t.Context(), 1)
	wantKind(t, err, record.Unavailable, "too large")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

func TestABadEndpointBeforeAGoodOneDoesNoHarm(t *testing.T) {
	const limit = 3 * time.Second // the good one has to meet it, too
	w := newWorld(t, evm.Config{})
	for name, url := range bad(t) {
		t.Run(name, func(t *testing.T) {
			c := w.at(t, evm.Config{URLs: []string{url, w.dev.URL()}, Timeout: limit})
			h, err := c.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tx, err := c.Prepare(t.Context(), record.Hash{1}, h.Nonce, hashanchor.Transaction{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send(t.Context(), tx); err != nil {
				t.Error(err)
			}
			begin := time.Now()
			if _, err := c.Balance(t.Context()); err != nil || time.Since(begin) >= limit {
				t.Errorf("the bad endpoint is asked first again: %v, %v", time.Since(begin), err)
			}
		})
	}
}

func TestACancelledQuestionEndsAtOnce(t *testing.T) {
	c := newChain(t, evm.Config{URLs: []string{serve(t, silent), serve(t, silent)}})
	ctx, cancel := context.WithTimeout(t.Context(), brief)
	defer cancel()
	_, err := c.Block(ctx, 1)
	wantKind(t, err, record.Unavailable)
}

func TestAnotherChainIsRefused(t *testing.T) {
	w := newWorld(t, evm.Config{})
	c := w.at(t, evm.Config{URLs: []string{w.dev.URL()}, ChainID: 5})
	tx := w.prepare(t, record.Hash{1})
	_, err := c.Head(t.Context())
	wantKind(t, err, record.Invalid, "chain 1337, not 5")
	_, err = c.Prepare(t.Context(), record.Hash{1}, 0, hashanchor.Transaction{})
	wantKind(t, err, record.Invalid)
	wantKind(t, c.Send(t.Context(), tx), record.Invalid)
	_, err = c.Deploy(t.Context())
	wantKind(t, err, record.Invalid)
	_, err = c.Lookup(t.Context(), w.anchor(record.Hash{1}))
	wantKind(t, err, record.Invalid)

	any := newChain(t, evm.Config{URLs: []string{w.dev.URL()}})
	elsewhere := w.anchor(record.Hash{1})
	elsewhere.ChainID = 5
	_, err = any.Lookup(t.Context(), elsewhere)
	wantKind(t, err, record.Invalid, "on chain 5")
}

func TestAnAnchorInAnotherContractIsRefused(t *testing.T) {
	w := newWorld(t, evm.Config{})
	a := w.anchor(record.Hash{1})
	a.Contract = record.Account{1}
	_, err := w.Lookup(t.Context(), a)
	wantKind(t, err, record.Invalid)
}

func TestEndpointsThatMustAgree(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{1}
	w.included(t, root)
	w.mine(t, 3)
	missing := strings.Repeat("00", 96)
	itsOwn := answering("eth_getBlockByNumber", map[string]any{"number": "0x1", "hash": record.Hash{1}, "timestamp": "0x1"})
	for name, lie := range map[string]struct {
		override func(request) any
		kind     record.Kind
		says     string // of a Conflict
	}{
		"hiding a root":     {answering("eth_call", "0x"+missing), record.Conflict, " says that the root stands nowhere up to its block"},
		"another entry":     {answering("eth_call", "0x"+missing[:190]+"05"), record.Conflict, " that can't be: the root was anchored when the chain had the id 5"},
		"another chain":     {answering("eth_chainId", "0x5"), record.Conflict, " answers for chain 5"},
		"another code":      {answering("eth_getCode", "0x00"), record.Conflict, " shows other code at "},
		"no contract":       {answering("eth_getCode", "0x"), record.Conflict, " says that the root stands nowhere up to its block"},
		"a short entry":     {answering("eth_call", "0x00"), record.Unavailable, ""},
		"an error":          {answering("eth_call", nodeError("no")), record.Unavailable, ""},
		"a block of itself": {itsOwn, record.Unavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			liar := between(t, w.dev.URL(), lie.override)
			for _, urls := range [][]string{{w.dev.URL(), liar}, {liar, w.dev.URL()}} {
				c := newChain(t, evm.Config{URLs: urls, Finality: 2, Agree: true})
				_, err := c.Lookup(t.Context(), w.anchor(root))
				wantKind(t, err, lie.kind)
				if lie.kind == record.Conflict {
					wantKind(t, err, lie.kind, w.dev.URL()+" says that the root stands in block", ", final, with the hash 0x", liar, lie.says)
					if !strings.Contains(record.Hint(err), "no verdict") {
						t.Errorf("nobody is told what to do: %q", record.Hint(err))
					}
				}
			}
		})
	}
	otherCode := between(t, w.dev.URL(), answering("eth_getCode", "0x00"))
	_, err := newChain(t, evm.Config{URLs: []string{otherCode, otherCode}, Finality: 2, Agree: true}).Lookup(t.Context(), w.anchor(root))
	wantKind(t, err, record.Invalid, "other code") // that is what all say
	honest := between(t, w.dev.URL(), func(request) any { return nil })
	c := newChain(t, evm.Config{URLs: []string{w.dev.URL(), honest}, Finality: 2, Agree: true})
	if found, err := c.Lookup(t.Context(), w.anchor(root)); err != nil || found.Standing != hashanchor.Final {
		t.Errorf("two that agree: %+v, %v", found, err)
	}
	if b, err := c.Block(t.Context(), 1); err != nil || b.Block != 1 {
		t.Errorf("block 1: %+v, %v", b, err)
	}
	_, err = c.Block(t.Context(), 1000)
	wantKind(t, err, record.NotFound)
	liar := between(t, w.dev.URL(), itsOwn)
	c = newChain(t, evm.Config{URLs: []string{w.dev.URL(), liar}, Finality: 2, Agree: true})
	_, err = c.Block(t.Context(), 1)
	wantKind(t, err, record.Conflict, w.dev.URL()+" says that block 1 has the hash 0x", liar+" says that block 1 has the hash 0x01", "of 1970-01-01T00:00:01Z")
}

func TestAnEndpointThatIsBehindWeakensTheAnswer(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{1}
	w.included(t, root)
	w.mine(t, 2)
	at := w.lookup(t, root).Block
	lagging := between(t, w.dev.URL(), func(r request) any {
		if r.Method != "eth_getBlockByNumber" || string(r.Params[0]) != `"latest"` {
			return nil
		}
		b, err := w.Block(t.Context(), at-1)
		if err != nil {
			t.Error(err)
		}
		return asNode(b, "0x0")
	})
	c := newChain(t, evm.Config{URLs: []string{w.dev.URL(), lagging}, Finality: 2, Agree: true})
	found, err := c.Lookup(t.Context(), w.anchor(root))
	if err != nil || found.Standing != hashanchor.Missing || found.Head != at-1 {
		t.Errorf("found %+v, %v", found, err)
	}
	// Behind on another chain it will never come to say the same.
	elsewhere := asNode(record.Beacon{Block: at - 1, Hash: record.Hash{1}, Time: 1}, "0x0")
	fork := between(t, lagging, func(r request) any {
		if r.Method == "eth_getBlockByNumber" && string(r.Params[0]) == `"`+quantity(at-1)+`"` {
			return elsewhere
		}
		return nil
	})
	c = newChain(t, evm.Config{URLs: []string{fork, w.dev.URL()}, Finality: 2, Agree: true})
	_, err = c.Lookup(t.Context(), w.anchor(root))
	wantKind(t, err, record.Conflict, fork, w.dev.URL(), " has the hash 0x01")
}

// TestAnEndpointThatIsBehindHidesNoDisagreement asks it before one that names
// another block than the first: with what it says itself, both can be.
func TestAnEndpointThatIsBehindHidesNoDisagreement(t *testing.T) {
	w := newWorld(t, evm.Config{})
	root := record.Hash{1}
	w.included(t, root)
	w.mine(t, 4)
	at := w.lookup(t, root).Block
	blocks := make([]record.Beacon, 2) // before the root, and behind it
	for i, n := range []int64{at - 1, at + 1} {
		var err error
		if blocks[i], err = w.Block(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	lagging := between(t, w.dev.URL(), func(r request) any {
		if r.Method != "eth_getBlockByNumber" || string(r.Params[0]) != `"latest"` {
			return nil
		}
		return asNode(blocks[0], "0x0")
	})
	liar := between(t, w.dev.URL(), answering("eth_call", fmt.Sprintf("0x%064x%064x%064x", blocks[1].Time, blocks[1].Block, blocks[1].ChainID)))
	c := newChain(t, evm.Config{URLs: []string{w.dev.URL(), lagging, liar}, Finality: 2, Agree: true})
	_, err := c.Lookup(t.Context(), w.anchor(root))
	wantKind(t, err, record.Conflict, w.dev.URL(), liar)
}

func TestABlockIsMissingOnlyWhereAnEndpointHasNotComeToIt(t *testing.T) {
	w := newWorld(t, evm.Config{})
	w.mine(t, 3)
	of := func(tag string, answer any) func(request) any {
		return func(r request) any {
			if r.Method == "eth_getBlockByNumber" && string(r.Params[0]) == `"`+tag+`"` {
				return answer
			}
			return nil
		}
	}
	first, err := w.Block(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	absent := json.RawMessage("null")
	behind := between(t, w.dev.URL(), func(r request) any {
		if answer := of("latest", asNode(first, "0x0"))(r); answer != nil {
			return answer
		}
		return of("0x2", absent)(r)
	})
	denying := between(t, w.dev.URL(), of("0x2", absent))
	other := between(t, w.dev.URL(), of("0x2", map[string]any{"number": "0x2", "hash": record.Hash{1}, "timestamp": "0x1"}))
	for name, c := range map[string]struct {
		urls []string
		kind record.Kind
	}{
		"one that has not come to it":                         {[]string{behind}, record.NotFound},
		"one that denies it":                                  {[]string{denying}, record.Unavailable},
		"one of two that has not come to it":                  {[]string{w.dev.URL(), behind}, record.NotFound},
		"one of two that denies it":                           {[]string{w.dev.URL(), denying}, record.Unavailable},
		"one that has not come to it, and two that differ":    {[]string{behind, w.dev.URL(), other}, record.Conflict},
		"one that has not come to it, and one that denies it": {[]string{behind, denying}, record.Unavailable},
	} {
		_, err := newChain(t, evm.Config{URLs: c.urls, Agree: true}).Block(t.Context(), 2)
		if record.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asNode is a block as a node without EIP-1559 says it.
func asNode(b record.Beacon, difficulty string) map[string]any {
	return map[string]any{"number": quantity(b.Block), "hash": b.Hash, "timestamp": quantity(b.Time), "difficulty": difficulty}
}

func quantity(n int64) string { return "0x" + big.NewInt(n).Text(16) }

func TestAChainWithoutTheTagIsFinalAfter64Blocks(t *testing.T) {
	w := newWorld(t, evm.Config{})
	w.included(t, record.Hash{1})
	for name, c := range map[string]struct {
		override   func(r request) any
		difficulty string
		want       hashanchor.Standing
	}{
		"no such tag":           {answeringTag(nodeError("invalid block tag")), "0x1", hashanchor.Final},
		"no such block":         {answeringTag([]byte(nil)), "0x1", hashanchor.Final},
		"stakes, not final yet": {answeringTag(nodeError("finalized block not found")), "0x0", hashanchor.Included},
	} {
		t.Run(name, func(t *testing.T) {
			url := between(t, w.dev.URL(), func(r request) any {
				if answer := c.override(r); answer != nil {
					return answer
				}
				if r.Method == "eth_getBlockByNumber" && string(r.Params[0]) == `"latest"` {
					b, err := w.Block(t.Context(), w.dev.Head())
					if err != nil {
						t.Error(err)
					}
					return asNode(b, c.difficulty)
				}
				return nil
			})
			chain := newChain(t, evm.Config{URLs: []string{url}})
			found := w.lookup(t, record.Hash{1})
			w.mine(t, int(max(0, found.Block+63-w.dev.Head())))
			if found, err := chain.Lookup(t.Context(), w.anchor(record.Hash{1})); w.dev.Head() == found.Block+63 && (err != nil || found.Standing != hashanchor.Included) {
				t.Errorf("63 blocks later: %+v, %v", found, err)
			}
			w.mine(t, 1)
			if found, err := chain.Lookup(t.Context(), w.anchor(record.Hash{1})); err != nil || found.Standing != c.want {
				t.Errorf("64 blocks later: %+v, %v", found, err)
			}
		})
	}
}

// answeringTag answers for the finalized tag alone.
func answeringTag(answer any) func(request) any {
	return func(r request) any {
		if r.Method == "eth_getBlockByNumber" && string(r.Params[0]) == `"finalized"` {
			return answer
		}
		return nil
	}
}

func TestAChainWithoutBaseFeeIsNotSupported(t *testing.T) {
	w := newWorld(t, evm.Config{})
	b, err := w.Block(t.Context(), w.dev.Head())
	if err != nil {
		t.Fatal(err)
	}
	c := w.at(t, evm.Config{URLs: []string{between(t, w.dev.URL(), answering("eth_getBlockByNumber", asNode(b, "0x1")))}})
	_, err = c.Prepare(t.Context(), record.Hash{1}, 0, hashanchor.Transaction{})
	wantKind(t, err, record.Invalid, "EIP-1559")
}

func TestURLsAreCheckedWithoutBeingShown(t *testing.T) {
	for _, url := range []string{"", "ws://host/" + secret, "host/" + secret, "http:///" + secret, "http://host:port/" + secret, "\x00" + secret} {
		_, err := evm.New(evm.Config{URLs: []string{url}})
		wantKind(t, err, record.Invalid)
	}
	if _, err := evm.New(evm.Config{}); record.KindOf(err) != record.Invalid {
		t.Errorf("no endpoint: %v", err)
	}
}
