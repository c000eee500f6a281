package apitype

import "dxd/record"

// Inspection is what came of checking a payload.
type Inspection struct {
	ID     record.TransferID `json:"id"`
	Kept   bool              `json:"kept" doc:"Whether a payload is here: not of what was erased, is on its way, or was only notarised"`
	Bytes  int64             `json:"bytes" doc:"So many were read and hold, if nothing is amiss"`
	Damage string            `json:"damage,omitempty" doc:"What is amiss"`
}
