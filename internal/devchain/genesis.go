package devchain

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"

	"dxd/record"
)

// genesis does not depend on which accounts are to be funded, so
// that a directory opens again when those change.
func genesis(cfg Config, rich record.Account) *core.Genesis {
	rules := *params.AllDevChainProtocolChanges
	rules.ChainID = big.NewInt(cfg.ChainID)
	rules.BogotaTime = nil // not decided on yet; it triples the price of a new slot
	alloc := core.SystemContractAllocs()
	if cfg.NoFactory {
		delete(alloc, params.DeterministicFactoryAddress)
	}
	alloc[common.Address(rich)] = types.Account{Balance: ether(1_000_000)}
	return &core.Genesis{
		Config:    &rules,
		GasLimit:  30_000_000,
		BaseFee:   big.NewInt(params.InitialBaseFee),
		Timestamp: 1_700_000_000, // fixed: it is part of the genesis block's hash
		Alloc:     alloc,
	}
}

func ether(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(params.Ether))
}

// fund mines a transfer to each account that holds less than one ether.
func (c *Chain) fund(accounts []record.Account) error {
	for _, a := range accounts {
		state, err := c.eth.BlockChain().State()
		if err != nil {
			return record.Errorf(record.Damaged, "couldn't read the chain's state: %w", err)
		}
		if state.GetBalance(common.Address(a)).ToBig().Cmp(ether(1)) >= 0 {
			continue
		}
		if err := c.transfer(common.Address(a), state.GetNonce(common.Address(c.Account()))); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) transfer(to common.Address, nonce uint64) error {
	chainID := c.eth.BlockChain().Config().ChainID
	fee := new(big.Int).Mul(c.eth.BlockChain().CurrentBlock().BaseFee, big.NewInt(2))
	tx, err := types.SignNewTx(c.key, types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID:   chainID,
		Nonce:     nonce,
		GasTipCap: big.NewInt(params.Wei),
		GasFeeCap: fee.Add(fee, big.NewInt(params.GWei)),
		Gas:       params.TxGas,
		To:        &to,
		Value:     ether(100),
	})
	if err != nil {
		return record.Errorf(record.Internal, "couldn't sign a transfer to %s: %w", record.Account(to), err)
	}
	if errs := c.eth.TxPool().Add([]*types.Transaction{tx}, true); errs[0] != nil {
		return record.Errorf(record.Internal, "couldn't send a transfer to %s: %w", record.Account(to), errs[0])
	}
	if err := c.commit(); err != nil {
		return err
	}
	if receipts := c.eth.BlockChain().GetReceiptsByHash(c.eth.BlockChain().CurrentBlock().Hash()); len(receipts) != 1 {
		return record.Errorf(record.Internal, "the transfer to %s was not mined", record.Account(to))
	}
	return nil
}
