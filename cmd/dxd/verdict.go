package main

import (
	"fmt"
	"slices"
	"strings"

	"dxd/hashanchor"
	"dxd/record"
)

// printReport prints the outcome. byBlock says that the verifier knew the hash
// of a block, and asked nobody.
func (a *app) printReport(r hashanchor.Report, byBlock bool) error {
	if a.json {
		return a.printJSON(r)
	}
	for _, line := range verdict(r, byBlock) {
		fmt.Fprintln(a.out, record.Printable(line, 1000))
	}
	fmt.Fprintln(a.out)
	for _, c := range r.Checks {
		fmt.Fprintf(a.out, "  %s %-15s %s\n", mark(c), c.Name, record.Printable(c.Detail, 1000))
		if c.Meaning != "" {
			fmt.Fprintf(a.out, "    %-15s (%s)\n", "", c.Meaning)
		}
		if c.Mend != "" && !c.OK {
			fmt.Fprintf(a.out, "    %-15s → %s\n", "", record.Printable(c.Mend, 1000))
		}
	}
	return nil
}

func mark(c hashanchor.Check) string {
	switch {
	case c.OK:
		return "✓"
	case c.Undecided:
		return "–"
	}
	return "✗"
}

// verdict says in plain words what the report comes to.
func verdict(r hashanchor.Report, byBlock bool) []string {
	switch r.ExitCode() {
	case hashanchor.ExitInvalid:
		lines := []string{"NOT VALID: " + broken(r).Detail}
		if mend := broken(r).Mend; mend != "" {
			lines = append(lines, "  who can mend it: "+mend)
		}
		return lines
	case hashanchor.ExitUndecided:
		open := "nothing dates them yet"
		switch {
		case r.AnchoredAt != nil:
			open = "not all is known about them"
		case r.ReceiptAnchoredBy != "": // a sender whose state is lost never anchors what the recipient has
			open = "only a receipt has dated them, by the " + r.ReceiptAnchoredBy + "'s account"
		}
		return append([]string{"NOT DECIDED: document and signatures hold, but " + open + ": " + broken(r).Detail, "  " + compared(r, byBlock) + "."}, story(r)...)
	}
	return append([]string{fmt.Sprintf("VALID: this is the document that was signed, and chain %d dates it; %s.", r.ChainID, compared(r, byBlock))}, story(r)...)
}

// broken is the first link that does not hold.
func broken(r hashanchor.Report) hashanchor.Check {
	failed := func(c hashanchor.Check) bool { return !c.OK && !c.Undecided }
	i := slices.IndexFunc(r.Checks, failed)
	if i < 0 {
		i = slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return !c.OK })
	}
	if i < 0 {
		return hashanchor.Check{Detail: "nothing was checked"}
	}
	return r.Checks[i]
}

// checkOf is the check with this name, nil if it was not made.
func checkOf(r hashanchor.Report, name string) *hashanchor.Check {
	i := slices.IndexFunc(r.Checks, func(c hashanchor.Check) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Checks[i]
}

// held tells whether a check was made and holds.
func held(r hashanchor.Report, name string) bool {
	c := checkOf(r, name)
	return c != nil && c.OK
}

// compared says what was held against something that the verifier knows, and
// what rests on the file's word alone.
func compared(r hashanchor.Report, byBlock bool) string {
	var did, not []string
	for _, what := range []struct {
		name  string
		there bool
		did   bool
	}{
		{"sender", r.Sender != nil, r.Sender != nil && r.Sender.Confirmed},
		{"recipient", r.Recipient != nil, r.Recipient != nil && r.Recipient.Confirmed},
		{"chain", r.ChainID != 0, held(r, hashanchor.CheckChain)},
		{"block", byBlock && held(r, hashanchor.CheckStateBlock), true},
	} {
		switch {
		case !what.there:
		case what.did:
			did = append(did, what.name)
		default:
			not = append(not, what.name)
		}
	}
	switch {
	case len(did) == 0:
		return "nothing was compared with what you know, " + list(not) + " as the file claims"
	case len(not) == 0:
		return list(did) + " compared with what you know"
	}
	return list(did) + " compared with what you know, " + list(not) + " as the file claims"
}

// list is "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// story tells who, to whom and when.
func story(r hashanchor.Report) []string {
	var lines []string
	if r.Sender != nil {
		lines = append(lines, "  signed by    "+person(*r.Sender))
	}
	if r.Recipient != nil {
		lines = append(lines, "  recipient    "+person(*r.Recipient), "  receipt      "+r.Receipt)
	}
	if r.NotBefore != nil {
		lines = append(lines, "  not before   "+localTime(*r.NotBefore))
	}
	if r.AnchoredAt != nil {
		lines = append(lines, fmt.Sprintf("  anchored at  %s, in block %d of chain %d", localTime(*r.AnchoredAt), r.Block, r.ChainID))
	}
	if r.Sender != nil && !r.Sender.Confirmed || r.Recipient != nil && !r.Recipient.Confirmed {
		lines = append(lines, "  A name is only claimed until you compare its fingerprint with one that you know: --sender, --recipient.")
	}
	return lines
}

// person says whether the verifier knew the fingerprint: a name is never more
// than a claim.
func person(p hashanchor.Party) string {
	how := "as claimed"
	if p.Confirmed {
		how = "confirmed"
	}
	return fmt.Sprintf("%s, %s (%s)", quoted(p.Name), p.Fingerprint, how)
}
