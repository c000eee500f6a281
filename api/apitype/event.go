package apitype

import (
	"time"

	"dxd/record"
)

// Event is one thing that happened. What does not apply is absent.
type Event struct {
	Seq     int64               `json:"seq" doc:"Its number: without gaps, from 1"`
	Type    string              `json:"type" doc:"Such as document.received; new types may come"`
	Time    time.Time           `json:"time"`
	ID      record.TransferID   `json:"id,omitzero" doc:"The transfer"`
	IDs     []record.TransferID `json:"ids,omitempty" doc:"The transfers, of an event about several"`
	Partner string              `json:"partner,omitempty" doc:"Its alias, as it is now"`
	Org     record.OrgID        `json:"org,omitzero" doc:"The partner's organisation"`
	Kind    record.ItemKind     `json:"kind,omitempty" doc:"Of the transfer"`
	State   string              `json:"state,omitempty" doc:"Of a partner.changed: the partner's; of an erase.answered: erased or refused"`
	Reason  string              `json:"reason,omitempty" doc:"Why it failed or was refused"`
	Text    string              `json:"text,omitempty" doc:"Of an alarm: what contradicts what, or what people have to see to"`
	By      string              `json:"by,omitempty" doc:"Who erased, held or released the transfer here, or asked for it to be erased: socket, token, or partner"`
}

// EventStreamType is the media type of a stream of events (WHATWG HTML,
// section 9.2, "Server-sent events"). An event of the stream is an Event, whose
// number is its id; one that is named ProblemEvent is a Problem, and the last.
const (
	EventStreamType = "text/event-stream"
	ProblemEvent    = "problem"
)

// Subscription is a consumer's place in the log of events.
type Subscription struct {
	Name    string     `json:"name"`
	Acked   int64      `json:"acked" doc:"The consumer is done with all events up to this one"`
	Behind  int64      `json:"behind" doc:"Events that it has not acknowledged"`
	Since   *time.Time `json:"since" doc:"When the oldest of them happened; null if there is none"`
	Created time.Time  `json:"created"`
	Updated time.Time  `json:"updated" doc:"When it last acknowledged something"`
}

// Subscribe says where a new subscription begins.
type Subscribe struct {
	After *int64 `json:"after,omitempty" doc:"Behind this event; without it, before the oldest that is kept"`
}

// Ack says up to which event a consumer is done.
type Ack struct {
	Seq int64 `json:"seq"`
}
