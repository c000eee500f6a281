package devchain_test

import (
	"bufio"
	"context"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"

	"dxd/internal/devchain"
	"dxd/record"
)

// serveDir makes this test binary a chain of its own, to be killed.
const serveDir = "DEVCHAIN_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		serve(dir)
	}
	os.Exit(m.Run())
}

func serve(dir string) {
	c, err := devchain.Start(devchain.Config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.URL())
	select {}
}

func start(t *testing.T, cfg devchain.Config) (*devchain.Chain, *ethclient.Client) {
	t.Helper()
	begin := time.Now()
	c, err := devchain.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(begin))
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, dial(t, c.URL())
}

func dial(t *testing.T, url string) *ethclient.Client {
	t.Helper()
	client, err := ethclient.DialContext(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// pay sends a transfer of one wei from the dev account, and does not wait.
func pay(t *testing.T, client *ethclient.Client) *types.Transaction {
	t.Helper()
	key, err := crypto.HexToECDSA(devchain.Key[2:])
	if err != nil {
		t.Fatal(err)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	chainID, err := client.ChainID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := client.PendingNonceAt(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(chainID), &types.DynamicFeeTx{
		ChainID: chainID, Nonce: nonce, To: &common.Address{1}, Value: big.NewInt(1), Gas: params.TxGas,
		GasFeeCap: big.NewInt(2 * params.GWei), GasTipCap: big.NewInt(1),
	})
	if err := client.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return tx
}

// receipt polls until the transaction is in a block.
func receipt(t *testing.T, client *ethclient.Client, tx *types.Transaction) *types.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for poll := time.Tick(5 * time.Millisecond); ; <-poll {
		if r, err := client.TransactionReceipt(ctx, tx.Hash()); err == nil {
			return r
		} else if ctx.Err() != nil {
			t.Fatalf("transaction %s is in no block: %v", tx.Hash(), err)
		}
	}
}

func header(t *testing.T, client *ethclient.Client, number int64) *types.Header {
	t.Helper()
	h, err := client.HeaderByNumber(t.Context(), big.NewInt(number))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAccountsAreFundedBeforeTheChainAnswers(t *testing.T) {
	poor := record.Account{0xaa}
	c, client := start(t, devchain.Config{Fund: []record.Account{poor}, ChainID: 4711})
	balance, err := client.BalanceAt(t.Context(), common.Address(poor), nil)
	if err != nil || balance.Cmp(big.NewInt(params.Ether)) < 0 {
		t.Errorf("balance %v, %v", balance, err)
	}
	if id, err := client.ChainID(t.Context()); err != nil || id.Int64() != 4711 {
		t.Errorf("chain id %v, %v", id, err)
	}
	if got := c.Account().String(); got != "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266" {
		t.Errorf("the dev account is %s", got)
	}
	if u, err := url.Parse(c.URL()); err != nil || u.Hostname() != "127.0.0.1" {
		t.Errorf("it listens on %s", c.URL())
	}
}

func TestATransactionIsMinedOnDemand(t *testing.T) {
	_, client := start(t, devchain.Config{})
	inTime(t, func() (time.Duration, bool) {
		begin := time.Now() // just behind a block, from the second try on
		if r := receipt(t, client, pay(t, client)); r.Status != types.ReceiptStatusSuccessful {
			t.Errorf("mined with status %d", r.Status)
		}
		took := time.Since(begin)
		return took, took <= interval/2
	})
}

// inTime tries something again that took too long: the machine's slow moments
// pass, and a chain that is slow stays so.
func inTime(t *testing.T, try func() (took time.Duration, ok bool)) {
	t.Helper()
	var all []time.Duration
	for range 8 {
		took, ok := try()
		if ok {
			return
		}
		all = append(all, took)
	}
	t.Errorf("it took %v", all)
}

// interval is how often a block is promised.
const interval = time.Second

func TestABlockComesEverySecond(t *testing.T) {
	c, _ := start(t, devchain.Config{})
	inTime(t, func() (time.Duration, bool) {
		head, begin := c.Head(), time.Now()
		for poll := time.Tick(interval / 50); c.Head() < head+2; <-poll {
			if time.Since(begin) > time.Minute {
				t.Fatalf("%d blocks in a minute", c.Head()-head)
			}
		}
		took := time.Since(begin)
		return took, took <= 3*interval
	})
}

func TestNothingIsMinedWhilePaused(t *testing.T) {
	c, client := start(t, devchain.Config{})
	c.Pause()
	head := c.Head()
	tx := pay(t, client)
	if _, err := client.TransactionReceipt(t.Context(), tx.Hash()); err == nil || c.Head() != head {
		t.Fatal("mined while paused")
	}
	if err := c.Mine(1); err != nil {
		t.Fatal(err)
	}
	if r := receipt(t, client, tx); r.BlockNumber.Int64() != head+1 {
		t.Errorf("mined in block %v, the head was %d", r.BlockNumber, head)
	}
	waiting := pay(t, client)
	c.Resume()
	receipt(t, client, waiting)
}

func TestAReorgReplacesBlocks(t *testing.T) {
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprintf("transactions dropped: %v", drop), func(t *testing.T) {
			c, client := start(t, devchain.Config{})
			c.Pause()
			tx := pay(t, client)
			if err := c.Mine(3); err != nil {
				t.Fatal(err)
			}
			old := header(t, client, c.Head())
			mined := receipt(t, client, tx)
			if err := c.Reorg(3, drop); err != nil {
				t.Fatal(err)
			}
			if c.Head() != old.Number.Int64()+1 || header(t, client, old.Number.Int64()).Hash() == old.Hash() {
				t.Errorf("after the reorg the head is %d", c.Head())
			}
			again, err := client.TransactionReceipt(t.Context(), tx.Hash())
			if (err != nil) != drop {
				t.Errorf("receipt after the reorg: %v", err)
			}
			if !drop && again.BlockHash == mined.BlockHash {
				t.Error("the transaction stands in the block that fell away")
			}
		})
	}
}

func TestFinalizedIsAMultipleOf32(t *testing.T) {
	dir := t.TempDir()
	c, client := start(t, devchain.Config{Dir: dir})
	c.Pause()
	if err := c.Mine(40); err != nil {
		t.Fatal(err)
	}
	finalized := func(client *ethclient.Client) int64 {
		h, err := client.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.FinalizedBlockNumber)))
		if err != nil {
			t.Fatal(err)
		}
		return h.Number.Int64()
	}
	if n := finalized(client); n != 32 {
		t.Errorf("finalized is %d at head %d", n, c.Head())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, client = start(t, devchain.Config{Dir: dir})
	c.Pause()
	if n := finalized(client); n != 32 {
		t.Errorf("after a restart finalized is %d at head %d", n, c.Head())
	}
}

