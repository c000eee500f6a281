package evm

import (
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/record"
)

// example is the worked example of docs/spec/anchor-contract.md.
type example struct {
	Factory     string
	Salt        string
	InitHash    string
	RuntimeHash string
	Contract    string
	Account     string
	Root        string
	Anchor      string // call data
	AnchorOf    string // call data
	Topics      [3]string
	Slot        string
	Time        int64
	Block       int64
	ChainID     int64
	Word        string
}

func keccak(parts ...[]byte) string { return hexutil.Encode(crypto.Keccak256(parts...)) }

// compute works the example out anew from account, root, time, block and chain.
func compute(t *testing.T, given example) example {
	t.Helper()
	c, s := genuine(), salt()
	account, err := record.ParseAccount(given.Account)
	if err != nil {
		t.Fatal(err)
	}
	root, err := record.ParseHash(given.Root)
	if err != nil {
		t.Fatal(err)
	}
	padded := common.LeftPadBytes(account[:], 32)
	word := new(big.Int)
	for _, n := range []int64{given.ChainID, given.Block, given.Time} {
		word.Add(word.Lsh(word, 64), big.NewInt(n))
	}
	given.Factory, given.Salt = factoryAddress, hexutil.Encode(s[:])
	given.InitHash, given.RuntimeHash = keccak(c.initCode), keccak(c.runtime)
	given.Contract = "0x" + keccak([]byte{0xff}, common.FromHex(factoryAddress), s[:], crypto.Keccak256(c.initCode))[26:]
	given.Anchor, given.AnchorOf = hexutil.Encode(packAnchor(root)), hexutil.Encode(packAnchorOf(account, root))
	given.Topics = [3]string{keccak([]byte("Anchored(address,bytes32)")), hexutil.Encode(padded), given.Root}
	given.Slot = keccak(root[:], crypto.Keccak256(padded, make([]byte, 32)))
	given.Word = hexutil.Encode(common.LeftPadBytes(word.Bytes(), 32))
	return given
}

func TestTheSpecIsWhatTheCodeDoes(t *testing.T) {
	data, err := os.ReadFile("../../docs/spec/testdata/anchor-contract.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden example
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if got := compute(t, golden); got != golden {
		t.Errorf("the code gives %+v", got)
	}
	if golden.Contract != ContractAddress().String() {
		t.Errorf("the contract's address is %s", ContractAddress())
	}
	page, err := os.ReadFile("../../docs/spec/anchor-contract.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range slices.Concat(golden.Topics[:], []string{
		golden.Factory, golden.Salt, golden.InitHash, golden.RuntimeHash, golden.Contract, golden.Anchor, golden.AnchorOf, golden.Slot, golden.Word,
	}) {
		if !strings.Contains(string(page), value) {
			t.Errorf("the page does not show %s", value)
		}
	}
}

func TestAnswersOfTheContractAreReadStrictly(t *testing.T) {
	word := func(hex string) []byte { return common.LeftPadBytes(common.FromHex(hex), 32) }
	good := slices.Concat(word("65"), word("02"), word("1fffffffffffff"))
	if e, err := unpackAnchorOf(good); err != nil || e != (entry{0x65, 2, 1<<53 - 1}) {
		t.Errorf("%+v, %v", e, err)
	}
	for name, bad := range map[string][]byte{
		"nothing":          nil,
		"a word less":      good[:64],
		"a byte more":      append(slices.Clone(good), 0),
		"a number of 2^53": slices.Concat(word("20000000000000"), good[32:]),
		"a full word":      slices.Concat(good[:64], word(strings.Repeat("ff", 32))),
	} {
		if e, err := unpackAnchorOf(bad); err == nil || e != (entry{}) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}
