package queue

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"dxd/blobstore"
	"dxd/hashanchor"
	"dxd/record"
)

// A state proof is taken when an anchor turns final, just before its proofs are
// journaled, so that both are told together; and it is kept, so that it is there
// when the chain is not any more. It can be taken at any later block, too, so
// nothing waits for it: what could not be had is asked for again.

const (
	prefixState  = KeyPrefix + "s/" // anchor → its state proof at a block in which it was final
	prefixWanted = KeyPrefix + "w/" // anchor → the anchor, of which there is none yet
	prefixTold   = KeyPrefix + "x/" // record → the state proof that came along with its pushed proof
)

// maxStates is how many anchors one question asks for, and stateRetry how long
// an endpoint that gave no state proof is left alone.
const (
	maxStates  = 16
	stateRetry = time.Minute
)

// ofAnchor names the row of an anchor: its root may be on two chains, after a
// move from one to the other.
func ofAnchor(tx blobstore.ReadTx, prefix blobstore.Key, a hashanchor.Anchor) blobstore.Key {
	id := binary.BigEndian.AppendUint64(nil, uint64(a.ChainID))
	return prefix + tx.Index("anchor", slices.Concat(id, a.Account[:], a.Root[:]))
}

// want notes that the state proof of a final anchor is to be taken.
func want(tx blobstore.Tx, a hashanchor.Anchor) error {
	if _, err := tx.Get(ofAnchor(tx, prefixState, a)); record.KindOf(err) != record.NotFound {
		return err
	}
	return set(tx, ofAnchor(tx, prefixWanted, a), a)
}

// StateProofOf is the state proof that was kept of an anchor, as a partner is
// told it; nil if there is none.
func StateProofOf(tx blobstore.ReadTx, a hashanchor.Anchor) ([]byte, error) {
	state, err := tx.Get(ofAnchor(tx, prefixState, a))
	if record.KindOf(err) == record.NotFound {
		return nil, nil
	}
	return state, err
}

// keepState journals an anchor's state proof.
func keepState(tx blobstore.Tx, a hashanchor.Anchor, s hashanchor.State) error {
	if err := set(tx, ofAnchor(tx, prefixState, a), s); err != nil {
		return err
	}
	return tx.Delete(ofAnchor(tx, prefixWanted, a))
}

// takeWanted asks for state proofs that could not be had before. left says that
// more are to be asked for at once.
func (q *Queue) takeWanted(ctx context.Context) (left bool, err error) {
	if time.Now().Before(q.states) {
		return false, nil
	}
	anchors, next, err := q.wanted(ctx)
	if err != nil {
		return false, err
	}
	q.lacking = next // those that can't be had must not hide the others for good
	if len(anchors) == 0 {
		return false, nil
	}
	taken, err := q.takeStates(ctx, anchors)
	return taken == maxStates, err
}

// takeStates asks for state proofs of final anchors. Only what is wrong with
// the journal is an error: an endpoint that has none keeps nothing else from
// going on.
func (q *Queue) takeStates(ctx context.Context, anchors []hashanchor.Anchor) (taken int, err error) {
	if time.Now().Before(q.states) {
		return 0, nil
	}
	s, err := q.Chain.StateProof(ctx, anchors)
	if err != nil {
		q.states = time.Now().Add(stateRetry)
		if text := err.Error(); text != q.stateFault {
			q.stateFault = text
			q.Log.Warn("no state proofs for now", "error", err)
		}
		return 0, nil
	}
	q.stateFault = ""
	err = q.Journal.Update(ctx, func(tx blobstore.Tx) error {
		taken = 0
		for i, a := range anchors {
			if len(s.Slots[i]) == 0 {
				continue // the endpoint that answered is behind
			}
			taken++
			if err := keepState(tx, a, hashanchor.State{Header: s.Header, Account: s.Account, Slots: s.Slots[i : i+1]}); err != nil {
				return err
			}
		}
		return nil
	})
	if taken < len(anchors) {
		q.states = time.Now().Add(stateRetry)
	}
	return taken, err
}

// wanted reads some of the anchors that lack a state proof and are on the chain
// that is configured now. next is where the next look begins.
func (q *Queue) wanted(ctx context.Context) (anchors []hashanchor.Anchor, next blobstore.Key, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		anchors, next = nil, ""
		for e, err := range tx.Scan(prefixWanted, q.lacking, false) {
			if err != nil {
				return err
			}
			var a hashanchor.Anchor
			if err := decode(e.Key, e.Value, &a); err != nil {
				return err
			}
			if !q.asks(a) {
				continue
			}
			if anchors = append(anchors, a); len(anchors) == maxStates {
				next = e.Key + "\x00"
				break
			}
		}
		return nil
	})
	return anchors, next, err
}

