package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"dxd/api/apitype"
	"dxd/internal/devchain"
	"dxd/record"
)

// finality is how many blocks on top make a block final on the demo's chain,
// in which no validators agree on anything.
const finality = "2"

// story is one run of the demo.
type story struct {
	*narrator
	dir   string
	chain *devchain.Chain
	acme  *party
	bolt  *party

	file     string // that is sent
	id       record.TransferID
	size     int64
	got      string // what came out
	evidence map[*party]string
}

// tell runs the demo, and cleans up behind it.
func tell(ctx context.Context, n *narrator, file string, keep bool) (err error) {
	if file != "" {
		if err := canSend(file); err != nil {
			return err
		}
	}
	s := &story{narrator: n, file: file, evidence: map[*party]string{}}
	if s.dir, err = os.MkdirTemp("", "dxd-demo-"); err != nil {
		return record.Errorf(record.Internal, "couldn't make a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, s.stop(), os.RemoveAll(s.dir)) }()
	begun := time.Now()
	for _, act := range []func(context.Context) error{s.begin, s.pair, s.send, s.anchor, s.get, s.verify, s.forge} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := act(ctx); err != nil {
			return err
		}
		s.line("")
	}
	s.line("The document was sent, anchored and verified, and a changed copy was refused, in %s.", time.Since(begun).Round(100*time.Millisecond))
	if keep {
		return s.keep(ctx)
	}
	s.line("All of it is gone now; --keep leaves it running.")
	return nil
}

func (s *story) stop() error {
	var errs []error
	for _, p := range []*party{s.acme, s.bolt} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if s.chain != nil {
		errs = append(errs, s.chain.Close())
	}
	return errors.Join(errs...)
}

// begin starts the organisations and their chain.
func (s *story) begin(ctx context.Context) error {
	s.line("Two organisations, Acme Ltd and Bolt GmbH, on this machine. Neither trusts the other.\n")
	return s.do("Each makes its keys, a chain starts, and each runs its daemon.", func() (err error) {
		if s.acme, err = newParty(ctx, s.dir, "acme", "Acme Ltd"); err != nil {
			return err
		}
		if s.bolt, err = newParty(ctx, s.dir, "bolt", "Bolt GmbH"); err != nil {
			return err
		}
		if s.chain, err = devchain.Start(devchain.Config{Fund: []record.Account{s.acme.account, s.bolt.account}}); err != nil {
			return err
		}
		s.say("an Ethereum chain at %s, id %d", s.chain.URL(), devchain.DefaultChainID)
		for _, p := range []*party{s.acme, s.bolt} {
			if err := s.beginParty(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *story) beginParty(ctx context.Context, p *party) error {
	if err := p.start(ctx, s.chain.URL()); err != nil {
		return err
	}
	made, err := p.client.DeployAnchor(ctx, "")
	if err != nil {
		return err
	}
	s.say("%s listens on %s", p.name, p.daemon.Host.Addrs()[0])
	if made.Tx.IsZero() {
		s.say("and finds that very contract on the chain")
	} else {
		s.say("and deploys the contract, at %s as on every chain", made.Contract)
	}
	return nil
}

// pair has each accept the other's card.
func (s *story) pair(ctx context.Context) error {
	return s.do("They exchange card files, and compare the fingerprints on the telephone.", func() error {
		if err := s.accept(ctx, s.acme, s.bolt); err != nil {
			return err
		}
		return s.accept(ctx, s.bolt, s.acme)
	})
}

// accept has p accept the card of other.
func (s *story) accept(ctx context.Context, p, other *party) error {
	card, err := other.client.Card(ctx)
	if err != nil {
		return err
	}
	self, err := other.client.Self(ctx) // what they say on the telephone
	if err != nil {
		return err
	}
	added, err := p.client.AddPartner(ctx, other.alias, card, self.Fingerprint.String())
	if err != nil {
		return err
	}
	s.say("%s accepts %s, %s", p.name, added.Name, added.Fingerprint)
	return nil
}

// anchor waits until the record of the document is final, for both.
func (s *story) anchor(ctx context.Context) error {
	return s.do("A salted hash of the record goes on the chain, and each side checks its proof.", func() error {
		for _, p := range []*party{s.acme, s.bolt} {
			t, err := s.await(ctx, p, "anchored")
			if err != nil {
				return err
			}
			s.say("%s: %s, anchor %s", p.name, t.State, t.Anchor)
		}
		return nil
	})
}

// await waits for a goal on one side.
func (s *story) await(ctx context.Context, p *party, goal string) (apitype.Transfer, error) {
	t, err := p.client.Wait(ctx, s.id, goal, nil)
	if err == nil && (t.State == "failed" || t.State == "cancelled" || t.State == "refused") {
		err = record.Errorf(record.Internal, "the transfer is %s: %s", t.State, t.Reason)
	}
	return t, err
}

// keep leaves all running until ctx ends.
func (s *story) keep(ctx context.Context) error {
	dxd := func(p *party, command string) {
		s.line("  go run ./cmd/dxd --dir %s %s", p.options.Dir.Path(), command)
	}
	s.line("\nAll is left running. In another terminal, go on by hand:\n")
	dxd(s.bolt, "transfers")
	dxd(s.acme, "send README.md --to bolt --wait anchored")
	dxd(s.bolt, "get "+s.id.String()+" -o "+filepath.Join(s.dir, "again"))
	dxd(s.bolt, "evidence "+s.id.String()+" -o "+filepath.Join(s.dir, "again.evidence"))
	s.line("  go run ./cmd/dxd verify %s %s --rpc %s --finality %s", s.got, s.evidence[s.bolt], s.chain.URL(), finality)
	dxd(s.acme, "anchor status")
	dxd(s.acme, "doctor --partner bolt")
	s.line("\nCtrl-C ends it and removes %s.", s.dir)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.acme.failed():
		return err
	case err := <-s.bolt.failed():
		return err
	}
}
