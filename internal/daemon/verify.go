package daemon

import (
	"context"
	"crypto/sha256"
	"io"

	"dxd/hashanchor"
	"dxd/hashanchor/evm"
	"dxd/internal/config"
	"dxd/record"
)

// Known is what a stranger who verifies evidence knows, and whom to ask. The
// zero value knows nothing and asks no one.
type Known struct {
	RPC       []config.Endpoint // endpoints of a chain, which must agree; empty: no chain is asked
	Finality  config.Finality
	Blocks    []record.Hash // blocks of the chain; then none is asked
	ChainID   int64
	Sender    record.Fingerprint
	Recipient record.Fingerprint
	Cards     []hashanchor.CardFile // newer cards of theirs
}

// Report is the outcome of Verify.
type Report = hashanchor.Report

// Verify reads the document to its end and checks the evidence against it. It
// needs neither a daemon nor a state directory.
func Verify(ctx context.Context, document io.Reader, evidence []byte, k Known) (Report, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, document)
	if err != nil {
		return Report{}, record.Errorf(record.Invalid, "couldn't read the document: %w", err)
	}
	o := hashanchor.Options{ChainID: k.ChainID, Contract: evm.ContractAddress(), CheckState: evm.CheckState, Blocks: k.Blocks, Sender: k.Sender, Recipient: k.Recipient, Cards: k.Cards}
	if len(k.RPC) > 0 {
		c := evm.Config{Finality: k.Finality.Blocks, Agree: true}
		for _, e := range k.RPC {
			c.URLs = append(c.URLs, e.URL())
		}
		chain, err := evm.New(c)
		if err != nil {
			return Report{}, err
		}
		defer chain.Close()
		o.Chain = chain
	}
	return hashanchor.Verify(ctx, hashanchor.Document{Digest: record.Digest(hash.Sum(nil)), Length: n}, evidence, o)
}
