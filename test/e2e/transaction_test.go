package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
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
	t.Parallel()
	moments := []moment{beforeItIsTaken, beforeTheAnswer, afterTheAnswer}
	orgs, fronts := make([]*party.Org, len(moments)), make([]*deathbed, len(moments))
	for i, when := range moments {
		orgs[i], fronts[i] = party.NewOrg(t, string(when)), &deathbed{t: t, when: when, roots: map[string]map[string]bool{}}
	}
	c := party.NewChain(t, append([]*party.Org{party.NewOrg(t, "who deploys")}, orgs...)...)
	for i, o := range orgs {
		d := fronts[i]
		d.target, d.kill = c.URL, func() { _ = o.Process.Cmd.Process.Kill() }
		front := httptest.NewServer(d)
		t.Cleanup(front.Close)
		o.AnchorAt(front.URL)
		d.mu.Lock()
		o.Launch() // the first transaction anchors its card
		d.mu.Unlock()
	}
	for i, o := range orgs {
		o.StartAfterDeath()
		party.Until(t, "the end of the queue of who dies "+o.Name, func() string {
			s, err := o.AnchorStatus(t.Context())
			party.Check(t, err)
			if s.Final == 1 && s.Error == "" {
				return ""
			}
			return fmt.Sprintf("%+v", s)
		})
		if roots := fronts[i].sent(); len(roots) != 1 || len(roots[0]) != 1 {
			t.Errorf("who dies %s sends %d roots, in the transactions %v", o.Name, len(roots), roots)
		}
	}
}

// sent are the transactions that came for each root.
func (d *deathbed) sent() [][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all [][]string
	for _, transactions := range d.roots {
		all = append(all, slices.Collect(maps.Keys(transactions)))
	}
	return all
}
