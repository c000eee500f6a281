package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dxd/record"
)

func (a *app) evidenceShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print what an evidence file says, without believing it (- reads standard input)",
		Long: `Print what an evidence file says, without believing it: who claims to have sent
what to whom, what the recipient is said to have answered, and where on which
chain the records are said to stand. No signature is checked and no chain is
asked: dxd verify does that. It needs no daemon and no state directory.`,
		Example: `  dxd evidence show contract.evidence`,
		Args:    cobra.ExactArgs(1),
		RunE:    a.do(func(_ *cobra.Command, args []string) error { return a.showEvidence(args[0]) }),
	}
}

func (a *app) showEvidence(path string) error {
	data, err := a.readInput(path, maxEvidence)
	if err != nil {
		return err
	}
	c, err := claimsOf(data)
	if err != nil {
		return record.WithHint(err, "evidence is what `dxd evidence ID` writes; whoever took it, sender or recipient, can take it again")
	}
	if a.json {
		return a.printJSON(c)
	}
	fmt.Fprintln(a.out, "Nothing here was checked: `dxd verify` does that. This is what the file says.")
	for _, s := range c.sections() {
		fmt.Fprintf(a.out, "\n%s\n", s.title)
		if err := printFields(a.out, s.fields...); err != nil {
			return err
		}
	}
	return nil
}

// section is a part of what is printed.
type section struct {
	title  string
	fields []field
}

// sections are the claims as people read them. A field without a value is left
// out where it is printed.
func (c *claims) sections() []section {
	all := []section{
		{"File", []field{{"size", fmt.Sprintf("%d bytes", c.Size)}, {"sha256", c.SHA256}}},
		{"Document", c.Opening.fields(c.Record.Items)},
		{"Sender, as claimed", c.Sender.fields()},
	}
	if c.Recipient != nil {
		all = append(all, section{"Recipient, as claimed", c.Recipient.fields()})
	}
	all = append(all, section{c.Record.title(), c.Record.fields()})
	for i, r := range c.Receipts {
		all = append(all, section{fmt.Sprintf("Receipt %d", i+1), r.fields()})
	}
	for _, p := range c.Proofs {
		all = append(all, section{"Proof of " + p.Of, p.fields()})
	}
	for _, s := range c.StateProofs {
		all = append(all, section{"State proof", s.fields()})
	}
	for i, card := range c.Cards {
		all = append(all, section{fmt.Sprintf("Card %d", i+1), card.fields()})
	}
	return all
}

func (o openingClaim) fields(items int64) []field {
	place := fmt.Sprintf("item %d", o.Index)
	if items > 0 {
		place += fmt.Sprintf(" of the %d of its payload, counted from 0", items)
	}
	return []field{{"kind", o.Kind}, {"name", o.Name}, {"type", o.MediaType}, {"size", fmt.Sprintf("%d bytes", o.Size)},
		{"sha256", o.SHA256}, {"transfer", o.Transfer}, {"place", place}}
}

func (p partyClaim) fields() []field {
	if p.Org == "" {
		return []field{{"unknown", "the record that names it can't be read"}}
	}
	name := p.Name
	if name == "" {
		name = "(the file has no card of it that this record names)"
	}
	return []field{{"name", name}, {"org", p.Org}, {"fingerprint", p.Fingerprint}, {"card", p.Card}, {"serial", number(p.Serial)}, {"expires", p.Expires}}
}

func (r recordClaim) title() string {
	switch r.Kind {
	case "manifest":
		return "Manifest, which the sender is said to have signed"
	case "notarization":
		return "Notarisation, which the sender is said to have signed"
	}
	return "A " + r.Kind + ", where a manifest or a notarisation should stand"
}

func (r recordClaim) fields() []field {
	beacon := ""
	if b := r.Beacon; b != nil {
		beacon = fmt.Sprintf("block %d of chain %d at %s, %s", b.Block, b.ChainID, b.Time, b.Hash)
	}
	sealed := ""
	if r.SealedLength > 0 {
		sealed = fmt.Sprintf("%d bytes", r.SealedLength)
	}
	return []field{{"id", r.ID}, {"unreadable", r.Unreadable}, {"created", r.Created}, {"epoch", r.Epoch}, {"lane", r.Lane}, {"sequence", number(r.Sequence)},
		{"predecessor", r.Predecessor}, {"items", number(r.Items)}, {"root", r.Root}, {"sealed", sealed}, {"not before", beacon}}
}

func (r receiptClaim) fields() []field {
	application := ""
	if r.Length > 0 {
		application = fmt.Sprintf("%d bytes: %s", r.Length, r.Application)
	}
	return []field{{"id", r.ID}, {"unreadable", r.Unreadable}, {"says", r.Status}, {"reason", r.Reason}, {"application", application},
		{"created", r.Created}, {"card", r.Card}}
}

func (p proofClaim) fields() []field {
	owner := "on no card of the file"
	if p.Owner != "" {
		owner = "the " + p.Owner + "'s"
	}
	return []field{{"record", p.Record}, {"leaf", fmt.Sprintf("%d of a batch of %d", p.Index, p.Leaves)}, {"root", p.Root},
		{"chain", number(p.ChainID)}, {"contract", p.Contract}, {"account", p.Account + ", " + owner}, {"block", fmt.Sprintf("%d at %s", p.Block, p.Time)}}
}

func (s stateClaim) fields() []field {
	block := ""
	if s.Unreadable == "" {
		block = fmt.Sprintf("%d at %s", s.Block, s.Time)
	}
	return []field{{"block", block}, {"hash", s.Hash}, {"unreadable", s.Unreadable}, {"shows", strings.Join(s.Records, " ")}, {"size", fmt.Sprintf("%d bytes", s.Bytes)}}
}

func (c cardClaim) fields() []field {
	return []field{{"id", c.ID}, {"unreadable", c.Unreadable}, {"org", c.Org}, {"name", c.Name}, {"serial", number(c.Serial)},
		{"created", c.Created}, {"expires", c.Expires}, {"accounts", strings.Join(c.Accounts, " ")}}
}

// number leaves 0 out, which is none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
