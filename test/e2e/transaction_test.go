package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"dxd/test/party"
)

// deathbed is an endpoint in front of another that kills the daemon which asks
// it, once, at a moment of its first transaction.
type deathbed struct {
	t      *testing.T
	target string
	kill   func()
	when   moment

	mu    sync.Mutex // guards what follows
	died  bool
	told  bool                       // the first transaction was answered
	roots map[string]map[string]bool // what a transaction does → the transactions, as they came
}

// moment is when a daemon dies that sends a transaction.
type moment string

const (
	beforeItIsTaken moment = "before the node has it"
	beforeTheAnswer moment = "when the node has it, before its answer comes"
	afterTheAnswer  moment = "after the answer"
)

func (d *deathbed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var call struct {
		Method string
		Params []json.RawMessage
	}
	if err != nil || json.Unmarshal(body, &call) != nil {
		return // the daemon is dead
	}
	sends := call.Method == "eth_sendRawTransaction"
	if sends {
		d.note(call.Params[0])
	}
	if d.dies(sends, beforeItIsTaken) || d.dies(d.answered(sends), afterTheAnswer) {
		return
	}
	resp, err := http.Post(d.target, "application/json", bytes.NewReader(body))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if d.dies(sends, beforeTheAnswer) {
		return
	}
	_, _ = io.Copy(w, resp.Body) // the daemon may be gone
}

// answered tells whether a transaction was answered before this call.
func (d *deathbed) answered(sends bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.told
	d.told = was || sends
	return was
}

// dies kills the daemon if its time has come.
func (d *deathbed) dies(here bool, at moment) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !here || d.when != at || d.died {
		return false
	}
	d.died = true
	d.kill()
	return true
}

// note remembers a transaction under what it does.
func (d *deathbed) note(param json.RawMessage) {
	var raw hexutil.Bytes
	var tx types.Transaction
	if err := json.Unmarshal(param, &raw); err != nil {
		d.t.Error(err)
		return
	}
	if err := tx.UnmarshalBinary(raw); err != nil {
		d.t.Error(err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	does := hexutil.Encode(tx.Data())
	if d.roots[does] == nil {
		d.roots[does] = map[string]bool{}
	}
	d.roots[does][raw.String()] = true
}

func TestADaemonThatDiesAsItSendsATransactionLosesNothingAndPaysOnce(t *testing.T) {
	for _, when := range []moment{beforeItIsTaken, beforeTheAnswer, afterTheAnswer} {
		t.Run(string(when), func(t *testing.T) {
			t.Parallel()
			other, o := party.NewOrg(t, "other"), party.NewOrg(t, "alpha")
			c := party.NewChain(t, other, o)
			d := &deathbed{t: t, target: c.URL, when: when, roots: map[string]map[string]bool{}}
			d.kill = func() { _ = o.Process.Cmd.Process.Kill() }
			front := httptest.NewServer(d)
			t.Cleanup(front.Close)
			o.AnchorAt(front.URL)
			d.mu.Lock()
			o.Launch() // the first transaction anchors its card
			d.mu.Unlock()
			o.StartAfterDeath()
			n, err := o.Notarize(t.Context(), "a.txt", "text/plain", strings.NewReader("hello"), 5)
			party.Check(t, err)
			if v := o.WaitFor(party.Patience, n.ID, "anchored"); v.Anchor != "final" {
				t.Errorf("afterwards the record is %s", v.Anchor)
			}
			party.Until(t, "the end of the queue", func() string {
				s, err := o.AnchorStatus(t.Context())
				party.Check(t, err)
				if s.Final == 2 && s.Error == "" { // the card, and the record
					return ""
				}
				return fmt.Sprintf("%+v", s)
			})
			d.mu.Lock()
			defer d.mu.Unlock()
			for does, transactions := range d.roots {
				if len(transactions) != 1 {
					t.Errorf("%d transactions for %s", len(transactions), does)
				}
			}
		})
	}
}
