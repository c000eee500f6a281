package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dxd/hashanchor"
	"dxd/internal/config"
	"dxd/internal/daemon"
	"dxd/record"
)

// verifyOptions is what `dxd verify` is told.
type verifyOptions struct {
	rpc       []string
	finality  string
	sender    string
	recipient string
	chain     int64
	blocks    []string
	report    string
	cards     []string
}

// maxEvidence is more than an evidence file ever has.
const maxEvidence = 16 << 20

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify FILE EVIDENCE",
		Short: "Check a document against an evidence file, as a stranger would",
		Long: `Check a document against an evidence file. It needs no daemon, no state
directory and no account.

What is said of sender and recipient is their own claim unless --sender and
--recipient name them. --rpc asks the chain. --block-hash asks nobody: evidence
taken with --state-proof is checked down to the hash of a block, which you know
from a source that you trust. With neither, the exit code is 4.

--card takes a newer card of the sender or the recipient, as ` + "`dxd card` and\n`dxd partner card`" + ` print it. A signing key that it leaves out is revoked from when
that card was anchored: what the key signed has to be older.

--report writes the same on one page for a person who has never heard of any of
this, whatever the outcome; there is none if the chain can't be asked.

Exit codes: 0 all holds; 3 something does not hold, or is not what was asked
for; 4 signatures and file hold, but the anchor is missing, not final, or no
chain was asked; 1 the chain can't be asked.`,
		Example: `  dxd verify contract.pdf contract.evidence --rpc https://rpc.example.com
  dxd verify contract.pdf contract.evidence --rpc URL1 --rpc URL2 \
      --sender acme.card --recipient abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567 --chain 1
  dxd verify contract.pdf contract.evidence --block-hash 0x…
  dxd verify contract.pdf contract.evidence --rpc URL --report contract.html`,
		Args: cobra.ExactArgs(2),
		RunE: a.do(func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args[0], args[1], o) }),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.rpc, "rpc", nil, "JSON-RPC endpoint of the chain (repeatable: all must agree)")
	flags.StringVar(&o.finality, "finality", "", "when a block counts as final: finalized, or a number of blocks on top (DXD_ANCHOR_FINALITY; default finalized)")
	flags.StringVar(&o.sender, "sender", "", "the sender that must be meant: a fingerprint or a card file")
	flags.StringVar(&o.recipient, "recipient", "", "the recipient that must be meant: a fingerprint or a card file")
	flags.Int64Var(&o.chain, "chain", 0, "id of the chain that must be meant")
	flags.StringArrayVar(&o.blocks, "block-hash", nil, "hash of a block of the chain, to which the evidence's state proof must lead (repeatable); nobody is asked")
	flags.StringVar(&o.report, "report", "", "HTML file to write a page to, for a person to read or print; one that exists is replaced")
	flags.StringArrayVar(&o.cards, "card", nil, "card file of the sender or the recipient, newer than the evidence: what it revokes counts (repeatable)")
	cmd.MarkFlagsMutuallyExclusive("rpc", "block-hash")
	return cmd
}

func (a *app) verify(ctx context.Context, path, evidencePath string, o verifyOptions) error {
	if path == "-" && evidencePath == "-" {
		return usagef("only one of the two files can be standard input")
	}
	if o.report != "" {
		if err := mayReport(o.report, append([]string{path, evidencePath, o.sender, o.recipient}, o.cards...)...); err != nil {
			return err
		}
	}
	known, err := a.known(o)
	if err != nil {
		return err
	}
	evidence, err := a.readInput(evidencePath, maxEvidence)
	if err != nil {
		return err
	}
	doc, err := a.openDocument(path)
	if err != nil {
		return err
	}
	defer doc.Close()
	bar := a.progress("hashing", doc.size)
	defer bar.done()
	var content io.Reader = readerUntil{ctx, bar.reader(doc.until(ctx))}
	read := newTally()
	if o.report != "" { // only the page names the document's hash
		content = io.TeeReader(content, read)
	}
	report, err := daemon.Verify(ctx, content, evidence, known)
	bar.done()
	if err != nil {
		return noVerdict(err)
	}
	var pageErr error // it does not keep the verdict back, nor does a reader that goes away the page
	if o.report != "" {
		v := verified{report: report, known: known, document: read.input(path), evidence: inputOf(evidencePath, evidence), at: time.Now()}
		v.claims, _ = claimsOf(evidence) // what is no evidence claims nothing, as the report says
		pageErr = writeReport(o.report, v)
	}
	if err := errors.Join(a.printReport(report, len(known.Blocks) > 0), pageErr); err != nil {
		return err
	}
	return exitCode(report.ExitCode())
}

