package main

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"dxd/client"
	"dxd/record"
)

func (a *app) evidenceCommand() *cobra.Command {
	var path string
	var stateProof bool
	cmd := &cobra.Command{
		Use:   "evidence ID",
		Short: "Write the evidence file of a transfer or notarisation",
		Long: `Write the evidence file of a transfer or notarisation: records, cards, proofs and
anchors. Together with the document it is all that a stranger needs to verify.

With --state-proof it also says what the chain's state held, so that whoever
knows the hash of one block verifies it with no network, and long after the chain
is gone. That takes an anchor that is final, and a chain whose endpoint gives
state proofs (eth_getProof).`,
		Example: `  dxd evidence ID -o contract.evidence
  dxd evidence show contract.evidence
  dxd verify contract.pdf contract.evidence --rpc https://rpc.example.com
  dxd evidence ID --state-proof -o contract.evidence
  dxd verify contract.pdf contract.evidence --block-hash 0x…`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTransfer,
	}
	cmd.RunE = a.online(func(ctx context.Context, c *client.Client, args []string) error {
		id, err := transferID(args[0])
		if err != nil {
			return err
		}
		get := c.Evidence
		if stateProof {
			get = c.ProvenEvidence
		}
		content, err := get(ctx, id)
		if err != nil {
			return err
		}
		return a.writeEvidence(path, content)
	})
	cmd.AddCommand(a.evidenceShowCommand())
	cmd.Flags().StringVarP(&path, "output", "o", "", "file to write to; one that exists is replaced, since later evidence says more")
	cmd.Flags().BoolVar(&stateProof, "state-proof", false, "add proofs of the chain's state, down to the hash of a block")
	return cmd
}

func (a *app) writeEvidence(path string, content []byte) error {
	if path == "" || path == "-" {
		if _, err := a.out.Write(content); err != nil {
			return record.Errorf(record.Internal, "couldn't write the evidence: %w", err)
		}
		return nil
	}
	file, err := newOutput(path, true)
	if err != nil {
		return err
	}
	if err := file.fill(bytes.NewReader(content)); err != nil {
		return err
	}
	return a.print(gotJSON{file.path, file.sha256(), file.size}, field{"file", file.path})
}
