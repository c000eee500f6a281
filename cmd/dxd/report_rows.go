package main

import (
	"fmt"
	"slices"
	"strings"

	"dxd/hashanchor"
	"dxd/record"
)

// compareByVoice is how a name becomes more than a claim.
const compareByVoice = "The name is only claimed. Ask this organisation for its fingerprint, by telephone or face to face and not by means of this page, and compare it with the one here, character by character."

// facts are what the evidence says, as far as the checks let it be told. What
// does not hold can still be told as claims; the page's heading says which.
func (v verified) facts() []row {
	if v.claims == nil || v.report.Sender == nil {
		return nil
	}
	c, r := v.claims, v.report
	rows := []row{c.Opening.row(), v.party("Signed and sent by", r.Sender)}
	if r.Recipient == nil {
		rows[1].Label = "Signed by"
		rows = append(rows, row{Label: "Sent to", Value: "nobody", Note: "A notarisation shows that its signer had the document by a certain time. It is sent to no one."})
	} else {
		rows = append(rows, v.party("Sent to", r.Recipient), v.answer())
	}
	return append(rows, v.times()...)
}

// row tells what is shown of the document.
func (o openingClaim) row() row {
	size := fmt.Sprintf("%d bytes", o.Size)
	if o.Size >= 1000 {
		size += " (" + bytesOf(o.Size) + ")"
	}
	r := row{Label: "Document", Value: o.Name, Note: size + ", of the type " + o.MediaType + ". Name and type are those that its sender gave it."}
	switch o.Kind {
	case string(record.Message):
		r.Label, r.Value, r.Note = "Message", "a message, which has no name", size+", of the type "+o.MediaType+"."
	case string(record.Notarized):
		r.Label, r.Note = "Notarised document", strings.Replace(r.Note, "its sender", "its signer", 1)
	}
	return r
}

func (v verified) party(label string, p *hashanchor.Party) row {
	note := compareByVoice
	if p.Confirmed {
		note = "Confirmed: whoever had this page made named this very fingerprint. The name itself is the organisation's own choice."
	}
	return row{Label: label, Value: p.Name, Code: p.Fingerprint.String(), Note: note}
}

// answer is the recipient's last word in the file.
func (v verified) answer() row {
	if len(v.claims.Receipts) == 0 {
		return row{Label: "Recipient's answer", Value: "none in this evidence", Note: "The evidence does not show that the recipient received it, nor that it did not."}
	}
	last := v.claims.Receipts[len(v.claims.Receipts)-1]
	if last.Unreadable != "" {
		return row{Label: "Recipient's answer", Value: "can't be read", Note: "What stands in its place in the file is no receipt."}
	}
	r := row{Label: "Recipient's answer", Value: last.Status, Note: "Signed by the recipient; by its own clock on " + momentOf(last.Created) + "."}
	if !held(v.report, hashanchor.CheckReceipts) {
		r.Note = "Nothing shows that the recipient signed this: the check of it failed."
	}
	if last.Reason != "" {
		r.Note = "Reason given: " + last.Reason + " – " + r.Note
	}
	return r
}

// times are the two moments between which the statement was signed, and where
// they come from.
func (v verified) times() []row {
	r, c := v.report, v.claims
	early := row{Label: "Not earlier than", Value: "not known", Note: "No block that the statement quotes was found on the chain, or no chain was asked. It may be older than the time below by any length."}
	if r.NotBefore != nil {
		early.Value = moment(*r.NotBefore)
		early.Note = fmt.Sprintf("The signed statement quotes block %d of the chain, which nobody could know before it was made.", c.Record.Beacon.Block)
	}
	late := row{Label: "Not later than", Value: "not shown", Note: "No entry on a chain was found, or asked for, that the statement existed by a certain time."}
	if r.AnchoredAt != nil {
		late.Value = moment(*r.AnchoredAt)
		late.Note = fmt.Sprintf("Block %d of the chain holds an entry that can have been made only from this signed statement. It was made with an account of the %s.", r.Block, r.AnchoredBy)
	}
	rows := []row{early, late, {Label: "Time claimed", Value: momentOf(c.Record.Created), Note: "By the signer's own clock: no more than a claim."}}
	if r.ChainID != 0 {
		rows = append(rows, row{Label: "Chain", Value: fmt.Sprintf("the chain with the number %d", r.ChainID),
			Note: "The times are worth what this chain is worth: those who run it together could have written others. Who runs it is for the reader to find out."})
	}
	return rows
}

// compared lists what the verifier could have known, what it did know, and how
// that turned out.
func (v verified) compared() []row {
	r, k := v.report, v.known
	rows := []row{v.comparedParty("Sender", hashanchor.CheckSender, k.Sender, r.Sender)}
	if r.Recipient != nil || k.Recipient != (record.Fingerprint{}) {
		rows = append(rows, v.comparedParty("Recipient", hashanchor.CheckRecipient, k.Recipient, r.Recipient))
	}
	chain := row{Label: "Chain", Value: "not compared", Note: "Nobody said which chain it has to be. Decide whether the chain that the file names is one that counts."}
	if k.ChainID != 0 {
		chain = v.outcome(row{Label: "Chain", Code: fmt.Sprint(k.ChainID)}, hashanchor.CheckChain, "This is the chain that the file names.")
	}
	rows = append(rows, chain, v.askedChain())
	if len(k.Cards) > 0 {
		rows = append(rows, v.comparedCards())
	}
	return rows
}

