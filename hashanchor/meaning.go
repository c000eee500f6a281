package hashanchor

// Checks are the names of all checks, in their order. A verification makes
// those for which there is occasion.
func Checks() []string {
	return []string{
		CheckFile, CheckCards, CheckRecord, CheckSender, CheckRecipient, CheckOpening, CheckDocument, CheckReceipts, CheckProofs, CheckStateProof,
		CheckValidity, CheckChain, CheckStateBlock, CheckAnchor, CheckReceived, CheckNotBefore, CheckRevocation,
	}
}

// Meaning says in one sentence what a check finds out, to a person who does
// not know what a hash is. It is the same whatever the outcome, which is for
// the check's detail to tell; "" for a name that no check has.
func Meaning(check string) string {
	switch check {
	case CheckFile:
		return "whether the evidence file is whole, and written in the one way in which such a file can be written"
	case CheckCards:
		return "whether each organisation's card, which lists its keys, was signed by that organisation and by every key on it"
	case CheckRecord:
		return "whether the sender's statement about the document bears a genuine signature of the sender, and names these parties"
	case CheckSender:
		return "whether the sender is the organisation that the reader named, by its fingerprint and not by its name"
	case CheckRecipient:
		return "whether the recipient is the organisation that the reader named, by its fingerprint and not by its name"
	case CheckOpening:
		return "whether name, kind and size of the document, as the file tells them, are those that the sender signed"
	case CheckDocument:
		return "whether the document in hand is, to the last byte, the one that was signed"
	case CheckReceipts:
		return "whether what the file says of the recipient's answer was signed by the recipient, and is about this document"
	case CheckProofs:
		return "whether the signed statements belong to the entries on the public chain that the file names"
	case CheckStateProof:
		return "whether the file brings its own proof of what the chain held, down to one block's hash"
	case CheckValidity:
		return "whether the keys were still valid when they signed, as an identity card must not have expired on the day on which it is shown"
	case CheckRevocation:
		return "whether the key that signed had been withdrawn by then"
	case CheckChain:
		return "whether the chain that the file names is the one that the reader asked for"
	case CheckStateBlock:
		return "whether the block to which the file's own proof leads is one of the chain's, or one that the reader knows"
	case CheckAnchor:
		return "whether the chain holds the entry for good, at the time that the file names: the statement existed by then"
	case CheckReceived:
		return "whether the chain holds the entries for the recipient's answers, too: they existed by then"
	case CheckNotBefore:
		return "whether the statement quotes a block of the chain, which nobody could know before it was made: the statement is not older"
	}
	return ""
}
