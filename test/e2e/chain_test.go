package e2e

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

// chain is a dev chain with the contract on it, which can be stopped and
// started again where it was.
type chain struct {
	t    testing.TB
	dir  string
	port int
	url  string
	dev  *devchain.Chain
}

// newChain starts a chain on which the organisations have coins.
func newChain(t testing.TB, rich ...*org) *chain {
	t.Helper()
	c := &chain{t: t, dir: filepath.Join(t.TempDir(), "chain"), port: freePort(t)}
	c.url = fmt.Sprintf("http://127.0.0.1:%d", c.port)
	var accounts []record.Account
	for _, o := range rich {
		accounts = append(accounts, o.keys.Account())
	}
	c.start(accounts...)
	t.Cleanup(c.stop)
	e, err := evm.New(evm.Config{URLs: []string{c.url}, ChainID: devchain.DefaultChainID, Finality: finality, Signer: rich[0].keys})
	check(t, err)
	defer e.Close()
	_, err = e.Deploy(t.Context())
	check(t, err)
	return c
}

// asked is the chain as a stranger asks it, who has no account.
func (c *chain) asked() *evm.Chain {
	c.t.Helper()
	e, err := evm.New(evm.Config{URLs: []string{c.url}, ChainID: devchain.DefaultChainID, Finality: finality})
	check(c.t, err)
	c.t.Cleanup(e.Close)
	return e
}

func (c *chain) start(fund ...record.Account) {
	c.t.Helper()
	var err error
	c.dev, err = devchain.Start(devchain.Config{Dir: c.dir, Port: c.port, Fund: fund})
	check(c.t, err)
}

// stop stops the chain; twice does nothing.
func (c *chain) stop() {
	c.t.Helper()
	check(c.t, c.dev.Close())
}

// anchorAt has the organisation anchor at an endpoint, from its next start on.
func (o *org) anchorAt(url string) {
	for key, value := range map[string]string{
		"rpc": fmt.Sprintf("[%q]", url), "chain_id": fmt.Sprint(devchain.DefaultChainID),
		"contract": fmt.Sprintf("%q", evm.ContractAddress()), "finality": fmt.Sprint(finality), "interval": `"300ms"`,
	} {
		o.config["anchor."+key] = value
	}
}

// sent is a document on its way.
type sent struct {
	from, to *org
	id       record.TransferID
	document
}

// exchangeDocuments sends some documents both ways and waits for the receipts.
func exchangeDocuments(a, b *org) (all []sent) {
	a.t.Helper()
	for i := range 4 {
		s := sent{from: a, to: b, document: document{seed: fmt.Sprint("document ", i), size: small}}
		if i%2 == 1 {
			s.from, s.to = b, a
		}
		s.id = s.from.send(s.to, s.document)
		all = append(all, s)
	}
	for _, s := range all {
		s.from.delivered(s.id)
	}
	return all
}

// proven waits until both sides hold all proofs, and lets a stranger verify
// what each of them gives out.
func (c *chain) proven(s sent) {
	c.t.Helper()
	c.provenWith(s, 1)
}

// provenWith is proven where there are so many receipts.
func (c *chain) provenWith(s sent, receipts int) {
	c.t.Helper()
	for _, o := range []*org{s.from, s.to} {
		if v := o.wait(patience, s.id, "anchored"); v.Anchor != "final" {
			c.t.Errorf("%s: %s, anchor %s", o.name, v.State, v.Anchor)
		}
		until(c.t, "the proofs of manifest and receipts", func() string {
			e, _ := o.evidence(s.id)
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
			return fmt.Sprintf("%s has %d proofs and %d receipts", o.name, len(e.Proofs), len(e.Receipts))
		})
		_, raw := o.evidence(s.id)
		for _, d := range []struct {
			document
			code int
		}{{s.document, 0}, {document{"another", s.size}, 3}} {
			if r := c.verify(d.document, raw, s); r.ExitCode() != d.code {
				c.t.Errorf("a stranger who verifies the evidence of %s with %q gets %d, not %d: %+v", o.name, d.seed, r.ExitCode(), d.code, r.Checks)
			}
		}
	}
}

func (c *chain) verify(d document, evidence []byte, s sent) hashanchor.Report {
	c.t.Helper()
	rpc, err := config.ParseEndpoint(c.url)
	check(c.t, err)
	r, err := daemon.Verify(c.t.Context(), d.open(), evidence, daemon.Known{
		RPC: []config.Endpoint{rpc}, Finality: config.Finality{Blocks: finality}, ChainID: devchain.DefaultChainID,
		Sender: s.from.keys.Org().Fingerprint(), Recipient: s.to.keys.Org().Fingerprint(),
	})
	check(c.t, err)
	return r
}

func TestAChainThatIsAwayDelaysOnlyProofs(t *testing.T) {
	t.Parallel()
	a, b := newOrg(t, "alpha"), newOrg(t, "beta")
	c := newChain(t, a, b)
	c.stop()
	for _, o := range []*org{a, b} {
		o.anchorAt(c.url)
		o.start()
	}
	pair(a, b)
	all := exchangeDocuments(a, b)
	for _, o := range []*org{a, b} {
		said := o.anchorTrouble()
		t.Logf("%s says: %s", o.name, said)
		s, err := o.AnchorStatus(t.Context())
		check(t, err)
		if s.Pending != int64(len(all))+1 || // and the own card
			s.Submitted+s.Included+s.Final != 0 {
			t.Errorf("%s: %+v", o.name, s)
		}
	}
	for _, s := range all {
		s.to.keeps(s.id, s.document)
	}
	c.start()
	for _, s := range all {
		c.proven(s)
	}
	for _, o := range []*org{a, b} {
		until(t, "a status without trouble", func() string {
			s, err := o.AnchorStatus(t.Context())
			check(t, err)
			if s.Error == "" && s.Final == int64(len(all))+1 && s.Pending+s.Submitted+s.Included == 0 {
				return ""
			}
			return fmt.Sprintf("%+v", s)
		})
	}
}

// anchorTrouble is what keeps anchoring from going on, which it has to be.
func (o *org) anchorTrouble() (said string) {
	o.t.Helper()
	until(o.t, "trouble with the chain", func() string {
		s, err := o.AnchorStatus(o.t.Context())
		check(o.t, err)
		if said = s.Error; said == "" {
			return fmt.Sprintf("none: %+v", s)
		}
		return ""
	})
	return said
}