// comparedCards tells what came of the newer cards. One whose anchor nothing
// confirms was compared with nothing, though the check holds.
func (v verified) comparedCards() row {
	r := v.outcome(row{Label: "Withdrawn keys", Code: v.cards()}, hashanchor.CheckRevocation,
		"These newer cards withdraw no key from before it signed.")
	for _, c := range v.known.Cards {
		for _, p := range []*hashanchor.Party{v.report.Sender, v.report.Recipient} {
			if r.Good && p != nil && p.Org == c.Card.Body.Org && p.KnownSerial < c.Card.Body.Serial {
				r.Value, r.Note, r.Good = "not counted", checkOf(v.report, hashanchor.CheckRevocation).Detail+".", false
			}
		}
	}
	return r
}

// cards names the newer cards that the verifier brought.
func (v verified) cards() string {
	var all []string
	for _, c := range v.known.Cards {
		all = append(all, fmt.Sprintf("%s: card %d", c.Card.Body.Org.Fingerprint(), c.Card.Body.Serial))
	}
	return strings.Join(all, "; ")
}

func (v verified) comparedParty(label, check string, want record.Fingerprint, p *hashanchor.Party) row {
	if want == (record.Fingerprint{}) {
		r := row{Label: label, Value: "not compared", Note: compareByVoice}
		if p != nil {
			r.Code = p.Fingerprint.String()
		}
		return r
	}
	return v.outcome(row{Label: label, Code: want.String()}, check, "This is the fingerprint in the file.")
}

// outcome tells how the comparison with a known value turned out.
func (v verified) outcome(r row, check, same string) row {
	switch c := checkOf(v.report, check); {
	case c == nil:
		r.Value, r.Note = "not compared", "An earlier check failed, or there was nothing to compare it with."
	case c.OK:
		r.Value, r.Note, r.Good = "agrees", same, true
	case c.Undecided:
		r.Value, r.Note = "not known", c.Detail
	default:
		r.Value, r.Note = "differs", c.Detail
	}
	return r
}

// askedChain tells who was asked what the chain holds.
func (v verified) askedChain() row {
	if len(v.known.Blocks) > 0 {
		var hashes []string
		for _, h := range v.known.Blocks {
			hashes = append(hashes, h.String())
		}
		return v.outcome(row{Label: "Block of the chain", Code: strings.Join(hashes, " ")}, hashanchor.CheckStateBlock,
			"The evidence leads to this very block, and no network was needed. Whoever had this page made knew it from elsewhere.")
	}
	r := row{Label: "Who told what the chain holds", Value: "no one was asked", Note: "So nothing is known about the time. The option --rpc asks a chain."}
	if checkOf(v.report, hashanchor.CheckAnchor) == nil || len(v.known.RPC) == 0 {
		if len(v.known.RPC) > 0 {
			r.Note = "A check failed before the chain's turn came."
		}
		return r
	}
	var names []string
	for _, e := range v.known.RPC {
		if name := e.String(); !slices.Contains(names, name) { // one that is asked twice is one source
			names = append(names, name)
		}
	}
	r.Value, r.Code, r.Note = "one source", names[0], "A single source could lie. Ask another one, too, that neither sender nor recipient runs."
	if len(names) > 1 {
		r.Value, r.Code, r.Note, r.Good = fmt.Sprintf("%d sources", len(names)), strings.Join(names, " "), "They gave the same answers; otherwise there would be no page.", true
	}
	return r
}

// numbers are what an expert looks up.
func (v verified) numbers() (rows []row) {
	c := v.claims
	if c == nil {
		return nil
	}
	add := func(label, code, note string) {
		if code != "" {
			rows = append(rows, row{Label: label, Code: code, Note: note})
		}
	}
	add("Transfer", c.Opening.Transfer, fmt.Sprintf("item %d of %d, counted from 0", c.Opening.Index, c.Record.Items))
	add("SHA-256, as signed", c.Opening.SHA256, "")
	add("Signed statement", c.Record.ID, c.Record.Kind)
	add("Sender", c.Sender.Org, cardNote(c.Sender))
	if c.Recipient != nil {
		add("Recipient", c.Recipient.Org, cardNote(*c.Recipient))
	}
	for _, r := range c.Receipts {
		add("Receipt", r.ID, r.Status)
	}
	for _, p := range c.Proofs {
		add("Root on the chain", p.Root, fmt.Sprintf("for the %s: leaf %d of a batch of %d, block %d of chain %d, %s", p.Of, p.Index, p.Leaves, p.Block, p.ChainID, momentOf(p.Time)))
		add("Account", p.Account, ownerNote(p.Owner))
	}
	if len(c.Proofs) > 0 {
		add("Contract", c.Proofs[0].Contract, "")
	}
	for _, b := range v.report.StateBlocks {
		add("Block of the state proof", b.Hash.String(), fmt.Sprintf("block %d, %s", b.Block, momentOf(utcSecond(b.Time))))
	}
	return rows
}

func cardNote(p partyClaim) string {
	if p.Expires == "" {
		return ""
	}
	return fmt.Sprintf("card %d, valid until %s", p.Serial, momentOf(p.Expires))
}

func ownerNote(owner string) string {
	if owner == "" {
		return "on no card of the file"
	}
	return "on the " + owner + "'s card"
}
