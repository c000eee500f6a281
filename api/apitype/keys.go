package apitype

// RotateKey asks for a new key.
type RotateKey struct {
	Role string `json:"role" enum:"node,signing,recipient,account"`
	Now  bool   `json:"now,omitempty" doc:"Of a node: bring it into use at once, also for partners that do not know it yet"`
}

// Rotated is what came of it.
type Rotated struct {
	Role     string   `json:"role"`
	Key      string   `json:"key" doc:"The public half of the new key"`
	Serial   int64    `json:"serial" doc:"Of the card that has it"`
	WaitsFor []string `json:"waits_for" doc:"Partners that have not taken this card yet; the older key stays until they have"`
}
