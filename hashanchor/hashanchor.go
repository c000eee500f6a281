// Package hashanchor gathers leaves into Merkle batches, proves that a record
// stands in one, and verifies evidence down to a root on a chain. It is what a
// stranger has to read to know what an evidence file is worth.
//
// It is pure: it opens no file and no connection, reads no clock and draws no
// randomness. What a chain says it asks through an interface.
package hashanchor

import (
	"dxd/record"
)

// Anchor is where a root stands on a chain: the contract's entry for
// (account, root) says Block and Time.
type Anchor struct {
	ChainID  int64          `json:"chain_id"`
	Contract record.Account `json:"contract"`
	Account  record.Account `json:"account"` // that sent the transaction
	Root     record.Hash    `json:"root"`
	Block    int64          `json:"block"`
	Time     int64          `json:"time"` // of the block, in s since 1970
}

func (a Anchor) check() error {
	if a.Contract.IsZero() || a.Account.IsZero() || a.Root.IsZero() {
		return record.Errorf(record.Invalid, "an anchor without contract, account or root")
	}
	for _, n := range []int64{a.ChainID, a.Block, a.Time} {
		if n < 1 || n > record.MaxInteger {
			return record.Errorf(record.Invalid, "an anchor on chain %d in block %d at %d s", a.ChainID, a.Block, a.Time)
		}
	}
	return nil
}

// Proof leads from a record to a root on a chain.
//
// It does not say how many leaves the batch has: a path fits trees of several
// sizes, so nobody could check it. Batches are full trees, of 2^len(Path)
// leaves; each bit of the index says on which side one step stands.
type Proof struct {
	Record record.RecordID `json:"record"`
	Index  int64           `json:"index"` // of the record's leaf in its batch
	Path   []record.Hash   `json:"path"`  // RFC 9162, section 2.1.3
	Anchor Anchor          `json:"anchor"`
}

// size is the number of leaves of the batch.
func (p Proof) size() int64 { return 1 << len(p.Path) }

func (p Proof) check() error {
	if p.Record.IsZero() {
		return record.Errorf(record.Invalid, "a proof that names no record")
	}
	if len(p.Path) > record.MaxPath {
		return record.Errorf(record.Invalid, "a proof with a path of %d steps", len(p.Path))
	}
	if p.Index < 0 || p.Index >= p.size() {
		return record.Errorf(record.Invalid, "a proof of leaf %d in a batch of %d", p.Index, p.size())
	}
	return p.Anchor.check()
}

// Check tells whether the path leads from the record's leaf to the anchor's
// root. Whether the root stands where the anchor says, only the chain knows.
func (p Proof) Check(leaf record.Hash) error {
	if err := p.check(); err != nil {
		return err
	}
	root, err := record.RootFromPath(p.Index, p.size(), leaf, p.Path)
	if err != nil {
		return err
	}
	if root != p.Anchor.Root {
		return record.Errorf(record.Invalid, "the path of record %s leads to the root %s, not to the anchored %s", p.Record, root, p.Anchor.Root)
	}
	return nil
}

// Bytes is the proof in its one form.
func (p Proof) Bytes() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return record.Marshal(p)
}

// ParseProof reads what Bytes wrote, and nothing else. The path is not yet
// followed.
func ParseProof(data []byte) (Proof, error) {
	var p Proof
	if err := record.Unmarshal(data, &p); err != nil {
		return Proof{}, record.Errorf(record.Invalid, "not a proof: %w", err)
	}
	if err := p.check(); err != nil {
		return Proof{}, err
	}
	return p, nil
}
