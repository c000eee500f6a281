package party

import (
	"fmt"
	"path/filepath"
	"testing"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/internal/devchain"
	"dxd/record"
)

// finality is the number of blocks that make one final.
const finality = 2

// Chain is a dev chain with the contract on it, which can be stopped and
// started again where it was.
type Chain struct {
	t    testing.TB
	Dir  string
	port int
	URL  string
	dev  *devchain.Chain
}

// NewChain starts a chain on which the organisations have coins.
func NewChain(t testing.TB, rich ...*Org) *Chain {
	t.Helper()
	c := &Chain{t: t, Dir: filepath.Join(t.TempDir(), "chain"), port: FreePort(t)}
	c.URL = fmt.Sprintf("http://127.0.0.1:%d", c.port)
	var accounts []record.Account
	for _, o := range rich {
		accounts = append(accounts, o.Keys.Account())
	}
	c.Start(accounts...)
	t.Cleanup(c.Stop)
	e, err := evm.New(evm.Config{URLs: []string{c.URL}, ChainID: devchain.DefaultChainID, Finality: finality, Signer: rich[0].Keys})
	Check(t, err)
	defer e.Close()
	_, err = e.Deploy(t.Context())
	Check(t, err)
	return c
}

// Asked is the chain as a stranger asks it, who has no account.
func (c *Chain) Asked() *evm.Chain {
	c.t.Helper()
	e, err := evm.New(evm.Config{URLs: []string{c.URL}, ChainID: devchain.DefaultChainID, Finality: finality})
	Check(c.t, err)
	c.t.Cleanup(e.Close)
	return e
}

// Start starts the chain where it was, and gives coins to who has none.
func (c *Chain) Start(fund ...record.Account) {
	c.t.Helper()
	var err error
	c.dev, err = devchain.Start(devchain.Config{Dir: c.Dir, Port: c.port, Fund: fund})
	Check(c.t, err)
}

// Stop stops the chain; twice does nothing.
func (c *Chain) Stop() {
	c.t.Helper()
	Check(c.t, c.dev.Close())
}

// AnchorAt has the organisation anchor at an endpoint, from its next start on.
func (o *Org) AnchorAt(url string) {
	for key, value := range map[string]string{
		"rpc": fmt.Sprintf("[%q]", url), "chain_id": fmt.Sprint(devchain.DefaultChainID),
		"contract": fmt.Sprintf("%q", evm.ContractAddress()), "finality": fmt.Sprint(finality), "interval": `"300ms"`,
	} {
		o.Config["anchor."+key] = value
	}
}

// Sent is a document on its way.
type Sent struct {
	From, To *Org
	ID       record.TransferID
	Document
}

// ExchangeDocuments sends some documents both ways and waits for the receipts.
func ExchangeDocuments(a, b *Org) (all []Sent) {
	a.T.Helper()
	for i := range 4 {
		s := Sent{From: a, To: b, Document: Document{Seed: fmt.Sprint("document ", i), Size: Small}}
		if i%2 == 1 {
			s.From, s.To = b, a
		}
		s.ID = s.From.SendDocument(s.To, s.Document)
		all = append(all, s)
	}
	for _, s := range all {
		s.From.Delivered(s.ID)
	}
	return all
}

// Proven waits until both sides hold all proofs, and lets a stranger verify
// what each of them gives out.
func (c *Chain) Proven(s Sent) {
	c.t.Helper()
	c.ProvenWith(s, 1)
}

// ProvenWith is proven where there are so many receipts.
func (c *Chain) ProvenWith(s Sent, receipts int) {
	c.t.Helper()
	for _, o := range []*Org{s.From, s.To} {
		if v := o.WaitFor(Patience, s.ID, "anchored"); v.Anchor != "final" {
			c.t.Errorf("%s: %s, anchor %s", o.Name, v.State, v.Anchor)
		}
		Until(c.t, "the proofs of manifest and receipts", func() string {
			e, _ := o.ParsedEvidence(s.ID)
			have := map[record.RecordID]bool{}
			for _, p := range e.Proofs {
				have[p.Record] = true
			}
			all := len(e.Receipts) == receipts && have[e.Record.ID()]
			for _, r := range e.Receipts {
				all = all && have[r.ID()]
			}
			if all {
				return ""
			}
			return fmt.Sprintf("%s has %d proofs and %d receipts", o.Name, len(e.Proofs), len(e.Receipts))
		})
		_, raw := o.ParsedEvidence(s.ID)
		for _, d := range []struct {
			Document
			code int
		}{{s.Document, 0}, {Document{"another", s.Size}, 3}} {
			if r := c.Verify(d.Document, raw, s); r.ExitCode() != d.code {
				c.t.Errorf("a stranger who verifies the evidence of %s with %q gets %d, not %d: %+v", o.Name, d.Seed, r.ExitCode(), d.code, r.Checks)
			}
		}
	}
}

// Verify lets a stranger verify evidence of a document.
func (c *Chain) Verify(d Document, evidence []byte, s Sent) hashanchor.Report {
	c.t.Helper()
	rpc, err := config.ParseEndpoint(c.URL)
	Check(c.t, err)
	r, err := daemon.Verify(c.t.Context(), d.Open(), evidence, daemon.Known{
		RPC: []config.Endpoint{rpc}, Finality: config.Finality{Blocks: finality}, ChainID: devchain.DefaultChainID,
		Sender: s.From.Keys.Org().Fingerprint(), Recipient: s.To.Keys.Org().Fingerprint(),
	})
	Check(c.t, err)
	return r
}

// AnchorTrouble is what keeps anchoring from going on, which it has to be.
func (o *Org) AnchorTrouble() (said string) {
	o.T.Helper()
	Until(o.T, "trouble with the chain", func() string {
		s, err := o.AnchorStatus(o.T.Context())
		Check(o.T, err)
		if said = s.Error; said == "" {
			return fmt.Sprintf("none: %+v", s)
		}
		return ""
	})
	return said
}
