package exchange

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"dxd/record"
)

// The protocols between nodes (docs/spec/wire.md). Each stream of
// ProtocolTransfer carries one payload.
const (
	ProtocolTransfer = "/dxd/transfer/1"
	ProtocolHello    = "/dxd/hello/1"
	ProtocolProof    = "/dxd/proof/1"
)

// wireVersion stands in each offer; another one is refused.
const wireVersion = 1

// frameType is the first byte of a frame.
type frameType byte

const (
	frameOffer   frameType = 1  // sender: what is coming
	frameBody    frameType = 2  // sender: sealed bytes; an empty one ends the body
	frameClosing frameType = 3  // sender: manifest and sealed openings
	frameAnswer  frameType = 4  // recipient: where to go on
	frameReceipt frameType = 5  // recipient: the signed receipt
	frameRefusal frameType = 6  // recipient: why not; sender: there will be no more of it
	frameHello   frameType = 7  // both: card and presence
	frameNews    frameType = 8  // either: a proof, receipt or void, or about what to erase
	frameAck     frameType = 9  // the answer to Hello and News
	frameWait    frameType = 10 // sender: nothing to send yet, the document is being read

	framePair frameType = 16 // both: card, and where a visitor comes from
	frameWord frameType = 17 // both: yes, no, added
)

const (
	maxFrame       = 1 << 20   // type and content
	frameHeader    = 4 + 1     // length, type
	maxEarly       = 64 << 10  // body sent along with an offer
	bodyFrame      = 256 << 10 // body bytes in one frame
	stallTimeout   = time.Minute
	receiptTimeout = 5 * time.Minute // for the recipient's disk, once all is sent
)

// unknownLength stands for the length of a body that is not whole yet.
const unknownLength = -1

// offer announces a payload. Unknown members are ignored, so that later
// versions can add some.
type offer struct {
	Version      int               `json:"v"`
	ID           record.TransferID `json:"id"`
	Lane         record.Lane       `json:"lane"`
	SealedLength int64             `json:"sealed_length"` // or unknownLength
	BodyNonce    record.BodyNonce  `json:"body_nonce"`
	Header       []byte            `json:"header"`         // age, for the recipient's key
	Early        int64             `json:"early"`          // body bytes that follow at once
	Alone        bool              `json:"alone,omitzero"` // in the lane of messages: one message under its own id, no bundle
}

// answer says where the sender goes on, or that the payload is here.
type answer struct {
	Offset  int64           `json:"offset"`
	Receipt record.Envelope `json:"receipt,omitzero"`
}

// closing ends a payload. Openings are sealed under a key of the file key.
type closing struct {
	Manifest record.Envelope `json:"manifest"`
	Openings []byte          `json:"openings"`
}

// receiptFrame carries the first receipt.
type receiptFrame struct {
	Receipt record.Envelope `json:"receipt"`
}

// refusal says why a payload is not taken, and whether to try again. It says
// no more than the sender needs.
type refusal struct {
	Reason string `json:"reason"`
	Retry  bool   `json:"retry"`
}

// The reasons of refusals; the set is only appended to.
const (
	reasonPolicy    = "policy"    // not an active partner, or not allowed
	reasonRejected  = "rejected"  // what was sent does not hold
	reasonCancelled = "cancelled" // the sender cancelled it itself
	reasonDamaged   = "damaged"   // the sealed bytes do not open
	reasonFull      = "full"      // no room for now
	reasonCard      = "card"      // a card is not known here yet
	reasonQuota     = "quota"     // of the partner used up
	reasonNumber    = "number"    // two records have one number
	reasonExpired   = "expired"
	reasonRemoved   = "removed"
)

// refusedError is a refusal as an error.
type refusedError struct{ refusal }

func (e *refusedError) Error() string {
	return "the partner refused: " + record.Printable(e.Reason, 80)
}

func refuse(reason string) error { return &refusedError{refusal{Reason: reason}} }

func refuseForNow(reason string) error { return &refusedError{refusal{Reason: reason, Retry: true}} }

// link sends and takes frames over a stream. A peer that takes or gives no
// whole frame for a minute is given up; size and speed are not bounded.
type link struct {
	Stream
	in  []byte
	out []byte
	// sending is set where frames are sent for long while a reply is awaited
	// in another goroutine: then each frame sent gives the reply a new minute.
	sending bool
	// patience is for a peer that waits for a person; 0 means a minute.
	patience time.Duration
	stopped  atomic.Bool // by stopReading
}

func newLink(s Stream) *link { return &link{Stream: s} }

