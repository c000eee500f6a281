package apitype

import (
	"time"

	"dxd/record"
)

// Transfer is one document or message to or from one partner, or a
// notarisation.
type Transfer struct {
	ID        record.TransferID `json:"id"`
	Direction string            `json:"direction" enum:"in,out,none"`
	Partner   string            `json:"partner" doc:"Its alias; empty if it was removed, or for a notarisation"`
	Org       record.OrgID      `json:"org,omitzero" doc:"The partner's organisation"`
	Kind      record.ItemKind   `json:"kind" enum:"document,message,notarization"`
	Name      string            `json:"name"`
	Type      string            `json:"type" doc:"Media type, as the sender says"`
	Size      int64             `json:"size" doc:"In bytes; -1 while it comes in and its sender is still reading it"`
	BytesDone int64             `json:"bytes_done" doc:"Bytes of the document that are across"`
	WireBytes int64             `json:"wire_bytes" doc:"Bytes sent or received for it, all attempts together"`
	SHA256    string            `json:"sha256" doc:"As sha256sum prints it; empty as long as it is not known"`
	State     string            `json:"state" enum:"queued,sending,delivered,accepted,refused,failed,cancelled,receiving,received,recorded"`
	Reason    string            `json:"reason" doc:"Why it failed or was refused; while it is queued, why the partner does not take it yet: full, quota, or card (which it does not know yet)"`
	Anchor    string            `json:"anchor" enum:"unanchored,pending,submitted,included,final"`
	Erased    bool              `json:"erased" doc:"Its payload was destroyed here; records and proofs are kept"`
	ErasedAt  *time.Time        `json:"erased_at,omitempty"`
	ErasedBy  string            `json:"erased_by,omitempty" doc:"What asked for it: retain.sent or retain.received; or erase, which destroyed the opening as well: name, type and digest are empty then"`
	Held      bool              `json:"held" doc:"It is on hold, and not erased until it is released"`
	HeldAt    *time.Time        `json:"held_at,omitempty"`
	HeldBy    string            `json:"held_by,omitempty" doc:"Who asked for it: socket, or token"`
	RequestID string            `json:"request_id,omitempty"`

	AskedPartner *AskedPartner `json:"asked_partner,omitempty" doc:"We asked the partner to erase it, too"`
	EraseRequest *EraseRequest `json:"erase_request,omitempty" doc:"The partner asked us to erase it, too"`

	Created time.Time  `json:"created"`
	Updated time.Time  `json:"updated"`
	Expires *time.Time `json:"expires,omitempty" doc:"When delivery is given up"`
	// Application stands only where one transfer is asked for, not in lists.
	Application string `json:"application,omitempty" doc:"What the recipient's application said when it accepted or refused; not in lists"`
}

// AskedPartner is a request to the partner to erase a transfer, and its answer.
type AskedPartner struct {
	At         time.Time  `json:"at"`
	Answer     string     `json:"answer" enum:",erased,refused,unknown" doc:"Empty as long as there is none; unknown if it does not know the transfer, or its version knows no such request"`
	AnsweredAt *time.Time `json:"answered_at,omitempty"`
	Reason     string     `json:"reason,omitempty" doc:"Why it refused"`
}

// EraseRequest is a request of the partner, and our answer.
type EraseRequest struct {
	At     time.Time `json:"at"`
	Answer string    `json:"answer" enum:",erased,refused" doc:"Empty as long as there is none"`
}

// Submitted is the answer to a document that was handed over: it is queued,
// and survives a crash.
type Submitted struct {
	Transfers []SubmittedTransfer `json:"transfers"`
	Digest    record.Digest       `json:"digest" doc:"SHA-256 of the document as a CIDv1"`
	SHA256    string              `json:"sha256"`
	Size      int64               `json:"size"`
}

// SubmittedTransfer is the transfer to one of the recipients.
type SubmittedTransfer struct {
	ID    record.TransferID `json:"id"`
	To    string            `json:"to"`
	State string            `json:"state"`
}

// Notarized is the answer to a document that was notarised.
type Notarized struct {
	ID     record.TransferID `json:"id"`
	SHA256 string            `json:"sha256"`
}
