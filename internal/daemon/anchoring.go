package daemon

import (
	"context"
	"strconv"
	"sync"

	"dxd/blobstore"
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
	mu    sync.Mutex // guards what follows
	queue *queue.Queue
	next  chan *queue.Queue // the same, until it is run: each at most once
}

func (d *Daemon) openAnchoring() error {
	chain, err := newChain(d.anchor(), d.Keys)
	if err != nil {
		return err
	}
	d.anchoring.next = make(chan *queue.Queue, 1)
	d.setChain(chain)
	return nil
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

func (d *Daemon) setChain(chain *evm.Chain) {
	a := d.anchor()
	c := queue.Config{
		Journal: d.Store, Interval: a.Interval, MaxLeaves: a.MaxLeaves, Log: d.log,
		OnProof: func(tx blobstore.Tx, p hashanchor.Proof, own bool) error { return d.Exchange.Proven(tx, p.Record, own) },
		OnState: func(tx blobstore.Tx, id record.RecordID, s queue.State) error { return d.Exchange.Anchored(tx, id, s) },
	}
	if chain != nil {
		c.Chain = chain // and no typed nil
	}
	d.anchoring.mu.Lock()
	defer d.anchoring.mu.Unlock()
	d.anchoring.queue = queue.Open(c)
	select {
	case <-d.anchoring.next: // one that was never run
	default:
	}
	d.anchoring.next <- d.anchoring.queue
}

// Queue is the queue of leaves as it is now.
func (d *Daemon) Queue() *queue.Queue {
	d.anchoring.mu.Lock()
	defer d.anchoring.mu.Unlock()
	return d.anchoring.queue
}

func (d *Daemon) beacon() record.Beacon { return d.Queue().Beacon() }

// runAnchoring runs the queue, and the next one when it is made anew.
func (d *Daemon) runAnchoring(ctx context.Context) error {
	for q := <-d.anchoring.next; ; {
		current, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- q.Run(current) }()
		select {
		case q = <-d.anchoring.next:
			stop()
			if err := <-done; err != nil {
				return err
			}
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
	o.mu.Lock()
	o.Config.Anchor = a
	o.mu.Unlock()
	return made, writeAnchor(o.Dir, a)
}

// anchor is where this organisation anchors by now.
func (o *Organisation) anchor() config.Anchor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Config.Anchor
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
	chain, err := newChain(d.anchor(), d.Keys)
	if err != nil {
		return made, err
	}
	d.setChain(chain)
	return made, nil
}
