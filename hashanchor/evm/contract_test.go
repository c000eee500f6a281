package evm_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"dxd/hashanchor/evm"
	"dxd/record"
)

// artifact reads the file that the compiler wrote.
func artifact(t *testing.T) (a struct {
	ABI []struct {
		Type, Name string
		Inputs     []struct{ Type string }
	}
	InitCode, RuntimeCode string
}) {
	t.Helper()
	data, err := os.ReadFile("contract/HashAnchor.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheContractHasOneAddress(t *testing.T) {
	// As docs/spec/anchor-contract.md says. A change here is a new contract.
	const want = "0x7bd1cd0a9e005bee56e9f9d2ac5ce5318678b00c"
	if got := evm.ContractAddress().String(); got != want {
		t.Errorf("the contract's address is %s", got)
	}
	if _, err := evm.New(evm.Config{URLs: []string{"http://x"}, Contract: evm.ContractAddress()}); err != nil {
		t.Error(err)
	}
	_, err := evm.New(evm.Config{URLs: []string{"http://x"}, Contract: record.Account{1}})
	wantKind(t, err, record.Invalid)
}

func TestTheRuntimeCodeEndsTheInitCode(t *testing.T) {
	a := artifact(t)
	if !strings.HasSuffix(a.InitCode, a.RuntimeCode[2:]) {
		t.Error("the init code does not return the runtime code as it stands")
	}
}

func TestTheContractHasTheFunctionsOfTheSpec(t *testing.T) {
	var got []string
	for _, f := range artifact(t).ABI {
		var inputs []string
		for _, in := range f.Inputs {
			inputs = append(inputs, in.Type)
		}
		signature := f.Name + "(" + strings.Join(inputs, ",") + ")"
		got = append(got, f.Type+" "+signature+" "+hex.EncodeToString(crypto.Keccak256([]byte(signature))[:4]))
	}
	want := "event Anchored(address,bytes32) ee161024\nfunction anchor(bytes32) eecdf927\nfunction anchorOf(address,bytes32) ecbe7ca5"
	if strings.Join(got, "\n") != want {
		t.Errorf("the contract has\n%s", strings.Join(got, "\n"))
	}
}
