// Package devchain is an Ethereum chain for demos and tests: go-ethereum's own
// node in process, with JSON-RPC on loopback, a data directory that survives
// kill -9, and blocks on demand and at least every second.
//
// It never talks to another node, never listens beyond loopback, and protects
// nothing: the key of its funded account is known to everyone. It is not part
// of the production binary.
package devchain

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strconv"
	"sync"

	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"

	"dxd/record"
)

// Key is the private key, in hex, of the account that the chain is born with.
// It is the first of those that all dev chains use, so that wallets warn of it.
const Key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"

// DefaultChainID is the id that dev chains of go-ethereum have.
const DefaultChainID = 1337

// Config says how to start a chain. The zero value is a chain in memory on a
// free port.
type Config struct {
	Dir     string           // data directory, made if missing; "" keeps all in memory
	Port    int              // on loopback; 0 takes a free one
	ChainID int64            // DefaultChainID if 0; a directory keeps the one that it began with
	Fund    []record.Account // accounts that get 100 ether if they hold less than one
	Log     *slog.Logger     // where a block that couldn't be made is reported; nil: nowhere

	// NoFactory leaves the CREATE2 factory out, which most chains have.
	NoFactory bool
}

// Chain is a running chain.
type Chain struct {
	stack  *node.Node
	eth    *eth.Ethereum
	key    *ecdsa.PrivateKey
	log    *slog.Logger
	stop   chan struct{} // closed by Close
	mining sync.WaitGroup

	mu     sync.Mutex // guards the head of the chain, and what follows
	beacon *catalyst.SimulatedBeacon
	paused bool
	closed bool
}

// Start opens or makes the chain. When it returns, JSON-RPC answers and the
// accounts to fund are funded.
func Start(cfg Config) (*Chain, error) {
	if cfg.ChainID == 0 {
		cfg.ChainID = DefaultChainID
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkPort(cfg.Port); err != nil {
		return nil, err
	}
	key, err := crypto.HexToECDSA(Key[2:])
	if err != nil {
		return nil, fmt.Errorf("couldn't read the built-in key: %w", err)
	}
	stack, err := node.New(nodeConfig(cfg))
	if errors.Is(err, node.ErrDatadirUsed) {
		return nil, record.Errorf(record.Conflict, "another process uses the chain in %s", cfg.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't make a node in %s: %w", cfg.Dir, err)
	}
	c := &Chain{stack: stack, key: key, log: cfg.Log, stop: make(chan struct{})}
	if err := c.open(cfg); err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	c.mining.Go(c.mine)
	return c, nil
}

// open makes the first block and funds the accounts before JSON-RPC answers:
// the simulated beacon calls the head of a reopened chain final until its
// first block, and nobody shall see that.
func (c *Chain) open(cfg Config) (err error) {
	if c.eth, err = eth.New(c.stack, ethConfig(cfg, c.Account())); err != nil {
		return fmt.Errorf("couldn't open the chain: %w", err)
	}
	c.stack.RegisterAPIs([]rpc.API{{
		Namespace: "eth",
		Service:   filters.NewFilterAPI(filters.NewFilterSystem(c.eth.APIBackend, filters.Config{})),
	}})
	if c.beacon, err = catalyst.NewSimulatedBeacon(0, crypto.PubkeyToAddress(c.key.PublicKey), c.eth); err != nil {
		return fmt.Errorf("couldn't start the beacon: %w", err)
	}
	if err := c.fund(cfg.Fund); err != nil {
		return err
	}
	if err := c.commit(); err != nil {
		return err
	}
	if err := c.stack.Start(); err != nil {
		return fmt.Errorf("couldn't start the node: %w", err)
	}
	return nil
}

// checkPort finds a port in use before anything is made: go-ethereum's node
// can't be torn down cleanly once its endpoints have failed to open.
func checkPort(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return record.WithHint(record.Errorf(record.Conflict, "couldn't listen on port %d: %w", port, err),
			"stop what uses the port, or choose another")
	}
	return l.Close()
}

func nodeConfig(cfg Config) *node.Config {
	return &node.Config{
		Name:                 "devchain",
		DataDir:              cfg.Dir,
		P2P:                  p2p.Config{NoDiscovery: true, NoDial: true},
		HTTPHost:             "127.0.0.1",
		HTTPPort:             cfg.Port,
		HTTPVirtualHosts:     []string{"localhost"},
		HTTPModules:          []string{"eth", "net", "web3"},
		HTTPTimeouts:         rpc.DefaultHTTPTimeouts,
		HTTPBodyLimit:        node.DefaultConfig.HTTPBodyLimit,
		BatchRequestLimit:    node.DefaultConfig.BatchRequestLimit,
		BatchResponseMaxSize: node.DefaultConfig.BatchResponseMaxSize,
		// The factory's presigned transaction is older than EIP-155.
		AllowUnprotectedTxs: true,
	}
}

// ethConfig chooses what survives kill -9: the hash scheme without pruning,
// which writes each block's whole state. (With the path scheme the head fell
// to 0.) The caches are small, since the demo runs beside two daemons.
func ethConfig(cfg Config, rich record.Account) *ethconfig.Config {
	conf := ethconfig.Defaults
	conf.Genesis = genesis(cfg, rich)
	conf.SyncMode = ethconfig.FullSync
	conf.StateScheme = rawdb.HashScheme
	conf.NoPruning = true
	conf.DatabaseCache = 16
	conf.TrieCleanCache = 16
	conf.TrieDirtyCache = 16
	conf.SnapshotCache = 16
	conf.LogNoHistory = true // logs are searched without an index
	conf.TxPool.NoLocals = true
	conf.Miner.GasPrice = big.NewInt(params.Wei)
	return &conf
}

// URL is where JSON-RPC answers.
func (c *Chain) URL() string { return c.stack.HTTPEndpoint() }

// Account is the account of Key.
func (c *Chain) Account() record.Account {
	return record.Account(crypto.PubkeyToAddress(c.key.PublicKey))
}

// Close stops the chain. What was mined stays in its directory.
func (c *Chain) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	close(c.stop)
	c.mining.Wait()
	if err := c.stack.Close(); err != nil {
		return fmt.Errorf("couldn't stop the chain: %w", err)
	}
	return nil
}
