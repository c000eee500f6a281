//go:build anvil

package anchor_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"dxd/record"
)

var others = map[string]launcher{"anvil": launchAnvil}

// anvil is Foundry's node in a process of its own.
type anvil struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	client *rpc.Client
	closed bool
}

func launchAnvil(t *testing.T, _ string, _ int, fund record.Account) ethereum {
	path := os.Getenv("ANVIL")
	if path == "" {
		t.Fatal("ANVIL must name Foundry's anvil: npm ci --ignore-scripts --prefix test/anchor/anvil, " +
			"then ANVIL=$PWD/test/anchor/anvil/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
	}
	cmd := exec.Command(path, "--host", "127.0.0.1", "--port", "0", "--chain-id", "1337", "--slots-in-an-epoch", "1", "--block-time", "1", "--mixed-mining")
	cmd.Env = append(os.Environ(), "RUST_LOG=off", "NO_COLOR=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	a := &anvil{t: t, cmd: cmd}
	t.Cleanup(func() { must(t, a.Close()) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Listening on "); ok {
			a.url = "http://" + address
			break
		}
	}
	if a.url == "" {
		t.Fatalf("anvil did not begin to listen: %v", lines.Err())
	}
	go func() { // what it prints of each request is of no interest
		for lines.Scan() {
		}
	}()
	a.client, err = rpc.DialContext(t.Context(), a.url)
	must(t, err)
	a.call(nil, "anvil_setBalance", fund, "0x56bc75e2d63100000") // 100 ether
	return a
}

func (a *anvil) call(result any, method string, args ...any) {
	a.t.Helper()
	must(a.t, a.client.CallContext(context.Background(), result, method, args...))
}

func (a *anvil) URL() string { return a.url }

func (a *anvil) Head() int64 {
	var n hexutil.Uint64
	a.call(&n, "eth_blockNumber")
	return int64(n)
}

func (a *anvil) Mine(n int) error {
	return a.client.CallContext(context.Background(), nil, "anvil_mine", hexutil.Uint64(n))
}

func (a *anvil) Pause() {
	a.call(nil, "evm_setAutomine", false)
	a.call(nil, "evm_setIntervalMining", 0)
}

func (a *anvil) Resume() {
	a.call(nil, "evm_setAutomine", true)
	a.call(nil, "evm_setIntervalMining", 1)
}

// Reorg replaces the newest blocks by empty ones. It drops their transactions
// in any case.
func (a *anvil) Reorg(depth int, drop bool) error {
	return a.client.CallContext(context.Background(), nil, "anvil_reorg", depth, []any{})
}

func (a *anvil) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	if a.client != nil {
		a.client.Close()
	}
	if err := a.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = a.cmd.Wait() // killed
	return nil
}
