package daemon

import (
	"context"
	"log/slog"
	"strconv"
	"sync"

	"dxd/blobstore"
	"dxd/crypto"
	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/hashanchor/queue"
	"dxd/internal/config"
	"dxd/internal/statedir"
	"dxd/record"
)

// anchoring is the queue of leaves. It is made anew, with its chain, when the
// contract is deployed while the daemon runs.
type anchoring struct {
	making sync.Mutex // lets one queue at a time be made, of what is configured then

	mu    sync.Mutex // guards what follows
	queue *queue.Queue
	with  []string          // the accounts that it has
	next  chan *queue.Queue // the same, until it is run: each at most once
}

func (d *Daemon) openAnchoring() error {
	d.anchoring.next = make(chan *queue.Queue, 1)
	return d.setChain()
}

// newChain is the chain that is configured, nil if none is.
func newChain(a config.Anchor, signer evm.Signer) (*evm.Chain, error) {
	if len(a.RPC) == 0 {
		return nil, nil
	}
	c := evm.Config{ChainID: a.ChainID, Contract: a.Contract, Finality: a.Finality.Blocks, MaxFee: int64(a.MaxFee), Signer: signer}
	for _, e := range a.RPC {
		c.URLs = append(c.URLs, e.URL())
	}
	return evm.New(c)
}

// newChains is the chain with each of the keyring's accounts, the one in use
// first; none if none is configured.
func newChains(a config.Anchor, keys *crypto.Keyring) (all []*evm.Chain, err error) {
	for _, signer := range keys.AccountSigners() {
		chain, err := newChain(a, signer)
		if err != nil || chain == nil {
			return nil, err
		}
		all = append(all, chain)
	}
	return all, nil
}

// queueConfig is what both the daemon's queue and that of one that does not
// run work on.
func (o *Organisation) queueConfig(log *slog.Logger) (queue.Config, error) {
	a := o.anchor()
	c := queue.Config{Journal: o.Store, Interval: a.Interval, MaxLeaves: a.MaxLeaves, Steady: a.Cadence == "steady", Log: log}
	chains, err := newChains(a, o.Keys)
	for i, chain := range chains {
		if i == 0 {
			c.Chain = chain
		} else {
			c.Older = append(c.Older, chain)
		}
	}
	return c, err
}

// setChain makes the queue anew, for the chain and the accounts that there are
// by now.
func (d *Daemon) setChain() error {
	d.anchoring.making.Lock()
	defer d.anchoring.making.Unlock()
	with := d.Keys.Keys(crypto.RoleAccount)
	c, err := d.queueConfig(d.log)
	if err != nil {
		return err
	}
	c.AccountsOf = d.accountsOf
	c.OnProof = func(tx blobstore.Tx, p hashanchor.Proof, own bool) error { return d.Exchange.Proven(tx, p.Record, own) }
	c.OnState = func(tx blobstore.Tx, id record.RecordID, s queue.State) error { return d.Exchange.Anchored(tx, id, s) }
	c.OnAlarm = func(tx blobstore.Tx, text string) error { return d.Exchange.Alarm(tx, text) }
	d.anchoring.mu.Lock()
	defer d.anchoring.mu.Unlock()
	d.anchoring.queue, d.anchoring.with = queue.Open(c), with
	select {
	case <-d.anchoring.next: // one that was never run
	default:
	}
	d.anchoring.next <- d.anchoring.queue
	return nil
}

// Queue is the queue of leaves as it is now.
func (d *Daemon) Queue() *queue.Queue {
	d.anchoring.mu.Lock()
	defer d.anchoring.mu.Unlock()
	return d.anchoring.queue
}

// anchorsWith lists the accounts that the queue has.
func (d *Daemon) anchorsWith() []string {
	d.anchoring.mu.Lock()
	defer d.anchoring.mu.Unlock()
	return d.anchoring.with
}

func (d *Daemon) beacon() record.Beacon { return d.Queue().Beacon() }

// runAnchoring runs the queue, and the next one when it is made anew.
func (d *Daemon) runAnchoring(ctx context.Context) error {
	for q := <-d.anchoring.next; ; {
		current, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- q.Run(current) }()
		select {
		case next := <-d.anchoring.next:
			stop()
			if err := <-done; err != nil {
				return err
			}
			q = next // not before the goroutine is through with it
		case err := <-done:
			stop()
			return err
		}
	}
}

// Deploy deploys the contract with this organisation's account, and writes
// where it is into the configuration. rpc, if not empty, is the endpoint to
// use, and is written too where none is configured.
func (o *Organisation) Deploy(ctx context.Context, rpc string) (evm.Deployment, error) {
	o.deploying.Lock()
	defer o.deploying.Unlock()
	a := o.anchor()
	configured := a.RPC
	if rpc != "" {
		e, err := config.ParseEndpoint(rpc)
		if err != nil {
			return evm.Deployment{}, err
		}
		a.RPC = []config.Endpoint{e}
	}
	chain, err := newChain(a, o.Keys)
	if err != nil {
		return evm.Deployment{}, err
	}
	if chain == nil {
		return evm.Deployment{}, record.WithHint(record.Errorf(record.Invalid, "no chain is configured"),
			"give its JSON-RPC endpoint with --rpc URL, or set anchor.rpc in dxd.toml")
	}
	defer chain.Close()
	made, err := chain.Deploy(ctx)
	if err != nil {
		return evm.Deployment{}, err
	}
	if len(configured) > 0 {
		a.RPC = configured
	}
	a.ChainID, a.Contract = made.ChainID, made.Contract
	if err := writeAnchor(o.Dir, a); err != nil {
		return made, err // as after a restart: we do not anchor there
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Config.Anchor = a
	return made, nil
}

// anchor is where this organisation anchors by now.
func (o *Organisation) anchor() config.Anchor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Config.Anchor
}

// anchors tells whether what we sign is anchored by us: a chain is configured,
// and the contract on it.
func (o *Organisation) anchors() bool {
	a := o.anchor()
	return len(a.RPC) > 0 && a.ChainID != 0 && !a.Contract.IsZero()
}

// writeAnchor writes the chain into dxd.toml; the rest of the file stays.
func writeAnchor(dir statedir.Dir, a config.Anchor) error {
	content, err := dir.Config()
	if err != nil {
		return err
	}
	urls := make([]string, len(a.RPC))
	for i, e := range a.RPC {
		urls[i] = e.URL()
	}
	for _, s := range []struct {
		key    string
		values []string
	}{
		{"anchor.rpc", urls},
		{"anchor.chain_id", []string{strconv.FormatInt(a.ChainID, 10)}},
		{"anchor.contract", []string{a.Contract.String()}},
	} {
		if content, err = config.Edit(content, s.key, s.values...); err != nil {
			return err
		}
	}
	return dir.WriteConfig(content)
}

// Deploy is Organisation's, after which the daemon anchors on that chain.
func (d *Daemon) Deploy(ctx context.Context, rpc string) (evm.Deployment, error) {
	made, err := d.Organisation.Deploy(ctx, rpc)
	if err != nil {
		return made, err
	}
	if err := d.setChain(); err != nil {
		return made, err
	}
	d.Exchange.CallAll() // so that partners hear that we anchor now
	return made, nil
}
