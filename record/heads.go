package record

// SentHead is how far the signer's own numbers for the partner are in a lane,
// in the epoch that it uses now.
type SentHead struct {
	Epoch        Epoch `json:"epoch"`
	Lane         Lane  `json:"lane"`
	Sequence     int64 `json:"sequence"`     // the last that was given; 0: none yet
	Acknowledged int64 `json:"acknowledged"` // the highest that ended in a receipt, or in a void that the partner took
	Settled      int64 `json:"settled"`      // all up to here ended so
}

func (h SentHead) check() error {
	if h.Epoch.IsZero() {
		return Errorf(Invalid, "a head without an epoch")
	}
	if err := checkInteger("sequence", h.Sequence, 0); err != nil {
		return err
	}
	if h.Settled < 0 || h.Settled > h.Acknowledged || h.Acknowledged > h.Sequence {
		return Errorf(Invalid, "a head of %d numbers, settled up to %d, acknowledged up to %d", h.Sequence, h.Settled, h.Acknowledged)
	}
	return nil
}

// ReceivedHead is how far the partner's numbers have come to the signer in a
// lane, in the epoch that began last.
type ReceivedHead struct {
	Epoch    Epoch    `json:"epoch"`
	Lane     Lane     `json:"lane"`
	Sequence int64    `json:"sequence"`      // the highest that is here
	Complete int64    `json:"complete"`      // all up to here are
	Next     int64    `json:"next,omitzero"` // the first behind the gap that follows, if there is one
	Record   RecordID `json:"record"`        // the manifest with the highest one
}

func (h ReceivedHead) check() error {
	if h.Epoch.IsZero() || h.Record.IsZero() {
		return Errorf(Invalid, "a head without an epoch or a manifest")
	}
	if err := checkInteger("sequence", h.Sequence, 1); err != nil {
		return err
	}
	if h.Complete < 0 || h.Complete > h.Sequence {
		return Errorf(Invalid, "a head of %d numbers, complete up to %d", h.Sequence, h.Complete)
	}
	if gap := h.Complete < h.Sequence; gap && (h.Next < h.Complete+2 || h.Next > h.Sequence) || !gap && h.Next != 0 {
		return Errorf(Invalid, "a head of %d numbers, complete up to %d, and then from %d on", h.Sequence, h.Complete, h.Next)
	}
	return nil
}

// Heads is the signer's record of how far the numbers between it and a partner
// have come, in both directions: at most one head for each lane, in the order
// of the lanes' names. It is exchanged on connect and never becomes a leaf.
type Heads struct {
	Header
	Partner  OrgID          `json:"partner"`
	Sent     []SentHead     `json:"sent"`
	Received []ReceivedHead `json:"received"`
}

func (h Heads) check() error {
	if err := h.Header.check("heads"); err != nil {
		return err
	}
	if h.Partner.IsZero() || h.Partner == h.Org {
		return Errorf(Invalid, "heads without a partner")
	}
	var sent, received []Lane
	for _, s := range h.Sent {
		if err := s.check(); err != nil {
			return err
		}
		sent = append(sent, s.Lane)
	}
	for _, r := range h.Received {
		if err := r.check(); err != nil {
			return err
		}
		received = append(received, r.Lane)
	}
	if err := checkLanes(sent); err != nil {
		return err
	}
	return checkLanes(received)
}

// checkLanes tells whether these are lanes, each at most once and in order.
func checkLanes(list []Lane) error {
	last := Lane("")
	for _, lane := range list {
		if err := lane.check(); err != nil {
			return err
		}
		if lane <= last {
			return Errorf(Invalid, "heads that are not in the order of the lanes")
		}
		last = lane
	}
	return nil
}

// OpenHeads verifies heads with the card that they name.
func OpenHeads(e Envelope, signer Signed[Card]) (Signed[Heads], error) {
	return open[Heads](e, signer)
}
