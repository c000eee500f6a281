package apitype

import "dxd/record"

// AnchorStatus says how far records have come on the chain. Without a chain
// configured, chain_id is 0 and contract is null.
type AnchorStatus struct {
	ChainID    int64           `json:"chain_id"`
	Contract   *record.Account `json:"contract"`
	Account    record.Account  `json:"account" doc:"That pays for the transactions"`
	Balance    string          `json:"balance" doc:"In wei, decimal; empty if the chain did not say"`
	Older      []Purse         `json:"older" doc:"Accounts that were in use before and are still needed"`
	Unanchored int64           `json:"unanchored" doc:"Records that wait for a chain to be configured"`
	Pending    int64           `json:"pending" doc:"Records that wait for a batch"`
	Submitted  int64           `json:"submitted"`
	Included   int64           `json:"included"`
	Final      int64           `json:"final"`
	Error      string          `json:"error" doc:"What keeps anchoring from going on; empty if nothing does"`
}

// Purse is an account and what it holds.
type Purse struct {
	Account record.Account `json:"account"`
	Balance string         `json:"balance" doc:"In wei, decimal; empty if the chain did not say"`
}

// DeployAnchor asks to deploy the contract.
type DeployAnchor struct {
	RPC string `json:"rpc,omitempty" doc:"JSON-RPC endpoint, if not the configured one"`
}

// Deployed is where the contract is.
type Deployed struct {
	Contract record.Account `json:"contract"`
	ChainID  int64          `json:"chain_id"`
	Account  record.Account `json:"account" doc:"That deployed it"`
	Tx       record.Hash    `json:"tx,omitzero" doc:"Absent if it was there already"`
}