// extend gives the peer until a stall from now to take or give a frame.
func (l *link) extend(set func(time.Time) error) error {
	if l.sending {
		set = l.SetDeadline
	}
	return set(time.Now().Add(cmp.Or(l.patience, stallTimeout)))
}

// buffer gives room for n bytes of content behind a frame's header.
func (l *link) buffer(n int) []byte {
	if cap(l.out) < frameHeader+n {
		l.out = make([]byte, frameHeader+n)
	}
	return l.out[frameHeader : frameHeader+n]
}

// flush sends the first n bytes of what buffer gave, as one frame.
func (l *link) flush(t frameType, n int) error {
	frame := l.out[:frameHeader+n]
	binary.BigEndian.PutUint32(frame, uint32(1+n))
	frame[4] = byte(t)
	if err := l.extend(l.SetWriteDeadline); err != nil {
		return err
	}
	_, err := l.Write(frame)
	return err
}

// send sends one frame of JSON.
func (l *link) send(t frameType, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if 1+len(raw) > maxFrame {
		return record.Errorf(record.Invalid, "a frame of %d bytes", len(raw))
	}
	copy(l.buffer(len(raw)), raw)
	return l.flush(t, len(raw))
}

// next reads one frame. The content is valid until the next call. The error
// is io.EOF only where the peer ended the stream between two frames.
func (l *link) next() (frameType, []byte, error) {
	if err := l.awaitFrame(); err != nil {
		return 0, nil, err
	}
	var header [frameHeader]byte
	if _, err := io.ReadFull(l, header[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(header[:4])
	if n < 1 || n > maxFrame {
		return 0, nil, record.Errorf(record.Invalid, "a frame of %d bytes", n)
	}
	size := int(n - 1)
	if cap(l.in) < size {
		l.in = make([]byte, l.room(frameType(header[4]), size))
	}
	content := l.in[:size]
	if _, err := io.ReadFull(l, content); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return frameType(header[4]), content, nil
}

// room is what to make for a frame: more than it needs only where others like
// it will follow, since a partner may open many streams and go on with none.
func (l *link) room(t frameType, size int) int {
	if t == frameBody {
		return max(size, bodyFrame)
	}
	return size
}

// stopReading ends a read that is under way, and all later ones. A stream that
// takes no deadline any more has ended, and its reads with it.
func (l *link) stopReading() {
	l.stopped.Store(true)
	l.SetReadDeadline(time.Unix(1, 0))
}

// awaitFrame sets the time for the next frame, where sending does not.
func (l *link) awaitFrame() error {
	if l.sending {
		return nil
	}
	err := l.extend(l.SetReadDeadline)
	if l.stopped.Load() { // just now, perhaps, and this would undo it
		l.stopReading()
	}
	return err
}

// expect reads one frame of JSON of this type into v.
func (l *link) expect(t frameType, v any) error {
	got, content, err := l.next()
	if err != nil {
		return err
	}
	if got != t {
		return record.Errorf(record.Invalid, "a frame of type %d where %d was due", got, t)
	}
	return decodeFrame(content, v)
}

func decodeFrame(content []byte, v any) error {
	if err := json.Unmarshal(content, v); err != nil {
		return record.Errorf(record.Invalid, "a frame that is not valid: %s", record.Printable(err.Error(), 200))
	}
	return nil
}

// resetWith resets the stream when ctx ends, which unblocks whoever reads or
// writes it. The caller calls stop when done with the stream.
func resetWith(ctx context.Context, s Stream) (stop func() bool) {
	return context.AfterFunc(ctx, resetter(s))
}

// resetter resets a stream whose fate interests nobody any more.
func resetter(s Stream) func() { return func() { s.Reset() } }

// openingLength is how many bytes say how long a packed opening is.
const openingLength = 4

// packOpenings writes openings one after the other, each behind its length.
func packOpenings(list ...[]byte) []byte {
	var b []byte
	for _, o := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(o)))
		b = append(b, o...)
	}
	return b
}

// unpackOpenings undoes packOpenings.
func unpackOpenings(b []byte) ([][]byte, error) {
	var list [][]byte
	for len(b) > 0 {
		if len(b) < openingLength || len(list) == record.MaxItems {
			return nil, record.Errorf(record.Invalid, "openings that are cut off or too many")
		}
		n := binary.BigEndian.Uint32(b)
		if n > record.MaxOpening || int(n) > len(b)-openingLength {
			return nil, record.Errorf(record.Invalid, "an opening of %d bytes", n)
		}
		b = b[openingLength:]
		list = append(list, b[:n])
		b = b[n:]
	}
	return list, nil
}
