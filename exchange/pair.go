package exchange

import (
	"context"
	"time"

	"dxd/crypto"
	"dxd/partner"
	"dxd/record"
)

// ProtocolPair makes partners of two organisations whose people hand over a
// ticket (docs/spec/pairing.md).
const ProtocolPair = "/dxd/pair/1"

// Doorway is the network between those who are no partners yet.
type Doorway interface {
	// Visit goes to the node that issued the ticket, as its visitor. The error
	// is of kind Refused if the node was there and hung up.
	Visit(ctx context.Context, t crypto.Ticket, protocol string) (Stream, error)
	// Drop ends all connections with a visitor.
	Drop(node record.NodeID)
}

// PairingState says how far a pairing is.
type PairingState string

// The states, in their order. One that ends otherwise ends with an error.
const (
	PairingWaits  PairingState = "waiting" // for the bearer of the ticket
	PairingCalls  PairingState = "calling" // who issued the ticket
	PairingAsks   PairingState = "asking"  // the person here
	PairingAgreed PairingState = "agreed"  // here; waits for the other side
	PairingAdded  PairingState = "added"
)

// Pairing is how far a pairing is.
type Pairing struct {
	ID      string
	State   PairingState
	Ticket  string                // on the side that waits, as long as it does
	Expires time.Time             // of the ticket; then of the question
	File    record.OpenedCardFile // the other side's card, once both have met
	Alias   string                // that it has, or gets unless told otherwise
	Known   bool                  // a partner already
	Partner partner.Partner       // once added
	// Confirmed tells, once added, that the other side has added us, too.
	Confirmed bool
}

// Why a pairing ends without a partner.
var (
	errTicketExpired = record.WithHint(record.Errorf(record.Timeout, "nobody came before the ticket expired"), "`dxd pair` prints a new one")
	errNobodySaid    = record.Errorf(record.Timeout, "not both sides said yes in time; nothing was changed")
	errSaidNoHere    = record.Errorf(record.Invalid, "not accepted; nothing was changed")
	errSaidNoThere   = record.WithHint(record.Errorf(record.Refused, "the other side did not accept; nothing was changed"),
		"their dxd says why, or they said no: talk to them")
	errLeft  = record.WithHint(record.Errorf(record.Unavailable, "the other side went away; nothing was changed"), "pair again with a new ticket")
	errDoubt = record.WithHint(record.Errorf(record.Unavailable, "the connection ended before the other side's last word: they are not added here, but you may be there"),
		"pair again with a new ticket: whoever has added the other already keeps it as it is")
)

func errNoDoorway() error {
	return record.WithHint(record.Errorf(record.Unreachable, "two organisations are paired only while the daemon runs"), "start it with `dxd run`")
}

// word is what one side tells the other once both have met.
type word string

const (
	wordYes   word = "yes"   // to the host: the person here agrees
	wordNo    word = "no"    // the person here does not, or can't
	wordAdded word = "added" // the other side is a partner here now
)

// pairFrame is what each side shows of itself.
type pairFrame struct {
	Version int             `json:"v"`
	File    record.CardFile `json:"file"`
	// Of the visitor, whose key stands on no card: the node that it comes
	// from, and that node's signature.
	Node  record.NodeID `json:"node,omitzero"`
	Proof []byte        `json:"proof,omitzero"`
}

type wordFrame struct {
	Word word `json:"word"`
}

// AnswerPairing is the word of the person here about the other side's card. A
// yes under an alias that can't be is an error, and may be said again with
// another; "" takes the one that was proposed. It gives the alias.
func (x *Exchange) AnswerPairing(ctx context.Context, id string, yes bool, alias string) (string, error) {
	if x.Tickets == nil {
		return "", errNoDoorway()
	}
	p, err := x.Tickets.find(id)
	if err != nil {
		return "", err
	}
	file, err := p.asked()
	if err != nil {
		return "", err
	}
	if !yes {
		return "", p.say(verdict{})
	}
	if alias, err = x.aliasFor(file, alias); err != nil {
		return "", err
	}
	if err := x.Book.MayAdd(ctx, file, alias); err != nil {
		return "", err
	}
	return alias, p.say(verdict{true, alias})
}

// aliasFor is the alias that was chosen, or that the partner has, or one that
// its name suggests.
func (x *Exchange) aliasFor(file record.OpenedCardFile, chosen string) (string, error) {
	if chosen != "" {
		return chosen, partner.CheckAlias(chosen)
	}
	known, err := x.Book.ByOrg(file.Card.Body.Org)
	if err == nil && known.State != partner.Removed {
		return known.Alias, nil
	}
	if err != nil && record.KindOf(err) != record.NotFound {
		return "", err
	}
	return x.Book.ProposeAlias(file.Card.Body.Name), nil
}