// Prove adds state proofs to an evidence file: of all its anchors at one block,
// if the chain can be asked, or else those that were kept. A proof whose anchor
// has none is left out, so that all that stands in the file can be checked down
// to a block's hash; but the record's own must be among them.
func (q *Queue) Prove(ctx context.Context, file []byte) ([]byte, error) {
	e, err := hashanchor.ParseEvidence(file)
	if err != nil {
		return nil, err
	}
	if len(e.Proofs) == 0 || e.Proofs[0].Record != e.Record.ID() {
		return nil, record.WithHint(record.Errorf(record.Conflict, "there is no state proof yet: the record has no final anchor"),
			"wait until the transfer's anchor is final (`dxd transfer ID`), or take evidence without --state-proof")
	}
	anchors := e.Anchors()
	states, fault := q.fresh(ctx, anchors)
	if states == nil {
		if states, err = q.kept(ctx, e.Proofs, anchors, !q.asks(anchors[0])); err != nil {
			return nil, err
		}
	}
	if len(states[0].Header) == 0 {
		if fault == nil {
			fault = record.Errorf(record.Unavailable, "no state proof was kept, and no chain is configured to ask for one")
		}
		return nil, record.WithHint(record.Errorf(record.KindOf(fault), "there is no state proof of the record's anchor: %w", fault), record.Hint(fault))
	}
	attach(e, anchors, states)
	return e.Bytes()
}

// fresh asks the chain for all of them at once; nil if it does not have even
// the first one.
func (q *Queue) fresh(ctx context.Context, anchors []hashanchor.Anchor) ([]hashanchor.State, error) {
	if q.Chain == nil {
		return nil, nil
	}
	if !q.asks(anchors[0]) {
		return nil, record.Errorf(record.Unavailable, "the anchor is on chain %d, and chain %d is configured", anchors[0].ChainID, q.Chain.Where().ChainID)
	}
	s, err := q.Chain.StateProof(ctx, anchors)
	if err != nil {
		return nil, err
	}
	if len(s.Slots[0]) == 0 {
		return nil, record.Errorf(record.Unavailable, "the chain's endpoint does not have the anchor in a final block")
	}
	states := make([]hashanchor.State, len(anchors))
	for i := range anchors {
		if len(s.Slots[i]) > 0 {
			states[i] = hashanchor.State{Header: s.Header, Account: s.Account, Slots: s.Slots[i : i+1]}
		}
	}
	return states, nil
}

// asks tells whether an anchor is on the chain that is configured now.
func (q *Queue) asks(a hashanchor.Anchor) bool {
	if q.Chain == nil {
		return false
	}
	where := q.Chain.Where()
	return a.ChainID == where.ChainID && a.Contract == where.Contract
}

// kept reads those that are in the journal, or else, where no chain of ours can
// tell better, those that partners told.
func (q *Queue) kept(ctx context.Context, proofs []hashanchor.Proof, anchors []hashanchor.Anchor, told bool) (states []hashanchor.State, err error) {
	err = q.Journal.View(ctx, func(tx blobstore.ReadTx) error {
		states = make([]hashanchor.State, len(anchors))
		for _, p := range proofs {
			s := &states[slices.Index(anchors, p.Anchor)]
			if len(s.Header) > 0 {
				continue
			}
			there, err := get(tx, ofAnchor(tx, prefixState, p.Anchor), s)
			if err == nil && !there && told {
				_, err = get(tx, ofRecord(tx, prefixTold, p.Record), s)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return states, err
}

// attach puts state proofs into evidence, those at one block together, and
// takes the proofs out whose anchor has none.
func attach(e *hashanchor.Evidence, anchors []hashanchor.Anchor, states []hashanchor.State) {
	e.StateProof = nil
	for i, a := range anchors {
		s := states[i]
		if len(s.Header) == 0 {
			e.Proofs = slices.DeleteFunc(e.Proofs, func(p hashanchor.Proof) bool { return p.Anchor == a })
			continue
		}
		first := slices.IndexFunc(e.Proofs, func(p hashanchor.Proof) bool { return p.Anchor == a })
		slot := hashanchor.Slot{Record: e.Proofs[first].Record, Nodes: s.Slots[0]}
		at := slices.IndexFunc(e.StateProof, func(p hashanchor.StateProof) bool { return string(p.Header) == string(s.Header) })
		if at < 0 {
			e.StateProof = append(e.StateProof, hashanchor.StateProof{Header: s.Header, Account: s.Account, Slots: []hashanchor.Slot{slot}})
			continue
		}
		e.StateProof[at].Slots = append(e.StateProof[at].Slots, slot)
	}
}