// noVerdict says what can be done where a chain can't be asked.
func noVerdict(err error) error {
	if record.KindOf(err) != record.Unavailable || record.Hint(err) != "" {
		return err
	}
	return record.WithHint(err, "this is no verdict: ask another endpoint, or none, to see what the file alone shows")
}

// known reads what the verifier knows.
func (a *app) known(o verifyOptions) (k daemon.Known, err error) {
	if o.chain < 0 {
		return k, usagef("--chain must be the id of a chain")
	}
	k.ChainID = o.chain
	for _, url := range o.rpc {
		e, err := config.ParseEndpoint(url)
		if err != nil {
			return k, usageError{err}
		}
		k.RPC = append(k.RPC, e)
	}
	for _, s := range o.blocks {
		hash, err := blockHash(s)
		if err != nil {
			return k, err
		}
		k.Blocks = append(k.Blocks, hash)
	}
	if o.finality == "" {
		o.finality = os.Getenv("DXD_ANCHOR_FINALITY")
	}
	if o.finality != "" {
		c := config.Default()
		if err := c.Set("anchor.finality", o.finality); err != nil {
			return k, usageError{err}
		}
		k.Finality = c.Anchor.Finality
	}
	if k.Sender, err = a.party("--sender", o.sender); err != nil {
		return k, err
	}
	if k.Recipient, err = a.party("--recipient", o.recipient); err != nil {
		return k, err
	}
	k.Cards, err = a.cardFiles(o.cards)
	return k, err
}

// blockHash reads a block's hash as people have it, from an explorer or from
// paper: in any case, with 0x in front or without.
func blockHash(s string) (record.Hash, error) {
	digits := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x")
	hash, err := record.ParseHash("0x" + digits)
	if err != nil {
		return record.Hash{}, usagef("--block-hash takes the 64 hexadecimal digits of a block's hash, not %q", record.Printable(s, 120))
	}
	return hash, nil
}

// cardFiles reads the cards that say what was revoked.
func (a *app) cardFiles(paths []string) (cards []hashanchor.CardFile, err error) {
	if len(paths) > maxCards {
		return nil, usagef("%d cards are too many: the newest one of each organisation says what it has revoked", len(paths))
	}
	for _, path := range paths {
		if path == "-" {
			return nil, usagef("--card takes a file, not standard input")
		}
		file, _, err := a.readCardFile(path)
		if err != nil {
			return nil, record.WithHint(record.Errorf(record.KindOf(err), "couldn't read the card %q: %w", record.Printable(path, 200), err), record.Hint(err))
		}
		cards = append(cards, file)
	}
	return cards, nil
}

// maxCards is more than anybody needs, and each is asked for on the chain.
const maxCards = 64

// party reads a fingerprint, or takes that of a card file.
func (a *app) party(flag, s string) (record.Fingerprint, error) {
	if s == "" {
		return record.Fingerprint{}, nil
	}
	if f, err := record.ParseFingerprint(s); err == nil {
		return f, nil
	}
	if _, err := os.Stat(s); err != nil {
		return record.Fingerprint{}, usagef("%s is neither a fingerprint nor a card file: %q", flag, record.Printable(s, 120))
	}
	file, _, err := a.readCardFile(s)
	return file.Card.Body.Org.Fingerprint(), err
}

// readerUntil ends a long read when ctx ends.
type readerUntil struct {
	ctx context.Context
	io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
