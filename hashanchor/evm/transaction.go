package evm

import (
	"context"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"

	"dxd/hashanchor"
	"dxd/record"
)

// Prepare signs a transaction that anchors root under the nonce. It sends
// nothing, so that the caller can keep it first. If old is not zero, the new
// one is priced at least an eighth above it, which is what nodes ask of a
// replacement. The error is of kind Quota when the chain, or the replacement,
// asks for more than Config.MaxFee.
func (c *Chain) Prepare(ctx context.Context, root record.Hash, nonce int64, old hashanchor.Transaction) (hashanchor.Transaction, error) {
	if nonce < 0 || root.IsZero() {
		return hashanchor.Transaction{}, record.Errorf(record.Invalid, "no root to anchor, or the nonce %d", nonce)
	}
	do := call{to: c.contract.address, data: packAnchor(root)}
	q, err := c.bargain(ctx, do)
	if err != nil {
		return hashanchor.Transaction{}, err
	}
	p, err := c.replace(q.price, old)
	if err != nil {
		return hashanchor.Transaction{}, err
	}
	return c.sign(ctx, q.endpoint, do, nonce, q.gas, p)
}

// call is what a transaction does.
type call struct {
	to    record.Account
	value *big.Int // wei; nil: none
	data  []byte
}

func (c *Chain) sign(ctx context.Context, e *endpoint, do call, nonce, gas int64, p price) (hashanchor.Transaction, error) {
	chainID, err := e.chain(ctx)
	if err != nil {
		return hashanchor.Transaction{}, err
	}
	to := common.Address(do.to)
	signed, err := c.signed(&types.DynamicFeeTx{
		ChainID:   big.NewInt(chainID),
		Nonce:     uint64(nonce),
		GasTipCap: big.NewInt(p.tip),
		GasFeeCap: big.NewInt(p.fee),
		Gas:       uint64(gas),
		To:        &to,
		Value:     do.value,
		Data:      do.data,
	})
	if err != nil {
		return hashanchor.Transaction{}, err
	}
	raw, err := signed.MarshalBinary()
	if err != nil {
		return hashanchor.Transaction{}, record.Errorf(record.Internal, "couldn't encode a transaction: %w", err)
	}
	return hashanchor.Transaction{
		Nonce: nonce,
		Hash:  record.Hash(signed.Hash()),
		Fee:   p.fee,
		Tip:   p.tip,
		Raw:   hexutil.Encode(raw),
	}, nil
}

// estimate is the gas that a transaction needs, which differs between chains'
// rules, and a quarter more: it may run on another state than that of the
// newest block.
func (c *Chain) estimate(ctx context.Context, e *endpoint, do call) (int64, error) {
	var gas quantity
	args := map[string]any{"from": c.account(), "to": do.to, "data": hexutil.Bytes(do.data)}
	if do.value != nil {
		args["value"] = (*hexutil.Big)(do.value)
	}
	if err := e.call(ctx, &gas, "eth_estimateGas", args); err != nil {
		return 0, err
	}
	return int64(gas) + int64(gas)/4, nil
}

// signed has the Signer sign the transaction and checks the signature, so that
// nothing is ever sent from an account that is not meant.
func (c *Chain) signed(tx *types.DynamicFeeTx) (*types.Transaction, error) {
	if c.cfg.Signer == nil {
		return nil, record.Errorf(record.Invalid, "there is no account to sign a transaction with")
	}
	unsigned, err := unsigned(tx)
	if err != nil {
		return nil, err
	}
	sig, err := c.cfg.Signer.SignTransaction(unsigned)
	if err != nil {
		return nil, err
	}
	signer := types.NewLondonSigner(tx.ChainID)
	signed, err := types.NewTx(tx).WithSignature(signer, sig[:])
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't use the signature of a transaction: %w", err)
	}
	if from, err := types.Sender(signer, signed); err != nil || record.Account(from) != c.account() {
		return nil, record.Errorf(record.Internal, "the transaction is not signed by the account %s", c.account())
	}
	return signed, nil
}

// unsigned is what gets signed: 0x02 ‖ rlp([chain id, nonce, tip, fee, gas, to,
// value, data, access list]) (EIP-1559).
func unsigned(tx *types.DynamicFeeTx) ([]byte, error) {
	value := tx.Value
	if value == nil {
		value = new(big.Int)
	}
	list, err := rlp.EncodeToBytes([]any{
		tx.ChainID, tx.Nonce, tx.GasTipCap, tx.GasFeeCap, tx.Gas, tx.To, value, tx.Data, types.AccessList{},
	})
	if err != nil {
		return nil, record.Errorf(record.Internal, "couldn't encode a transaction: %w", err)
	}
	return append([]byte{types.DynamicFeeTxType}, list...), nil
}

// gwei and ether print an amount of wei exactly, without trailing zeros.
func gwei(wei *big.Int) string  { return decimal(wei, 9) }
func ether(wei *big.Int) string { return decimal(wei, 18) }

func decimal(n *big.Int, places int) string {
	s := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil)).FloatString(places)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}
