package evm

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"dxd/record"
)

// artifactJSON is what contract/build.mjs made of the contract's source.
//
//go:embed contract/HashAnchor.json
var artifactJSON string

// The factory through which the contract is deployed stands at one address on
// every chain that has it (EIP-7997 makes it part of Ethereum). Its CREATE2
// with this salt gives our code one address on every chain, and no other code
// can ever stand there. See docs/decisions/0020.
const (
	factoryAddress = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
	factoryCode    = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)

// contract is the code of HashAnchor and where it stands.
type contract struct {
	address  record.Account
	initCode []byte
	runtime  []byte
}

// salt of CREATE2. It is fixed: a choice would let an attacker search for two
// programs with one address.
func salt() (s [32]byte) { return s }

// genuine reads the committed artifact and computes the address anew.
func genuine() contract {
	var a struct{ InitCode, RuntimeCode string }
	if err := json.Unmarshal([]byte(artifactJSON), &a); err != nil {
		panic(err) // part of this binary
	}
	c := contract{initCode: mustHex(a.InitCode), runtime: mustHex(a.RuntimeCode)}
	c.address = record.Account(crypto.CreateAddress2(common.Address(factory()), salt(), crypto.Keccak256(c.initCode)))
	return c
}

func factory() record.Account {
	a, err := record.ParseAccount(factoryAddress)
	if err != nil {
		panic(err) // a constant
	}
	return a
}

// mustHex decodes a constant.
func mustHex(s string) []byte {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		panic(err)
	}
	return b
}

// ContractAddress is where HashAnchor stands on every chain that has it,
// computed from the factory, the salt and the committed code.
func ContractAddress() record.Account { return genuine().address }

// check refuses, with kind Invalid, every address but that of the contract: one
// with the right code but another constructor could have been born with a
// forged past.
func (c contract) check(a record.Account) error {
	if a == c.address {
		return nil
	}
	return record.WithHint(
		record.Errorf(record.Invalid, "%s is not the address of HashAnchor, which is %s on every chain", a, c.address),
		"`dxd anchor deploy` puts the contract there if the chain lacks it")
}

// Selectors of the contract's functions: the first four bytes of the Keccak-256
// of their signatures.
const (
	anchorSelector   = "\xee\xcd\xf9\x27" // anchor(bytes32)
	anchorOfSelector = "\xec\xbe\x7c\xa5" // anchorOf(address,bytes32)
)

func packAnchor(root record.Hash) []byte {
	return append([]byte(anchorSelector), root[:]...)
}

func packAnchorOf(account record.Account, root record.Hash) []byte {
	return slices.Concat([]byte(anchorOfSelector), make([]byte, 12), account[:], root[:])
}

// entry is what anchorOf returns; all zero if there is none.
type entry struct {
	time, block, chainID int64
}

// unpackAnchorOf reads three words, each an integer that a record can hold.
func unpackAnchorOf(b []byte) (e entry, err error) {
	if len(b) != 3*32 {
		return entry{}, record.Errorf(record.Unavailable, "the contract's answer has %d bytes, not 96", len(b))
	}
	for i, n := range []*int64{&e.time, &e.block, &e.chainID} {
		if *n, err = word(b[32*i : 32*i+32]); err != nil {
			return entry{}, err
		}
	}
	return e, nil
}

func word(b []byte) (int64, error) {
	var n int64
	for _, x := range b {
		if n >= 1<<45 { // eight more bits would not fit in 53
			return 0, record.Errorf(record.Unavailable, "the contract's answer holds an impossible number")
		}
		n = n<<8 | int64(x)
	}
	return n, nil
}
