// Package evm is one chain of the Ethereum kind: the HashAnchor contract, the
// transactions that anchor roots in it, and what the chain says of a root.
//
// It never decides what is anchored or when, keeps nothing across a restart,
// holds no key (a Signer does), and never prints an endpoint's URL whole, since
// such URLs hold keys. It trusts endpoints for availability; for truth, ask
// several (Config.Agree).
package evm

import (
	"time"

	"dxd/hashanchor"
	"dxd/record"
)

// defaultMaxFee is the ceiling where none is configured: 200 gwei per gas.
const defaultMaxFee = 200e9

// defaultTimeout bounds one request to an endpoint.
const defaultTimeout = 10 * time.Second

// Signer is what this package needs of the keyring.
type Signer interface {
	// Account is the account that Sign signs for.
	Account() record.Account

	// SignTransaction signs an unsigned transaction of EIP-1559, 0x02 ‖
	// rlp([…]), and returns r ‖ s ‖ v with v 0 or 1.
	SignTransaction(unsigned []byte) ([65]byte, error)
}

// Config says which chain, and how to reach it.
type Config struct {
	URLs     []string       // JSON-RPC endpoints over HTTP, best first
	ChainID  int64          // 0: take what the endpoints answer
	Contract record.Account // zero, or the genuine contract; any other is refused
	Finality int64          // a block is final with so many blocks on top; 0: as the chain's finalized tag says
	MaxFee   int64          // ceiling in wei per gas; 0: 200 gwei
	Signer   Signer         // nil: Prepare and Deploy fail
	Timeout  time.Duration  // of one request; 0: ten seconds

	// Agree makes Lookup and Block ask every endpoint and fail unless all
	// say the same. Otherwise the first that answers is believed.
	Agree bool
}

// Chain is one account on one chain. Its methods may be called at any time by
// several goroutines. Errors are of these kinds:
//
//   - Unavailable: no endpoint answers for now, or the node is behind.
//   - Invalid: an endpoint answers for another chain, other code than the
//     contract's stands at its address, or the chain knows no EIP-1559.
//     Somebody has to change something.
//   - Conflict: the endpoints disagree (only with Config.Agree).
//
// Others stand with their method.
type Chain struct {
	cfg       Config
	contract  contract
	endpoints []*endpoint
}

// New checks the configuration. It asks no endpoint, so that a daemon starts
// while its chain is down.
func New(cfg Config) (*Chain, error) {
	code := genuine()
	if cfg.Contract.IsZero() {
		cfg.Contract = code.address
	}
	if err := code.check(cfg.Contract); err != nil {
		return nil, err
	}
	if len(cfg.URLs) == 0 {
		return nil, record.Errorf(record.Invalid, "no endpoint of a chain is given")
	}
	if cfg.ChainID < 0 || cfg.Finality < 0 || cfg.MaxFee < 0 {
		return nil, record.Errorf(record.Invalid, "chain id %d, finality %d and fee ceiling %d can't be negative", cfg.ChainID, cfg.Finality, cfg.MaxFee)
	}
	if cfg.MaxFee == 0 {
		cfg.MaxFee = defaultMaxFee
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	c := &Chain{cfg: cfg, contract: code}
	for _, u := range cfg.URLs {
		e, err := newEndpoint(u, cfg)
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
	}
	return c, nil
}

// Where says chain, contract and account: an Anchor without a root. The chain's
// id is 0 if none is configured, and the account is zero without a Signer.
func (c *Chain) Where() hashanchor.Anchor {
	return hashanchor.Anchor{ChainID: c.cfg.ChainID, Contract: c.contract.address, Account: c.account()}
}

func (c *Chain) account() record.Account {
	if c.cfg.Signer == nil {
		return record.Account{}
	}
	return c.cfg.Signer.Account()
}

// Close lets go of idle connections. Calls that are under way go on.
func (c *Chain) Close() {
	for _, e := range c.endpoints {
		e.http.CloseIdleConnections()
	}
}

var _ hashanchor.Chain = (*Chain)(nil)