func TestAKilledChainLosesNoBlock(t *testing.T) {
	dir := t.TempDir()
	var blocks []common.Hash // as read from outside, of all lives
	for range 3 {
		proc, url := spawn(t, dir)
		client := dial(t, url)
		r := receipt(t, client, pay(t, client))
		// A block is shown before it is synced, and no other begun before that.
		awaitHead(t, client, r.BlockNumber.Int64()+1)
		for n := int64(len(blocks)); n <= r.BlockNumber.Int64(); n++ {
			blocks = append(blocks, header(t, client, n).Hash())
		}
		if err := proc.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := proc.Wait(); err == nil {
			t.Fatal("the killed process ended well")
		}
		c, client := start(t, devchain.Config{Dir: dir})
		for n, hash := range blocks {
			if header(t, client, int64(n)).Hash() != hash {
				t.Fatalf("block %d of %d changed", n, len(blocks))
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitHead polls until the chain has that many blocks.
func awaitHead(t *testing.T, client *ethclient.Client, number int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for poll := time.Tick(5 * time.Millisecond); ; <-poll {
		if n, err := client.BlockNumber(ctx); err != nil {
			t.Fatalf("there is no block %d: %v", number, err)
		} else if int64(n) >= number {
			return
		}
	}
}

// spawn runs a chain in a process of its own and returns its address.
func spawn(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

func TestADirectoryServesOneChain(t *testing.T) {
	dir := t.TempDir()
	start(t, devchain.Config{Dir: dir})
	if _, err := devchain.Start(devchain.Config{Dir: dir}); record.KindOf(err) != record.Conflict {
		t.Errorf("a second chain in one directory: %v", err)
	}
}

func TestAPortInUseIsAConflict(t *testing.T) {
	c, _ := start(t, devchain.Config{})
	u, err := url.Parse(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(u.Port(), &port); err != nil {
		t.Fatal(err)
	}
	if _, err := devchain.Start(devchain.Config{Port: port}); record.KindOf(err) != record.Conflict {
		t.Errorf("a second chain on port %d: %v", port, err)
	}
}
